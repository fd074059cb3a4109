"""Every planted defect is found by the exact sensors, with both sides right; nothing is said of the innocents."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest
from parasuite.judge.findings.find import WITHOUT_HOLDER
from parasuite.model.events import Connect, Listen
from parasuite.model.network import OUR_NETWORK
from parasuite.model.party import Party
from parasuite.model.words import Protocol
from parasuite.record.run_folder import RunFolder
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port
from netsupport.tests import real_tools
from runner.tests.conftest import Finished, Parasuite, planted
from runner.tests.golden_names import assert_golden

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)

from parasuite.run.networks.prepare import why_no_network

_STATIC_C = """
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_in here = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 1)) return 1;
    pause();
}
"""
FIXED = [
    "test_refused_fixed_port",
    "test_refused_by_a_wildcard",
    "test_refused_by_a_dual_stack",
    "test_refused_by_a_bound_socket",
    "test_refused_by_a_daemon",
    "test_refused_by_multipath",
    "test_refused_by_node",
    "test_refused_by_java",
    "test_refused_by_openssl",
    "test_refused_by_static_c",
    "test_refused_and_recovered",
    "test_shared_by_reuseport",
    "test_shared_wildcard_over_specific",
    "test_shared_udp",
    "test_hard_coded_in_copies_that_never_meet",
    "test_foreign",
]
TAKEN_OVER = "shared_by_taking_a_path_over"
NATIVE = {"refused_by_node": "node", "refused_by_java": "java", "refused_by_openssl": "openssl"}


@pytest.fixture(scope="module")
def static_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A static C server; "" where there is no compiler for it."""
    folder = tmp_path_factory.mktemp("static")
    folder.chmod(0o755)
    (folder / "server.c").write_text(_STATIC_C)
    compiler = real_tools.program_if_any("gcc", "cc")
    argv = [compiler, "-static", "-o", str(folder / "server"), str(folder / "server.c")]
    is_made = bool(compiler) and subprocess.run(argv, capture_output=True, check=False).returncode == 0
    real_tools.note("a static C program", "" if is_made else "it cannot be compiled")
    return str(folder / "server") if is_made else ""


@pytest.fixture
def environ(static_program: str) -> Iterator[dict[str, str]]:
    """The numbers reserved for this run's defects, the programs that are here, and a process outside the run."""
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(reserve_port(child_reuses_address=False)).port for name in FIXED}
        outside = stack.enter_context(socket.socket())
        outside.bind(("127.0.0.1", ports["test_foreign"]))
        outside.listen()
        programs = [name for name in NATIVE.values() if real_tools.program_if_any(name)]
        yield {
            "PLANTED_PORTS": ",".join(f"{name}={port}" for name, port in ports.items()),
            "PLANTED_PROGRAMS": ",".join([*programs, *([static_program] if static_program else [])]),
            "PLANTED_STATIC": static_program or "none",
            "PLANTED_NAME": f"planted-{secrets.token_hex(8)}",
            "PLANTED_PATH": f"{stack.enter_context(tempfile.TemporaryDirectory())}/planted.sock",
            "PYTEST_ADDOPTS": "-p no:randomly",
        }


def named(side: dict[str, Any]) -> str:
    return str(side["test"]).rpartition("::")[2].removeprefix("test_")


def names(finding: dict[str, Any]) -> set[str]:
    """The tests that its sides and the sides of its effects belong to."""
    effects = (side for effect in finding["effects"] for side in effect["sides"])
    return {named(side) for side in (*finding["sides"], *effects)} - {""}


Reported = tuple[str, str, frozenset[str], frozenset[str]]


def reported(finished: Finished) -> set[Reported]:
    """(cause, severity, effects, tests) of every finding that is no note."""
    return {
        (
            finding["cause"],
            finding["severity"],
            frozenset(map(with_severity, finding["effects"])),
            frozenset(names(finding)),
        )
        for finding in finished.findings
        if finding["severity"] != "note"
    }


