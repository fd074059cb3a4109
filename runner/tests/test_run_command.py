"""`parasuite run -- CMD`: any command, in any language."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from parasuite.judge.verdict import RECORD_HAS_CHANGED
from parasuite.model.words import TestOutcome

from runner.tests.conftest import Parasuite
from runner.tests.reported import bad_test, counted

JUNIT = (
    '<testsuite tests="2"><testcase classname="shell" name="first"/>'
    '<testcase classname="shell" name="second">{}</testcase></testsuite>'
)


@pytest.fixture
def script(parasuite: Parasuite) -> Path:
    path = parasuite.cwd / "check.sh"
    path.write_text("#!/bin/sh\nexec sh ./body.sh\n")
    path.chmod(0o755)
    return path


def body(parasuite: Parasuite, text: str) -> None:
    (parasuite.cwd / "body.sh").write_text(text)


def test_a_script_that_exits_with_0_in_every_copy_passes(parasuite: Parasuite, script: Path) -> None:
    body(parasuite, "echo copy $PARASUITE_COPY of $PARASUITE_COPIES\n")
    finished = parasuite("run", "-j", "3", "--", f"./{script.name}")
    assert finished.code == 0, finished.stderr
    assert [(finished.folder / "copies" / f"00{n}" / "output.log").read_text() for n in range(3)] == [
        f"copy {n} of 3\n" for n in range(3)
    ]


def test_a_script_that_fails_in_one_copy_fails_the_run_and_its_output_is_reported(
    parasuite: Parasuite, script: Path
) -> None:
    body(parasuite, "echo no luck; test $PARASUITE_COPY != 1\n")
    finished = parasuite("run", "-j", "2", "--", f"./{script.name}")
    assert finished.code == 1
    assert bad_test(TestOutcome.FAILED, "check.sh", [1], 2) + "\n    exit status 1" in finished.stdout
    assert "no luck" in (finished.folder / "junit.xml").read_text()


def test_the_junit_files_of_each_copy_are_collected(parasuite: Parasuite, script: Path) -> None:
    body(parasuite, f"echo '{JUNIT.format('')}' > out-$PARASUITE_COPY.xml\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert (finished.code, counted(passed=4) in finished.verdict) == (0, True), finished.stdout


def test_cases_with_the_same_name_in_a_collected_file_are_numbered_and_each_counts(
    parasuite: Parasuite, script: Path
) -> None:
    same = '<testcase classname="shell" name="each"/>'
    failing = '<testcase classname="shell" name="each"><failure message="wrong"/></testcase>'
    body(parasuite, f"echo '<testsuite>{same}{failing}{same}</testsuite>' > out-$PARASUITE_COPY.xml; exit 1\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert counted(passed=4, failed=2) in finished.verdict
    assert bad_test(TestOutcome.FAILED, "shell::each #2", [0, 1], 2) + "\n    wrong" in finished.stdout
    assert "0 of 2 passed; failed in copy 0, 1: wrong" in (finished.folder / "junit-merged.xml").read_text()


def test_a_pattern_may_be_absolute_and_match_any_depth_with_two_stars(parasuite: Parasuite, script: Path) -> None:
    deep = "out/$PARASUITE_COPY/deep"
    body(parasuite, f"mkdir -p {deep}; echo '{JUNIT.format('')}' > {deep}/a.xml\n")
    pattern = f"{parasuite.cwd}/out/{{copy}}/**"
    finished = parasuite("run", "-j", "2", "--collect-junit", pattern, "--", f"./{script.name}")
    assert (finished.code, counted(passed=4) in finished.verdict) == (0, True), finished.stdout


def test_a_failure_in_a_collected_file_is_reported_for_its_test(parasuite: Parasuite, script: Path) -> None:
    failing = JUNIT.format('<failure message="wrong"/>')
    body(parasuite, f"echo '{failing}' > out-$PARASUITE_COPY.xml; exit 1\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert finished.code == 1
    assert bad_test(TestOutcome.FAILED, "shell::second", [0, 1], 2) + "\n    wrong" in finished.stdout


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        pytest.param("true", "copy 1 wrote no file that matches out-1*.xml", id="no file"),
        pytest.param("echo hello > out-${PARASUITE_COPY}x.xml", "is not a JUnit file", id="no JUnit"),
        pytest.param("mkdir out-${PARASUITE_COPY}.xml", "copy 1 wrote no file that matches out-1*.xml", id="folder"),
        pytest.param("ln -s /dev/zero out-${PARASUITE_COPY}.xml", "copy 1 wrote no file that", id="device"),
    ],
)
def test_a_missing_or_broken_junit_file_makes_the_run_prove_nothing(
    parasuite: Parasuite, script: Path, commands: str, complaint: str
) -> None:
    body(parasuite, commands + "\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}*.xml", "--", f"./{script.name}")
    assert (finished.code, complaint in finished.stdout) == (3, True), finished.stdout


def test_a_file_that_matches_the_patterns_of_two_copies_is_an_error(parasuite: Parasuite, script: Path) -> None:
    body(parasuite, f"echo '{JUNIT.format('')}' > out-01.xml\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-*{copy}*.xml", "--", f"./{script.name}")
    assert finished.code == 3
    assert "out-01.xml matches for copy 0 and for copy 1" in finished.stdout


def test_a_file_that_an_earlier_run_left_is_not_collected(parasuite: Parasuite, script: Path) -> None:
    for copy in range(2):
        stale = parasuite.cwd / f"out-{copy}.xml"
        stale.write_text(JUNIT.format(""))
        os.utime(stale, (1, 1))
    body(parasuite, "true\n")
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert (finished.code, "copy 0 wrote no file" in finished.stdout) == (3, True)


def test_a_junit_file_that_a_command_leaves_in_its_copy_folder_is_not_read_as_results(
    parasuite: Parasuite, script: Path
) -> None:
    for text in (JUNIT.format(""), '<testsuite><testcase name="a"/>'):
        own = "$PARASUITE_COPY_DIR/junit-results.xml > $PARASUITE_COPY_DIR/junit-0.xml"
        body(parasuite, f"echo '{text}' | tee {own}\n")
        finished = parasuite("run", "-j", "2", "--sensors", "none", "--", f"./{script.name}")
        assert (finished.code, counted(passed=2) in finished.verdict) == (0, True), finished.stderr
        assert parasuite("report").code == 0


def test_a_file_that_a_command_puts_into_collected_is_not_read_as_results(parasuite: Parasuite, script: Path) -> None:
    failing = JUNIT.format('<failure message="wrong"/>')
    body(
        parasuite,
        "mkdir -p $PARASUITE_COPY_DIR/../../collected\n"
        f"echo '{failing}' > $PARASUITE_COPY_DIR/../../collected/000-7.xml\n"
        f"echo '{JUNIT.format('')}' > out-$PARASUITE_COPY.xml\n",
    )
    finished = parasuite("run", "-j", "2", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert (finished.code, counted(passed=4) in finished.verdict) == (0, True), finished.stdout


def test_a_collected_file_that_is_damaged_later_is_reported_as_a_change_of_the_record(
    parasuite: Parasuite, script: Path
) -> None:
    body(parasuite, f"echo '{JUNIT.format('')}' > out-$PARASUITE_COPY.xml\n")
    finished = parasuite("run", "-j", "1", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    (finished.folder / "collected" / "000-0.xml").write_text("<testsuite>")
    reported = parasuite("report")
    assert (reported.code, "Traceback" in reported.stderr) == (0, False)
    assert RECORD_HAS_CHANGED.partition(";")[0] in reported.stdout
    assert "collected/000-0.xml is not a JUnit file" in reported.stdout


def test_a_pipe_that_matches_is_named_in_the_error_and_not_read(parasuite: Parasuite, script: Path) -> None:
    body(parasuite, "mkfifo out-$PARASUITE_COPY.xml\n")
    finished = parasuite("run", "-j", "1", "--collect-junit", "out-{copy}.xml", "--", f"./{script.name}")
    assert (finished.code, "out-0.xml is a pipe, not a file" in finished.verdict) == (3, True), finished.stdout


def test_a_circle_of_links_is_followed_once(parasuite: Parasuite, script: Path) -> None:
    links = "mkdir -p out; ln -sfn . out/a; ln -sfn . out/b; ln -sfn .. out/c"
    body(parasuite, f"{links}; echo '{JUNIT.format('')}' > out/j-$PARASUITE_COPY.xml\n")
    finished = parasuite("run", "-j", "1", "--collect-junit", "out/**/j-{copy}.xml", "--", f"./{script.name}")
    assert (finished.code, counted(passed=2) in finished.verdict) == (0, True), finished.stdout


@pytest.mark.parametrize("way", ["ignored", "blocked"])
@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGCHLD")
def test_a_parasuite_that_is_started_with_sigchld_ignored_or_blocked_learns_how_its_copies_ended(
    parasuite: Parasuite, way: str
) -> None:
    def start_so() -> None:
        if way == "ignored":
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})

    arguments = ("run", "-j", "2", "--", "sh", "-c", "exit $PARASUITE_COPY")
    finished = parasuite.finish(parasuite.start(*arguments, preexec_fn=start_so))
    assert finished.code == 1, finished.stdout
    assert "copies: 1 of 2 ended well\n" in finished.verdict


@pytest.mark.skipif(sys.platform != "linux", reason="subprocess, which starts the copies elsewhere, does not do that")
@pytest.mark.parametrize("program", ["./plain", "plain"])
def test_a_script_that_names_no_interpreter_is_run_by_the_shell(parasuite: Parasuite, program: str) -> None:
    script = parasuite.cwd / "plain"
    script.write_text('echo "$1 $(basename "$0")"; exit 4\n')
    script.chmod(0o755)
    path = f"{os.environ['PATH']}{os.pathsep}{parasuite.cwd}"
    finished = parasuite(
        "run", "-j", "1", "--exit-code", "suite", "--", program, "an argument", environ={"PATH": path}
    )
    assert (finished.code, finished.stdout) == (4, "an argument plain\n"), finished.stderr
