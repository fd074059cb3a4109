"""Which worker of its copy a process belongs to, and which workers meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.ledger import in_order
from parasuite.judge.parties import with_workers
from parasuite.model.events import Ancestor, Bind, CopyState, Endpoint, Event, Holder, ProcessSeen
from parasuite.model.party import Party, some_meet
from parasuite.model.sensors import SensorName
from parasuite.model.words import AttributedBy, CopyPhase, CopyVariable, Protocol, SocketState
from parasuite.model.workers import CURRENT_TEST, VARIABLES, XDIST_WORKER
from parasuite.sensors import recorder

from runner.tests.building import by

MAIN = 10
AT = Endpoint(Protocol.TCP, "127.0.0.1", 8025)
links = st.sampled_from(["~a.sh", "gw1", "gw10", "gw2", "py311", "a.test.js"])
parties = st.builds(Party, st.integers(0, 1), st.lists(links, max_size=3).map("/".join))


# --- who meets whom -------------------------------------------------------------------------------------------------


@given(parties, parties)
def test_meeting_is_mutual(first: Party, second: Party) -> None:
    assert first.meets(second) == second.meets(first)


@given(parties)
def test_no_party_meets_itself_nor_a_stranger(party: Party) -> None:
    assert not party.meets(party)
    assert not party.meets(None)


@given(parties, links)
def test_what_starts_a_worker_does_not_meet_it(party: Party, link: str) -> None:
    worker = party._replace(worker=f"{party.worker}/{link}".strip("/"))
    assert not party.meets(worker)
    assert worker.is_within(party)
    assert not party.is_within(worker)


@given(parties, links, links)
def test_two_workers_of_one_parent_meet(parent: Party, first: str, second: str) -> None:
    one, other = (parent._replace(worker=f"{parent.worker}/{link}".strip("/")) for link in (first, second))
    assert one.meets(other) == (first != second)
    assert some_meet([parent, one, other]) == (one.meets(other) and not one.is_presumed_beside(other))


@given(parties, parties)
def test_copies_meet_whatever_their_workers(first: Party, second: Party) -> None:
    if first.copy != second.copy:
        assert first.meets(second)


def test_a_presumed_worker_meets_its_siblings_with_less_certainty() -> None:
    parent, one, other = Party(0, "~a.sh"), Party(0, "~a.sh/gw0"), Party(0, "~a.sh/gw1")
    beside = Party(0, "~b.sh/gw0")
    assert [party.is_presumed_beside(beside) for party in (parent, one, other)] == [True] * 3
    assert not one.is_presumed_beside(other)
    assert not one.is_presumed_beside(Party(1, "~b.sh"))
    assert (some_meet([one, beside]), some_meet([one, other])) == (False, True)
    assert str(beside) == "copy 0, b.sh/gw0"


@given(parties, parties)
def test_who_is_presumed_to_meet_meets_and_mutually_so(first: Party, second: Party) -> None:
    assert first.is_presumed_beside(second) == second.is_presumed_beside(first)
    assert first.meets(second) or not first.is_presumed_beside(second)


# --- who is who -----------------------------------------------------------------------------------------------------


def started() -> Event:
    return CopyState(t_ns=1, source="supervisor", copy=0, state=CopyPhase.STARTED, pid=MAIN)


def main(*environment: str, command: str = "runner") -> Ancestor:
    return Ancestor(MAIN, 1.0, "main", command, environment)


INIT = Ancestor(MAIN - 1, 0.5, "parasuite-init", "python", ("TOX_ENV_NAME=of-no-concern",))


def seen(
    pid: int, *ancestors: Ancestor, environment: tuple[str, ...] = (), command: str = "it", xdist: str = ""
) -> Event:
    return ProcessSeen(
        t_ns=2,
        source="seccomp",
        caller=by(0, pid, start_s=float(pid)),
        name="it",
        command=command,
        environment=environment,
        xdist_worker=xdist,
        ancestors=(*ancestors, INIT),
    )


def workers(*events: Event) -> dict[int, str]:
    """By pid, the worker whose bind is reported."""
    pids = dict.fromkeys(event.caller.process.pid for event in events if isinstance(event, ProcessSeen))
    binds = [Bind(t_ns=3, source="seccomp", caller=by(0, pid), asked=AT, errno="?") for pid in pids]
    named = with_workers(in_order([started(), *events, *binds]))
    found = {}
    for event in named:
        if isinstance(event, Bind):
            assert event.party is not None
            found[event.caller.process.pid] = event.party.worker
    return found


def test_workers_of_xdist_are_named_as_their_python_names_them() -> None:
    assert workers(seen(11, main(), xdist="gw0"), seen(12, main(), xdist="gw1"), seen(MAIN)) == {
        11: "gw0",
        12: "gw1",
        MAIN: "",
    }


def test_what_a_worker_starts_belongs_to_it_whatever_its_environment() -> None:
    worker = Ancestor(11, 11.0, "python", "python", (), "gw0")
    assert workers(seen(21, worker, main()), seen(22, Ancestor(21), worker, main())) == {21: "gw0", 22: "gw0"}


def test_workers_in_workers_are_a_chain() -> None:
    tox = main(command="python -m tox -p auto")
    controller = Ancestor(11, 11.0, "python", "python -m pytest -n 2", ("TOX_ENV_NAME=py311",))
    assert workers(
        seen(21, controller, tox, environment=("TOX_ENV_NAME=py311",), xdist="gw0"),
        seen(11, tox, environment=controller.environment),
    ) == {21: "py311/gw0", 11: "py311"}


def test_what_the_copy_itself_inherited_is_no_worker() -> None:
    outside = ("TOX_ENV_NAME=py311", "PYTEST_XDIST_WORKER=gw5", "NODE_TEST_CONTEXT=child-v8")
    assert workers(
        seen(11, main(*outside), environment=outside),
        seen(12, main(*outside), environment=outside[:1], xdist="gw0"),
    ) == {11: "", 12: "gw0"}


def test_a_runner_that_a_test_starts_has_no_workers_of_its_own() -> None:
    outer = Ancestor(11, 11.0, "python", "python", (), "gw0")
    in_test = ("PYTEST_XDIST_WORKER=gw0", "PYTEST_CURRENT_TEST=test_a.py::test_it (call)")
    inner = Ancestor(21, 21.0, "python", "python -m pytest -n 2", in_test)
    assert workers(
        seen(31, inner, outer, main(), environment=in_test, xdist="gw0"),
        seen(32, inner, outer, main(), environment=in_test, xdist="gw1"),
    ) == {31: "gw0", 32: "gw0"}


def test_a_daemon_belongs_to_the_worker_that_its_environment_names() -> None:
    assert workers(seen(11, main(), xdist="gw0"), seen(77, environment=("PYTEST_XDIST_WORKER=gw0",)), seen(78)) == {
        11: "gw0",
        77: "gw0",
        78: "",
    }


# As captured from two workers of each tool: the command line of the copy's main process, the environments and the
# command lines of the two.
CAPTURED: dict[str, tuple[str, Sequence[tuple[str, ...]], Sequence[str]]] = {
    "tox 4": ("python tox -p", [("TOX_ENV_NAME=py311",), ("TOX_ENV_NAME=py312",)], ["python -c pass"] * 2),
    "jest 29": (
        "node jest",
        [("JEST_WORKER_ID=1",), ("JEST_WORKER_ID=2",)],
        ["node jest-worker/processChild.js"] * 2,
    ),
    "mocha 11": (
        "node mocha --parallel",
        [("MOCHA_WORKER_ID=0",), ("MOCHA_WORKER_ID=1",)],
        ["node /r/node_modules/mocha/lib/nodejs/worker.cjs"] * 2,
    ),
    "node 20": (
        "node --test test/",
        [("NODE_TEST_CONTEXT=child-v8",)] * 2,
        ["/usr/bin/node --test-concurrency=4 /r/test/a.test.js", "/usr/bin/node /r/test/b.test.js"],
    ),
    "vitest 2": ("node (vitest)", [()] * 2, ["node (vitest 1)", "node (vitest 2)"]),
    "vitest 4": (
        "node node_modules/.bin/vitest run",
        [()] * 2,
        ["/usr/bin/node --conditions node /r/node_modules/vitest/dist/workers/forks.js"] * 2,
    ),
    "Playwright 1.5x": (
        "node node_modules/.bin/playwright test",
        [()] * 2,
        ["/usr/bin/node /r/node_modules/playwright/lib/worker/workerProcessEntry.js"] * 2,
    ),
    "GNU parallel": ("perl /usr/bin/parallel -j 2", [("PARALLEL_SEQ=1",), ("PARALLEL_SEQ=2",)], ["./check"] * 2),
    "trial": (
        "python -m twisted.trial -j 2",
        [()] * 2,
        ["python /p/site-packages/twisted/trial/_dist/workertrial.py"] * 2,
    ),
    "unittest-parallel": (
        "/p/bin/python3.11 ../p/bin/unittest-parallel -j 2",
        [()] * 2,
        [
            "/p/bin/python3.11 -B -c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=4, "
            "pipe_handle=15) --multiprocessing-fork"
        ]
        * 2,
    ),
    "green": ("/p/bin/python3.11 ../p/bin/green -s 2", [()] * 2, ["/p/bin/python3.11 ../p/bin/green -s 2"] * 2),
    "nose2": (
        "/p/bin/python3.11 ../p/bin/nose2 --plugin nose2.plugins.mp -N 2",
        [()] * 2,
        ["/p/bin/python3.11 ../p/bin/nose2 --plugin nose2.plugins.mp -N 2"] * 2,
    ),
    "stestr": (
        "/p/bin/python3.11 ../p/bin/stestr run --concurrency 2",
        [()] * 2,
        ["/p/bin/python3.11 -m stestr.subunit_runner.run discover -t ./ . --load-list /t/tmp534x3kdh"] * 2,
    ),
    "regrtest": (
        "python3.11 -m test -j2",
        [()] * 2,
        [
            f'python3.11 -B -u -m test.libregrtest.worker {{"tests": ["{name}"]'
            for name in ("test_poplib", "test_ssl")
        ],
    ),
    "Django": ("python manage.py test --parallel 2", [()] * 2, ["python manage.py test --parallel 2"] * 2),
    "ctest": ("ctest -j 2", [()] * 2, ["/b/test_one --fast", "/b/test_two"]),
    "cargo test": (
        "/rust/bin/cargo test",
        [()] * 2,
        ["/r/target/debug/deps/server-0123456789abcdef", "/r/target/debug/deps/client-0123456789abcdef"],
    ),
    # What follows was not run, but written after the tools' documentation.
    "nextest": (
        "cargo-nextest nextest run",
        [("NEXTEST_EXECUTION_MODE=process-per-test",)] * 2,
        [f"/r/target/debug/deps/server-0123456789abcdef --exact tests::{name} --nocapture" for name in "ab"],
    ),
    "Gradle": (
        "java org.gradle.launcher.daemon.bootstrap.GradleDaemon 8",
        [()] * 2,
        [
            f"java -ea worker.org.gradle.process.internal.worker.GradleWorkerMain Gradle Test Executor {number}"
            for number in (1, 2)
        ],
    ),
    "Surefire": (
        "java -jar maven.jar verify",
        [()] * 2,
        [
            f"java -jar /r/surefirebooter-77.jar /r 2026-11-30T10-00-00_000-jvmRun{number} surefire-77tmp"
            for number in (1, 2)
        ],
    ),
    "Bazel": ("bazel-wrapper test", [("TEST_TARGET=//a:one",), ("TEST_TARGET=//a:two",)], ["./one", "./two"]),
    "Bazel's shards": (
        "bazel-wrapper test",
        [("TEST_TARGET=//a:one", f"TEST_SHARD_INDEX={number}") for number in (0, 1)],
        ["./one"] * 2,
    ),
}


@pytest.mark.parametrize("tool", CAPTURED)
def test_two_workers_of_a_known_runner_meet_and_each_owns_what_it_starts(tool: str) -> None:
    runs, environments, commands = CAPTURED[tool]
    events = []
    for pid, environment, command in zip((21, 22), environments, commands, strict=True):
        worker = Ancestor(pid, float(pid), "it", command, environment)
        events.append(seen(pid, main(command=runs), environment=environment, command=command))
        events.append(seen(pid + 10, worker, main(command=runs), environment=environment, command="server"))
    named = {pid: Party(0, worker) for pid, worker in workers(*events).items()}
    assert named[21].meets(named[22])
    assert (named[31].meets(named[21]), named[32].meets(named[22])) == (False, False)
    assert named[31].meets(named[22])
    assert named[31].meets(named[32])


def test_the_shell_by_which_surefire_starts_a_fork_is_no_worker_beside_it() -> None:
    fork = "java -jar /r/surefirebooter77.jar /r 2026-11-30T10-00-00_000-jvmRun1 surefire77tmp"
    shell = Ancestor(21, 21.0, "sh", f"/bin/sh -c cd '/r' && {fork}")
    assert workers(seen(22, shell, main(command="java org.codehaus.plexus Launcher test"), command=fork)) == {
        22: "jvmRun1"
    }


def test_environments_that_tox_runs_one_after_the_other_are_no_workers() -> None:
    tox = main(command="python tox run")
    assert workers(
        seen(11, tox, environment=("TOX_ENV_NAME=one",)), seen(12, tox, environment=("TOX_ENV_NAME=two",))
    ) == {
        11: "",
        12: "",
    }


def test_tests_that_ctest_runs_one_after_the_other_are_no_workers() -> None:
    ctest = main(command="ctest")
    assert workers(seen(11, ctest, command="./one"), seen(12, ctest, command="./two")) == {11: "", 12: ""}


def test_what_a_process_of_a_pool_forks_is_no_worker_beside_it() -> None:
    django = main(command="python manage.py test --parallel 2")
    worker = Ancestor(21, 21.0, "python", django.command)
    assert workers(seen(21, django, command=django.command), seen(31, worker, django, command=django.command)) == {
        21: "django",
        31: "django",
    }


def test_two_workers_of_one_name_are_told_apart() -> None:
    go = Ancestor(11, 11.0, "go", "go test ./...")
    assert workers(
        seen(21, go, main(), command="/tmp/go-build1/b001/server.test -test.v"),
        seen(22, go, main(), command="/tmp/go-build1/b045/server.test -test.v"),
    ) == {21: "server.test", 22: "server.test 2"}


def test_a_process_that_runs_another_program_is_described_anew() -> None:
    first = seen(21, main(), environment=("JEST_WORKER_ID=1",))
    assert workers(first, seen(21, main())) == {21: ""}


def test_the_worker_of_a_holder_is_named() -> None:
    holder = Holder(Party(0), 11, SocketState.LISTEN)
    stranger = Holder(None, 11, SocketState.LISTEN)
    bind = Bind(t_ns=3, source="seccomp", caller=by(0, MAIN), asked=AT, errno="?", holders=(holder, stranger))
    *_, named = with_workers(in_order([started(), seen(11, main(), xdist="gw0"), bind]))
    assert isinstance(named, Bind)
    assert [each.party for each in named.holders] == [Party(0, "gw0"), None]


def test_recipes_of_a_parallel_make_are_presumed_workers_also_in_makes_below_it() -> None:
    top = main(command="make -j 4 check")
    below = Ancestor(11, 11.0, "make", "make check-TESTS")
    one = Ancestor(21, 21.0, "sh", "/bin/sh ./one.sh")
    assert workers(
        seen(21, below, top, command=one.command),
        seen(22, below, top, command="/bin/sh ./two.sh"),
        seen(31, one, below, top, command="./server"),
        seen(32, one, below, top, command="./client"),
    ) == {21: "~make/~one.sh", 22: "~make/~two.sh", 31: "~make/~one.sh", 32: "~make/~one.sh"}


def test_recipes_of_a_make_without_jobs_are_no_workers() -> None:
    assert workers(seen(21, main(command="make check"), command="./one")) == {21: ""}


def test_what_a_script_starts_is_presumed_to_be_workers_by_its_command_line() -> None:
    script = main(command="/bin/sh check.sh")
    subshell = Ancestor(11, 11.0, "sh", "/bin/sh check.sh")
    assert workers(
        seen(21, subshell, script, command="node a.test.js"),
        seen(22, script, command="node b.test.js"),
        seen(23, script, command="node a.test.js"),
    ) == {21: "~a.test.js", 22: "~b.test.js", 23: "~a.test.js"}


def test_a_line_of_a_shell_that_puts_nothing_in_the_background_starts_no_workers() -> None:
    for line, worker in (("cd test && node a.js 2>&1", ""), ("node a.js & node b.js", "~a.js")):
        assert workers(seen(21, main(command=f"sh -c {line}"), command="node a.js")) == {21: worker}


def test_what_a_worker_s_shell_starts_is_the_worker_s() -> None:
    job = Ancestor(11, 11.0, "sh", "/bin/sh ./job.sh", ("PARALLEL_SEQ=1",))
    inherited = job.environment
    assert workers(
        seen(21, job, main(command="perl /usr/bin/parallel"), environment=inherited, command="./server"),
    ) == {21: "job 1"}


def in_threads(*binds: tuple[int, str, int, int]) -> list[str]:
    """The worker of each bind of one Rust test binary: (tid, name of the thread, port asked for, port got)."""
    events: list[Event] = [started(), seen(21, main(command="cargo test"), command="/r/deps/it-0123456789abcdef")]
    for t_ns, (tid, name, asked, got) in enumerate(binds, 3):
        caller = by(0, 21, tid=tid, test=name, attribution=AttributedBy.THREAD_NAME if name else AttributedBy.NONE)
        events.append(Bind(t_ns=t_ns, caller=caller, asked=AT._replace(port=asked), got=AT._replace(port=got)))
    return [event.party.worker for event in with_workers(events) if isinstance(event, Bind) and event.party]


LONG = "tests::unreacha"


def test_threads_of_a_rust_binary_that_are_named_after_tests_are_workers() -> None:
    assert in_threads((31, "tests::a", 0, 1), (32, "tests::b", 0, 2), (33, "", 0, 3)) == [
        "it/tests::a",
        "it/tests::b",
        "it",
    ]


def test_the_thread_of_a_test_that_nextest_runs_in_a_process_of_its_own_is_no_worker_in_it() -> None:
    command = "/r/deps/it-0123456789abcdef --exact tests::a --nocapture"
    environment = ("NEXTEST_EXECUTION_MODE=process-per-test",)
    caller = by(0, 21, tid=31, test="tests::a", attribution=AttributedBy.THREAD_NAME)
    runner = main(command="cargo-nextest nextest run")
    events = [
        started(),
        seen(21, runner, command=command, environment=environment),
        Bind(t_ns=3, caller=caller, asked=AT),
    ]
    assert [event.party for event in with_workers(events) if isinstance(event, Bind)] == [Party(0, "tests::a")]


def test_threads_of_one_whole_name_are_of_one_test() -> None:
    assert in_threads((31, "tests::a", 0, 1), (32, "tests::a", 0, 2)) == ["it/tests::a"] * 2


def test_threads_of_one_name_that_may_be_cut_are_tests_of_their_own() -> None:
    assert in_threads((31, LONG, 0, 1), (32, LONG, 0, 2)) == [f"it/{LONG}", f"it/{LONG} 2"]


def test_a_thread_that_takes_the_port_that_another_of_its_name_drew_is_of_its_test() -> None:
    assert in_threads((31, LONG, 0, 1), (32, LONG, 1, 1), (32, LONG, 0, 2)) == [f"it/{LONG}"] * 3


def test_the_recorder_alone_names_workers_too() -> None:
    process = ProcessSeen(t_ns=3, source=SensorName.RECORDER, caller=by(0, 11), xdist_worker="gw0")
    bind = Bind(t_ns=3, source=SensorName.RECORDER, caller=by(0, 11), asked=AT)
    *_, named = with_workers(in_order([started(), bind, process]))
    assert isinstance(named, Bind)
    assert named.party == Party(0, "gw0")


def test_the_recorder_tells_what_the_table_looks_at() -> None:
    # It runs inside the user's programs, and imports nothing of parasuite.
    source = Path(*recorder.__path__, "_parasuite_log.py").read_text()
    told = re.search(r"^WORKER_VARIABLES = (\(.*?\n\))", source, re.MULTILINE | re.DOTALL)
    assert told is not None
    others = {CURRENT_TEST, XDIST_WORKER, CopyVariable.FIXTURE, CopyVariable.STARTED_AT}
    assert {*ast.literal_eval(told[1])} | others == set(VARIABLES)
