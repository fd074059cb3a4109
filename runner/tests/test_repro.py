"""`parasuite repro`: each planted finding is reproduced at the first try, and not any more once it is cured."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parasuite.model.proof import ProofOutcome
from parasuite.model.words import Protocol
from parasuite.record.finding_search import NO_RUN
from parasuite.reports.proof_lines import NOT_PROVEN, NOT_REPRODUCED, REPRODUCED
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port
from netsupport.tests import real_tools
from runner.tests.conftest import Finished, Parasuite, clean_environment, planted

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)

from parasuite.run.networks.prepare import why_no_network

NAMES = ("fixed", "reuse", "crosstalk", "hang", "first", "second")
PATIENCE_S = "60"
# By planted test: the cause of its finding, and what its failure says.
FAILING = {
    "test_fixed[tcp]": ("hard-coded", "Address already in use"),
    "test_fixed[udp]": ("hard-coded", "Address already in use"),
    "test_lost[tcp]": ("lost-port", "Address already in use"),
    "test_lost[udp]": ("lost-port", "Address already in use"),
    "test_closed": ("closed-port", "DID NOT RAISE"),
    "test_reuse_udp": ("reuse", "timed out"),
    "test_reuse_tcp": ("hard-coded", "timed out"),
}


@dataclass(frozen=True)
class Suite:
    """A run of the planted suite by two copies, and its findings by the name of their test."""

    parasuite: Parasuite
    finished: Finished
    findings: dict[str, dict[str, Any]]

    def repro(self, test: str, *options: str, environ: dict[str, str] | None = None) -> Finished:
        return self.parasuite("repro", self.findings[test]["id"], "--timeout", PATIENCE_S, *options, environ=environ)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("provoked")
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(reserve_port(child_reuses_address=False)).port for name in NAMES}
        environ = {
            "PLANTED_PORTS": ",".join(f"{name}={port}" for name, port in ports.items()),
            "PYTEST_ADDOPTS": "-p no:randomly",
        }
        parasuite = Parasuite(folder, clean_environment() | environ)
        finished = parasuite.run_pytest("-j", "2", planted("provoked"))
        assert finished.code == 0, finished.stdout + finished.stderr
        by_test = {finding["tests"][0].rpartition("::")[2]: finding for finding in finished.findings}
        yield Suite(parasuite, finished, by_test)


def first_line(finished: Finished) -> str:
    """What came of it: the line after the title."""
    return finished.stdout.splitlines()[1]


@pytest.mark.parametrize("test", FAILING)
def test_a_planted_finding_is_reproduced_at_the_first_try(suite: Suite, test: str) -> None:
    cause, message = FAILING[test]
    assert suite.findings[test]["cause"] == cause
    finished = suite.repro(test)
    assert finished.code == 66, finished.stdout + finished.stderr
    assert first_line(finished).startswith(REPRODUCED)
    assert f"::{test} failed" in first_line(finished)
    assert message in finished.stdout.splitlines()[2]


def test_a_test_that_hangs_is_named_with_the_line_where_it_waits(suite: Suite) -> None:
    finished = suite.parasuite("repro", suite.findings["test_that_waits_for_an_answer"]["id"], "--timeout", "3")
    assert finished.code == 66, finished.stdout + finished.stderr
    assert "test_that_waits_for_an_answer did not end in time" in first_line(finished)
    assert "in test_that_waits_for_an_answer" in finished.stdout.splitlines()[2]


def test_a_test_that_passes_although_it_talked_to_parasuite_is_reproduced_and_no_socket_is_left(suite: Suite) -> None:
    port = suite.findings["test_that_talks_to_whom_it_finds"]["endpoint"]["port"]
    before = sockets_at(port)
    finished = suite.repro("test_that_talks_to_whom_it_finds")
    assert finished.code == 66, finished.stdout + finished.stderr
    assert "talked to parasuite" in first_line(finished)
    assert "connections that came to it: 1" in finished.stdout
    assert "test_that_talks_to_whom_it_finds" in finished.stdout.splitlines()[2]
    assert sockets_at(port) == before


def test_a_test_that_tries_another_port_is_said_to_have_passed_by_that(suite: Suite) -> None:
    finished = suite.repro("test_that_tries_the_next_port")
    assert finished.code == 0
    assert "every test passed by trying another port" in first_line(finished)


@pytest.mark.parametrize("test", ["test_fixed[tcp]", "test_lost[udp]"])
def test_after_the_cure_it_is_not_reproduced(suite: Suite, test: str) -> None:
    finished = suite.repro(test, environ={"PLANTED_CURED": "1"})
    assert finished.code == 0, finished.stdout + finished.stderr
    assert first_line(finished).startswith(NOT_REPRODUCED)
    assert "not asked for any more" in first_line(finished)


def test_what_cannot_be_provoked_is_said_and_nothing_runs(suite: Suite) -> None:
    finished = suite.repro("test_exposed")
    assert finished.code == 3
    assert first_line(finished).startswith(NOT_PROVEN)
    assert "copy 0" not in finished.stderr


def test_the_beginning_of_an_id_and_a_folder_are_enough_and_only_its_tests_run(
    suite: Suite,
) -> None:
    finding = suite.findings["test_fixed[udp]"]
    finished = suite.parasuite("repro", finding["id"][:9], str(suite.finished.folder))
    assert finished.code == 66, finished.stdout + finished.stderr
    *_, its_run, once_more = finished.stdout.splitlines()
    assert once_more == f"once more: parasuite repro {finding['id']} {suite.finished.folder}"
    folder = (finished.cwd / its_run.removeprefix("its run: ")).resolve()
    assert folder.parents[1] == suite.finished.folder == finished.folder
    results = [json.loads(line) for line in (folder / "copies/000/results.jsonl").read_text().splitlines()]
    assert {result["id"].rpartition("::")[2] for result in results if "id" in result} == {"test_fixed[udp]"}


def test_an_unknown_id_is_an_error_that_lists_those_that_there_are(suite: Suite) -> None:
    finished = suite.parasuite("repro", "ffffffffff")
    assert finished.code == 2
    assert finished.stderr.count("\n") == 1
    assert suite.findings["test_fixed[tcp]"]["id"] in finished.stderr


def test_an_ambiguous_beginning_is_an_error_that_lists_what_it_may_mean(suite: Suite) -> None:
    finished = suite.parasuite("repro", "")
    assert finished.code == 2
    assert "is the beginning of several findings" in finished.stderr


def test_without_a_run_there_is_an_error_that_says_what_to_do(parasuite: Parasuite) -> None:
    finished = parasuite("repro", "0123456789")
    assert (finished.code, finished.stderr) == (2, f"parasuite: {NO_RUN.format(where='.parasuite')}\n")


@pytest.mark.parametrize("text", ["", '{"findings": [{"id": 3}]}'])
def test_a_damaged_file_of_findings_is_an_error_in_one_line(suite: Suite, parasuite: Parasuite, text: str) -> None:
    folder = parasuite.cwd / "run"
    folder.mkdir()
    (folder / "run.json").write_text((suite.finished.folder / "run.json").read_text())
    (folder / "findings.json").write_text(text)
    finished = parasuite("repro", "0123456789", str(folder))
    assert finished.code == 2
    assert finished.stderr.count("\n") == 1
    assert "findings.json" in finished.stderr


_STATIC_C = """
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
    struct sockaddr_in here = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    return bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 1);
}
"""
_NODE = "require('net').createServer().listen(+process.argv[1], '127.0.0.1', function () { this.close() })"


_JAVA = """
class Server {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        new java.net.ServerSocket(port, 5, java.net.InetAddress.getLoopbackAddress()).close();
    }
}
"""


@pytest.fixture(params=["node", "java", "static C"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A program that binds the port in its last argument, and fails if it cannot."""
    if request.param == "node":
        return [real_tools.program("node"), "-e", _NODE]
    if request.param == "java":
        (tmp_path / "Server.java").write_text(_JAVA)
        return [real_tools.program("java"), str(tmp_path / "Server.java")]
    source, made = tmp_path / "server.c", tmp_path / "server"
    source.write_text(_STATIC_C)
    compiler = real_tools.program_if_any("gcc", "cc")
    argv = [compiler, "-static", "-o", str(made), str(source)]
    if not compiler or subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        pytest.skip("a static C program cannot be compiled here")
    return [str(made)]