def with_severity(effect: dict[str, Any]) -> str:
    """ "refused: held a, wanted b": its kind, and the role and test of its sides."""
    sides = sorted(f"{side['role']} {named(side)}".strip() for side in effect["sides"])
    return f"{effect['kind']}{' (recovered)' if effect['recovered'] else ''}: {', '.join(sides)}"


def a_report(cause: str, severity: str, test: str, *effects: str) -> Reported:
    return (cause, severity, frozenset(effects), frozenset({test}))


def expected(environ: dict[str, str]) -> set[Reported]:
    programs = environ["PLANTED_PROGRAMS"].split(",")
    refused = (
        "refused_fixed_port",
        "refused_by_a_wildcard",
        "refused_by_a_dual_stack",
        "refused_by_a_bound_socket",
        "refused_by_a_daemon",
        "refused_by_multipath",
        "refused_released_and_lost",
        "refused_held_and_lost",
        "refused_abstract_name",
        *(name for name, program in NATIVE.items() if program in programs),
        *(["refused_by_static_c"] if environ["PLANTED_STATIC"] in programs else []),
    )
    found = {a_report("hard-coded", "error", name, f"refused: held {name}, wanted {name}") for name in refused}
    name = "refused_and_recovered"
    found.add(a_report("hard-coded", "warning", name, f"refused (recovered): held {name}, wanted {name}"))
    for name in ("shared_by_reuseport", "shared_wildcard_over_specific", "shared_udp", TAKEN_OVER):
        found.add(a_report("hard-coded", "error", name, f"shared: held {name}, held {name}"))
    for name in ("crosstalk", "crosstalk_udp"):
        found.add(a_report("unknown", "error", name, f"crosstalk: client {name}, server {name}"))
    for name in ("hard_coded_in_copies_that_never_meet", "hard_coded_abstract_name"):
        found.add(a_report("hard-coded", "warning", name))
    found.add(a_report("hard-coded", "warning", "foreign", "foreign: held, wanted foreign"))
    found.add(a_report("lost-port", "warning", "rebind"))
    found.add(a_report("reuse", "warning", "reuse"))
    found.add(a_report("orphan", "error", "orphan"))
    # One helper opens every listener on a wildcard, so that is one thing to fix.
    wildcards = {"refused_by_a_wildcard", "refused_by_a_dual_stack", "shared_wildcard_over_specific", "exposed"}
    found.add(("exposed", "warning", frozenset(), frozenset(wildcards)))
    return found


def expected_apart(environ: dict[str, str]) -> set[Reported]:
    """What is expected where each copy has a network of its own: the same ports are fixed, and nothing has happened,
    except by a Unix path, which the copies share, and by a daemon. No other host can reach a copy.
    """
    found = {
        a_report("hard-coded", "warning", name)
        for cause, _, effects, tests in expected(environ)
        if cause == "hard-coded"
        and not any(effect.startswith("shared: ") and TAKEN_OVER in effect for effect in effects)
        for name in tests
    }
    # A port that one copy was assigned, and the other was told, was lost to nobody and is fixed nowhere.
    found -= {
        a_report("hard-coded", "warning", name) for name in ("refused_released_and_lost", "refused_held_and_lost")
    }
    found.add(a_report("lost-port", "warning", "refused_released_and_lost"))
    found.add(a_report("hard-coded", "error", TAKEN_OVER, f"shared: held {TAKEN_OVER}, held {TAKEN_OVER}"))
    found.add(a_report("lost-port", "warning", "rebind"))
    found.add(a_report("reuse", "warning", "reuse"))
    found.add(a_report("orphan", "error", "orphan"))
    return found


def expected_of_the_recorder(environ: dict[str, str]) -> set[Reported]:
    """What is expected where the recorder tells of Python's calls: not whether a socket that lost its path still was
    open.
    """
    others = {found for found in expected(environ) if TAKEN_OVER not in found[3]}
    return {*others, a_report("hard-coded", "warning", TAKEN_OVER)}


