"""Planted suites under the sampler alone: each defect it can see is found, nothing is said of look-alikes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from parasuite.reports.wording import NO_SENSOR, left_behind, not_seen_by

from runner.tests.conftest import Finished, Parasuite, kinds, planted
from runner.tests.golden_names import assert_golden

Watch = Callable[..., Finished]


@pytest.fixture
def watched(parasuite: Parasuite) -> Watch:
    """Run a planted suite under the sampler; its port, if it has one, comes from the caller."""

    def run(name: str, *arguments: str, port: int = 0) -> Finished:
        environ = {"PLANTED_PORT": str(port)}
        return parasuite.run_pytest("--sensors", "sampler", *arguments, planted(name), environ=environ)

    return run


def test_a_port_shared_by_reuseport_is_one_error_that_names_both_copies(
    watched: Watch, port_outside_the_ephemeral_range: int
) -> None:
    port = port_outside_the_ephemeral_range
    finished = watched("shared", "-j", "2", port=port)
    assert finished.code == 66, finished.stdout + finished.stderr
    (finding,) = finished.findings
    (shared,) = finding["effects"]
    assert finding["endpoint"] == {"protocol": "tcp", "address": "127.0.0.1", "port": port}
    assert [party["copy"] for party in finding["parties"]] == [0, 1]
    assert (finding["severity"], finding["evidence"], shared["kind"]) == ("error", "sampled", "shared")
    assert {(side["party"]["copy"], side["test"].rpartition("::")[2]) for side in shared["sides"]} == {
        (0, "test_a_server_shares_its_port"),
        (1, "test_a_server_shares_its_port"),
    }
    assert_golden(finished, "shared", {"test_a_server_shares_its_port": str(port)})
    cases = ElementTree.parse(finished.folder / "junit.xml").iterfind(
        ".//testsuite[@name='parasuite.ports']/testcase"
    )
    failing = [case for case in cases if case.find("failure") is not None]
    assert [case.get("name") for case in failing] == [f"hard-coded tcp {port} {finding['id']}"]
    assert all(f"copy {copy}" in (failing[0].findtext("failure") or "") for copy in (0, 1))


def test_fail_on_never_reports_and_passes(watched: Watch, port_outside_the_ephemeral_range: int) -> None:
    finished = watched("shared", "-j", "2", "--fail-on", "never", port=port_outside_the_ephemeral_range)
    assert (finished.code, "shared" in kinds(finished)) == (0, True)


@pytest.mark.parametrize("copies", [2, 8])
def test_one_socket_in_many_processes_and_sharing_inside_a_copy_are_silent(watched: Watch, copies: int) -> None:
    finished = watched("innocent", "-j", str(copies))
    assert (finished.code, kinds(finished)) == (0, []), finished.stdout


@pytest.mark.usefixtures("ample_network")
def test_eight_copies_of_three_hundred_ephemeral_listeners_are_silent(watched: Watch) -> None:
    finished = watched("ephemeral", "-j", "8")
    assert (finished.code, kinds(finished)) == (0, []), finished.stdout
    assert "2,400 listeners seen" in finished.verdict


def test_a_listener_on_every_address_is_exposed(watched: Watch) -> None:
    finished = watched("exposed", "-j", "2")
    assert (finished.code, set(kinds(finished))) == (0, {"exposed"}), finished.stdout
    assert watched("exposed", "-j", "2", "--fail-on", "warning").code == 66


def test_a_daemon_that_keeps_its_listener_is_an_orphan_and_is_ended(watched: Watch) -> None:
    finished = watched("orphan", "-j", "2")
    assert (finished.code, kinds(finished)) == (66, ["orphan"]), finished.stdout
    assert left_behind(0, 1, all_ended=True) in finished.stdout


def test_a_fixed_port_in_copies_that_never_overlap_is_hard_coded(
    watched: Watch, port_outside_the_ephemeral_range: int
) -> None:
    port = port_outside_the_ephemeral_range
    finished = watched("hard_coded", "-j", "3", port=port)
    assert (finished.code, kinds(finished)) == (0, ["hard-coded"]), finished.stdout
    (finding,) = finished.findings
    assert (finding["endpoint"]["port"], finding["severity"]) == (port, "warning")
    assert [party["copy"] for party in finding["parties"]] == [0, 1, 2]
    assert_golden(finished, "hard_coded", {"test_a_server_on_a_fixed_port": str(port)})


def test_a_script_s_server_is_watched_as_well(parasuite: Parasuite, port_outside_the_ephemeral_range: int) -> None:
    port = port_outside_the_ephemeral_range
    script = parasuite.cwd / "check.sh"
    server = (
        "import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1);"
        f"s.bind(('127.0.0.1', {port})); s.listen(); sys.stdin.read()"
    )
    wait = (
        "import json, os, pathlib, time\n"
        "record = pathlib.Path(os.environ['PARASUITE_COPY_DIR']).parent.parent / 'events' / 'orchestrator.jsonl'\n"
        "give_up_s = time.monotonic() + 60\n"
        'while time.monotonic() < give_up_s and record.read_text().count(\'"kind":"seen"\') < 2: time.sleep(0.05)\n'
    )
    (parasuite.cwd / "wait.py").write_text(wait)
    script.write_text(f'#!/bin/sh\n{sys.executable} wait.py | {sys.executable} -c "{server}"\n')
    script.chmod(0o755)
    finished = parasuite("run", "-j", "2", "--sensors", "sampler", "--", "./check.sh")
    assert (finished.code, kinds(finished)) == (66, ["hard-coded", "shared"]), finished.stdout + finished.stderr


def test_what_the_sampler_cannot_see_is_a_case_of_the_report(watched: Watch) -> None:
    finished = watched("exposed", "-j", "1")
    case = ElementTree.parse(finished.folder / "junit.xml").find(
        ".//testcase[@name='what the sampler cannot see']/skipped"
    )
    assert case is not None
    assert "bound and does not listen" in (case.text or "")
    assert not_seen_by(["sampler"]) in finished.stdout


def test_without_a_sensor_the_verdict_says_that_nobody_looked(parasuite: Parasuite, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "test_it.py")
    assert (finished.code, NO_SENSOR in finished.verdict) == (0, True)