def test_the_port_of_a_program_in_any_language_is_taken(parasuite: Parasuite, program: list[str]) -> None:
    with reserve_port(child_reuses_address=False) as lease:
        run = parasuite("run", "-j", "2", "--", *program, str(lease.port))
        (finding,) = run.findings
        finished = parasuite("repro", finding["id"])
    assert finished.code == 66, finished.stdout + finished.stderr
    assert first_line(finished).startswith(REPRODUCED)
    assert f"127.0.0.1:{lease.port}" in finished.stdout


def sockets_at(port: int) -> set[tuple[str, int]]:
    """Every socket of this network that has *port* for itself."""
    with netlink.Table() as table:
        rows = table.rows(Protocol.TCP, netlink.TCP_OWNERS, port) + table.rows(Protocol.UDP, netlink.UDP_STATES, port)
    return {(row.address, row.cookie) for row in rows}


# Compares the whole table of a network in which nothing else runs, before and after the parasuite of its arguments.
_ALONE = """
import json, subprocess, sys
from parasuite.model.words import Protocol
from parasuite.run.networks.prepare import enter_private
from parasuite.sensors import netlink

def sockets():
    with netlink.Table() as table:
        rows = table.rows(Protocol.TCP, netlink.TCP_OWNERS) + table.rows(Protocol.UDP, netlink.UDP_STATES)
    return [[row.address, row.port] for row in rows]

enter_private()
before = sockets()
done = subprocess.run([sys.executable, "-m", "parasuite", *sys.argv[1:]], stdout=sys.stderr)
print(json.dumps({"code": done.returncode, "before": before, "after": sockets()}))
"""