def assert_golden_defects(finished: Finished, environ: dict[str, str], without: Set[str] = frozenset()) -> None:
    """Compare ids and case names with those on file, without those of programs that are missing here."""
    reserved = dict(pair.split("=") for pair in environ["PLANTED_PORTS"].split(","))
    reserved["test_hard_coded_abstract_name"] = "@" + environ["PLANTED_NAME"]
    reserved["test_refused_abstract_name"] = f"@{environ['PLANTED_NAME']}-refused"
    reserved[f"test_{TAKEN_OVER}"] = environ["PLANTED_PATH"]
    needs = {f"test_{name}": program for name, program in NATIVE.items()}
    needs["test_refused_by_static_c"] = environ["PLANTED_STATIC"]
    programs = environ["PLANTED_PROGRAMS"].split(",")
    missing = {test for test, program in needs.items() if program not in programs}
    assert_golden(finished, "defects", reserved, missing | without)


@pytest.mark.usefixtures("ample_network")
@pytest.mark.parametrize(("copies", "start"), [(2, "exec"), (8, "exec"), (2, "fork")])
def test_each_planted_defect_is_found_with_both_sides_under_its_golden_id(
    parasuite: Parasuite, environ: dict[str, str], copies: int, start: str
) -> None:
    finished = parasuite.run_pytest("-j", str(copies), "--start", start, planted("defects"), environ=environ)
    assert "not forked" not in finished.stdout
    assert finished.code == 66, finished.stdout[-3000:] + finished.stderr
    assert reported(finished) == expected(environ)
    exact = {finding["evidence"] for finding in finished.findings if finding["cause"] != "hard-coded"}
    assert exact == {"exact"}
    for finding in finished.findings:
        for effect in finding["effects"]:
            if effect["kind"] == "refused":
                held = next(side for side in effect["sides"] if side["role"] == "held")
                assert held["party"]["copy"] == (1 if "lost" in held["test"] else 0), finding
                lines = [frame["file"] for side in effect["sides"] for frame in side["frames"]]
                assert any("test_defects.py" in line for line in lines), finding
    assert_golden_defects(finished, environ)


@pytest.mark.usefixtures("ample_network")
@pytest.mark.skipif(bool(why_no_network()), reason=f"no new network: {why_no_network()}")
def test_in_networks_of_their_own_the_same_ports_are_fixed_and_nothing_happens(
    parasuite: Parasuite, environ: dict[str, str]
) -> None:
    arguments = ("-j", "2", "--network", "each", planted("defects"))
    finished = parasuite.run_pytest(*arguments, environ=environ | {"PLANTED_APART": "1"})
    assert finished.code == 66, finished.stdout[-3000:] + finished.stderr
    assert reported(finished) == expected_apart(environ)
    assert {finding["evidence"] for finding in finished.findings} == {"exact"}


@pytest.mark.usefixtures("ample_network")
@pytest.mark.parametrize("sensors", ["auto", "recorder,sampler"])
@pytest.mark.parametrize(("copies", "start"), [(2, "exec"), (8, "exec"), (2, "fork")])
def test_nothing_is_said_of_the_innocents(parasuite: Parasuite, copies: int, start: str, sensors: str) -> None:
    with reserve_port(child_reuses_address=False) as lease:
        environ = {"PLANTED_PORT": str(lease.port)}
        finished = parasuite.run_pytest(
            "-j", str(copies), "--start", start, "--sensors", sensors, planted("look_alikes"), environ=environ
        )
    assert "not forked" not in finished.stdout
    assert (finished.code, reported(finished)) == (0, set()), finished.stdout[-3000:]


