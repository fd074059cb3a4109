"""Each call is attributed to the right copy, process, program, test and line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from parasuite.model.events import Bind, ProcessSeen
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.sensors.recorder import _parasuite_page as layout
from parasuite.sensors.seccomp import callers
from parasuite.sensors.seccomp.filter import ARCHITECTURE
from parasuite.sensors.seccomp.foreign import Kernel, open_process_of

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.recording import RECORDER, environment
from runner.tests.tracing import (
    SOCKETS,
    only,
    python,
    room_for_descriptors,
    trace,
    tracer,
)

if TYPE_CHECKING:
    pass


def test_calls_of_all_threads_are_reported() -> None:
    events = trace(
        """
        import threading
        threads = [threading.Thread(target=lambda: socket.create_server(("127.0.0.1", 0)).close()) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    binds = only(events, Bind)
    assert len({event.caller.process.pid for event in binds}) == 1
    assert len(binds) == 8


def test_a_daemon_that_left_its_session_and_its_parent_still_belongs_to_its_copy() -> None:
    events = trace(
        """
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                socket.create_server(("127.0.0.1", 0)).close()
                os.write(write, b"x")
            os._exit(0)
        os.wait(); os.read(read, 1)
        """
    )
    assert [event.party for event in only(events, Bind)] == [Party(0)]


def test_a_child_that_is_killed_in_a_call_delays_no_other_caller() -> None:
    with tracer() as made:
        child = made.start(
            python(SOCKETS + "while True:\n    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()")
        )
        other = made.start(python(SOCKETS + 'socket.create_server(("127.0.0.1", 0))'), copy=1)
        killer = subprocess.Popen([sys.executable, "-c", f"import os; os.kill({child.pid}, {int(signal.SIGKILL)})"])
        assert made.run() == [-signal.SIGKILL, 0]
        assert other.copy == 1
        killer.wait()


@pytest.mark.parametrize(("flags", "unrecorded"), [((), False), (("-I",), True)])
def test_a_python_that_a_recorded_one_executes_is_not_taken_for_it(
    tmp_path: Path, flags: tuple[str, ...], unrecorded: bool
) -> None:
    script = tmp_path / "suite.py"
    script.write_text("import socket\nsocket.create_server(('127.0.0.1', 0)).close()\n")
    code = f"import os, sys; os.execv(sys.executable, [sys.executable, *{flags!r}, {str(script)!r}])"
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, "-c", code], env=environment(tmp_path, "pages"))
        assert made.run() == [0]
        (bind,) = [event for event in made.events if isinstance(event, Bind)]
        line = "" if unrecorded else f"{script}:2:<module>"
        assert (str(bind.caller.location or ""), bool(made.watch.notes())) == (line, unrecorded)


@pytest.mark.parametrize(("flags", "unrecorded"), [((), False), (("-S",), True)])
def test_only_a_python_without_a_recorder_is_named_in_a_note(
    tmp_path: Path, flags: tuple[str, ...], unrecorded: bool
) -> None:
    # Its one call, a datagram socket's to another host, sends nothing and is worth no event.
    code = 'import socket; socket.socket(type=socket.SOCK_DGRAM).connect_ex(("192.0.2.1", 9))'
    env = environment(tmp_path, mode="pages")
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, *flags, "-c", code], env=env)
        assert made.run() == [0]
        assert bool(made.watch.notes()) is unrecorded


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("env -i {python} {script}", "started without parasuite's environment"),
        ("{python} -X utf8 -sI {script}", "ignore PYTHONPATH"),
        ("PYTHONPATH=own {python} {script}", "started without parasuite's environment"),
        ("rm -r {pages}; {python} {script}", "older than Python 3.8, or may not write"),
    ],
)
def test_a_python_without_a_recorder_is_named_once_with_its_command_and_the_reason(
    tmp_path: Path, start: str, reason: str
) -> None:
    script = tmp_path / "program.py"
    script.write_text("import socket\nsocket.create_server(('127.0.0.1', 0)).close()\n")
    command = start.format(python=sys.executable, script=script, pages=tmp_path / "pages")
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start(["sh", "-c", f"{command}; {command}"], env=environment(tmp_path, "pages"))
        assert made.run() == [0]
        (note,) = made.watch.notes()
    assert (reason in note, note.count(sys.executable[:40])) == (True, 1)


REMEMBERED = 4
# A process that binds in turn with children of its own, more of them than may be remembered.
BETWEEN_OTHERS = textwrap.dedent(
    f"""
    for _ in range({3 * REMEMBERED}):
        if os.fork() == 0:
            socket.socket().bind(("127.0.0.1", 0))
            os._exit(0)
        os.wait()
        socket.socket().bind(("127.0.0.1", 0))
    """
)


def test_a_process_is_reported_with_its_lines_however_many_others_call_between(tmp_path: Path) -> None:
    suite = tmp_path / "suite.py"
    with tracer({0: str(tmp_path / "pages")}, threads_max=REMEMBERED) as made:
        suite.write_text("import os, socket\n" + BETWEEN_OTHERS)
        made.start([sys.executable, str(suite)], env=environment(tmp_path, mode="pages"))
        assert made.run() == [0]
        binds = [event for event in made.events if isinstance(event, Bind)]
        assert (made.watch.failure, len(binds)) == ("", 6 * REMEMBERED)
        assert {str(event.caller.location or "").rpartition(":")[2] for event in binds} == {"<module>"}