@pytest.mark.skipif(bool(why_no_network()), reason=f"no new network: {why_no_network()}")
def test_after_a_run_and_its_proofs_the_whole_network_is_as_it_was_before(parasuite: Parasuite) -> None:
    environ = {
        "PLANTED_PORTS": ",".join(f"{name}={20_000 + number}" for number, name in enumerate(NAMES)),
        "PYTEST_ADDOPTS": "-p no:randomly",
    }
    tests = ("-k", "test_reuse_udp", planted("provoked"))
    arguments = ("run", "-j", "1", "--prove", "300", "--python", sys.executable, *tests)
    process = parasuite.start(*arguments, environ=environ, program=("-c", _ALONE))
    finished = parasuite.finish(process)
    assert json.loads(finished.stdout) == {"code": 0, "before": [], "after": []}, finished.stderr
    outcomes = {finding["proof"]["outcome"] for finding in finished.findings}
    assert outcomes == {ProofOutcome.FAILED}


def ports_of(lines: str) -> set[int]:
    events = [json.loads(line) for line in lines.splitlines(keepends=True) if line.endswith("\n")]
    return {event["endpoint"][2] for event in events if event["kind"] == "taken"}


def test_a_stand_in_whose_process_is_killed_leaves_no_port_behind(suite: Suite) -> None:
    finding = suite.findings["test_that_waits_for_an_answer"]
    port = finding["endpoint"]["port"]
    before = sockets_at(port)
    seen = set(suite.finished.folder.glob("proof/*"))
    started = suite.parasuite.start("repro", finding["id"])
    give_up_s = time.monotonic() + 120
    events: list[Path] = []
    while not any(port in ports_of(path.read_text()) for path in events):
        assert time.monotonic() < give_up_s, "the port was never taken"
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
        events = [
            path for path in suite.finished.folder.glob("proof/*/events/seccomp.jsonl") if path.parents[1] not in seen
        ]
    assert sockets_at(port) - before
    record = json.loads((events[0].parents[1] / "run.json").read_text())
    os.kill(record["supervisor_pid"], signal.SIGKILL)
    finished = suite.parasuite.finish(started)
    assert finished.code == 3, finished.stdout + finished.stderr
    assert first_line(finished).startswith(NOT_PROVEN)
    assert sockets_at(port) == before


def test_what_is_reproduced_and_what_is_not_are_told_apart() -> None:
    reproduced = {outcome for outcome in ProofOutcome if outcome.is_reproduced}
    assert reproduced == {ProofOutcome.FAILED, ProofOutcome.HUNG, ProofOutcome.CROSSTALK}