@pytest.mark.parametrize("copies", [2, 8])
def test_nothing_is_said_of_clients_beside_a_listener_in_a_network_of_its_own(
    parasuite: Parasuite, copies: int
) -> None:
    in_order = {"PYTEST_ADDOPTS": "-p no:randomly"}
    finished = parasuite.run_pytest("-j", str(copies), planted("private_network"), environ=in_order)
    assert (finished.code, reported(finished)) == (0, set()), finished.stdout[-3000:]
    if "skipped" in finished.verdict:
        pytest.skip("user and network namespaces are refused here")
    # The silence is worth something because both sides were seen.
    events = list(RunFolder(finished.folder).events(lambda: False))
    listening = [event.got for event in events if isinstance(event, Listen) and event.party == Party(0)]
    assert [(got.address, got.port, got.network.is_ours) for got in listening if got] == [("0.0.0.0", 443, False)] * 2
    asked_for = [
        (event.party, to.protocol, to.address, to.port, to.network)
        for event in events
        if isinstance(event, Connect) and (to := event.destination).address == "192.0.2.1"
    ]
    assert sorted(asked_for) == [
        (Party(copy), protocol, "192.0.2.1", 443, OUR_NETWORK)
        for copy in range(1, copies)
        for protocol in (Protocol.TCP, Protocol.UDP)
    ]


SANS_NATIVE = {*NATIVE, "refused_by_static_c", "foreign"}


def of_python(environ: dict[str, str]) -> set[Reported]:
    """What is expected of Python's own sockets alone; who stands outside the run, the recorder cannot tell."""
    return {found for found in expected_of_the_recorder(environ) if not found[3] & SANS_NATIVE}


@pytest.mark.parametrize("start", ["exec", "fork"])
def test_the_recorder_alone_finds_those_of_python(parasuite: Parasuite, environ: dict[str, str], start: str) -> None:
    recorded = ("--start", start, "--sensors", "recorder,sampler")
    finished = parasuite.run_pytest("-j", "2", *recorded, planted("defects"), environ=environ)
    assert finished.code == 66, finished.stdout[-3000:] + finished.stderr
    assert of_python(environ) - reported(finished) == set()
    unknown = {found for found in reported(finished) - of_python(environ) if not SANS_NATIVE & found[3]}
    assert unknown == set()
    assert WITHOUT_HOLDER.format(binds="").strip() in finished.stdout
    assert "programs that are not Python" in finished.stdout
    assert_golden_defects(finished, environ, without={f"test_{name}" for name in SANS_NATIVE})


def refuse_duplicates() -> None:
    """In a child: have pidfd_getfd(2) answer EPERM from now on, as container profiles do."""
    load, equal, answer = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 0), (equal, 0, 1, 438), (answer, 0, 0, 0x00050000 | 1), (answer, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program) == 0


def test_where_duplicates_are_refused_the_loss_and_its_cure_are_named_and_nothing_is_silent(
    parasuite: Parasuite, environ: dict[str, str]
) -> None:
    started = parasuite.start(
        "run",
        "--python",
        sys.executable,
        "-j",
        "2",
        planted("defects"),
        environ=environ,
        preexec_fn=refuse_duplicates,
    )
    finished = parasuite.finish(started)
    assert finished.code == 66, finished.stdout[-3000:] + finished.stderr
    assert "seccomp saw less than it could: pidfd_getfd: Operation not permitted" in finished.stdout
    assert "CAP_SYS_PTRACE" in finished.stdout
    assert reported(finished) == expected_of_the_recorder(environ)
    of_others = {
        name for finding in finished.findings if finding["evidence"] == "attempted" for name in names(finding)
    }
    programs = environ["PLANTED_PROGRAMS"].split(",")
    natives = {name for name, program in NATIVE.items() if program in programs}
    static = {"refused_by_static_c"} if environ["PLANTED_STATIC"] in programs else set()
    assert of_others == {*natives, *static, "foreign"}
    assert {finding["evidence"] for finding in finished.findings} == {"exact", "attempted"}
    assert WITHOUT_HOLDER.format(binds="").strip() not in finished.stdout
    assert_golden_defects(finished, environ)


def test_the_planted_folder_is_readable_by_everyone() -> None:
    assert os.access(Path(planted("defects")), os.R_OK)