def test_a_process_that_calls_more_often_than_others_is_described_once() -> None:
    events = trace(BETWEEN_OTHERS, threads_max=REMEMBERED)
    seen = [event.caller.process.pid for event in only(events, ProcessSeen)]
    assert sorted(seen) == sorted(set(seen))


def test_more_callers_than_there_are_descriptors_for_are_all_reported(tmp_path: Path) -> None:
    count = 120
    suite = tmp_path / "suite.py"
    suite.write_text(
        textwrap.dedent(
            f"""
            import os, socket
            for _ in range({count}):
                if os.fork() == 0:
                    socket.socket().bind(("127.0.0.1", 0))
                    os._exit(0)
                os.wait()
            """
        )
    )
    # Each takes two: a pidfd and its page.
    with room_for_descriptors(2 * count - 40), tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, str(suite)], env=environment(tmp_path, mode="pages"))
        assert made.run() == [0]
        binds = [event for event in made.events if isinstance(event, Bind)]
        assert (made.watch.failure, len(binds)) == ("", count)
        assert {str(event.caller.location or "").rpartition(":")[2] for event in binds} == {"<module>"}


def test_threads_of_a_rust_test_binary_are_known_by_their_names(tmp_path: Path) -> None:
    program = tmp_path / "deps" / "server-0123456789abcdef"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    code = """
        import socket, threading
        def bind(name):
            with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as stream:
                stream.write(name)
            socket.socket().bind(("127.0.0.1", 0))
        for name in ("tests::answers_every_request", "tokio-runtime-worker"):
            thread = threading.Thread(target=bind, args=(name,))
            thread.start(); thread.join()
    """
    with tracer() as made:
        made.start([str(program), "-I", "-S", "-c", textwrap.dedent(code)], env={})
        assert made.run() == [0]
        callers_of_binds = [event.caller for event in made.events if isinstance(event, Bind)]
    assert [(caller.test, caller.attribution) for caller in callers_of_binds] == [
        ("tests::answers_", "thread's name"),
        ("", ""),
    ]


def test_a_process_is_described_with_the_variables_and_the_ancestors_that_tell_its_worker() -> None:
    child = 'import socket; socket.socket().bind(("127.0.0.1", 0))'
    code = f"""
        import os, subprocess, sys
        environ = {{"JEST_WORKER_ID": "3", "SECRET": "not ours"}}
        subprocess.run([sys.executable, "-I", "-S", "-c", {child!r}], env=environ, check=True)
    """
    with tracer() as made:
        made.start(python(code), env={"TOX_ENV_NAME": "py311"})
        assert made.run() == [0]
        (seen,) = (event for event in made.events if isinstance(event, ProcessSeen))
        (parent,) = seen.ancestors
    assert (seen.environment, parent.environment) == (("JEST_WORKER_ID=3",), ("TOX_ENV_NAME=py311",))
    assert (parent.pid, parent.command.split()[0]) == (made.children[0].pid, sys.executable)


@pytest.fixture
def two_processes() -> Iterator[tuple[int, int]]:
    """The pids of two processes that wait."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as second:
            yield first.pid, second.pid


def test_a_tid_that_has_become_another_process_s_is_looked_up_again(two_processes: tuple[int, int]) -> None:
    first, second = two_processes
    answers = [first, second]
    # As before Linux 6.9, which has no pidfds of threads.
    kernel = Kernel(process_of=lambda _: answers.pop(0), open_thread=open_process_of)
    with contextlib.closing(callers.Callers({}, kernel)) as known:
        assert known.thread(second, 0).process.pid == first
        assert known.thread(second, 0).process.pid == second


@pytest.mark.parametrize("recorded", [True, False])
def test_a_program_is_reported_with_its_own_name_and_line_after_another_in_the_same_process(
    tmp_path: Path, recorded: bool
) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(
            "import os, socket, sys\n"
            's = socket.socket(); s.bind(("127.0.0.1", 0))\n'
            "if sys.argv[1:]: os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        )
    second = [*([] if recorded else ["-S"]), str(tmp_path / "second.py")]
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start(
            [sys.executable, str(tmp_path / "first.py"), *second],
            env=environment(tmp_path, mode="pages"),
            before=lambda: os.chdir(tmp_path),
        )
        assert made.run() == [0]
        lines = [str(event.caller.location or "") for event in made.events if isinstance(event, Bind)]
        seen = [event.command.partition(" ")[2] for event in made.events if isinstance(event, ProcessSeen)]
    assert lines == ["first.py:2:<module>", "second.py:2:<module>" if recorded else ""]
    assert seen == [" ".join([str(tmp_path / "first.py"), *second]), " ".join(second)]


def test_a_page_that_its_process_has_made_stale_is_no_longer_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RECORDER)
    written = layout.Page(str(tmp_path))
    written.publish(os.getpid(), layout.BIND, 3, "a test", "a line", layout.BY_THREAD)
    with contextlib.closing(callers.Callers({0: str(tmp_path)})) as known:
        process = known.thread(os.getpid(), 0).process
        assert process.attribution_of(os.getpid(), layout.BIND, 3).frames == (Location("a line", 0, ""),)
        with (tmp_path / str(os.getpid())).open("r+b") as stream:
            stream.write(bytes(len(layout.MAGIC)))
        assert process.attribution_of(os.getpid(), layout.BIND, 3).frames == ()
