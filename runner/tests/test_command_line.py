"""What a user types, and what parasuite says to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parasuite.judge.verdict import FAILED
from parasuite.plan.misplaced import COMMANDS_WORDS, PYTEST_ARGUMENTS, PYTEST_OPTION

from runner.tests.conftest import Parasuite, clean_environment

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def on_a_terminal(parasuite: Parasuite, *arguments: str, stream: str = "stdout", **environ: str) -> str:
    """What *arguments* print on *stream*, which is a terminal of 80 columns; the other stream is not read."""
    ours, theirs = os.openpty()
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    process = parasuite.start(*arguments, environ={"TERM": "xterm", "COLUMNS": "80", **environ}, **streams)
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    process.wait()
    return shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: the last process that had the terminal open has ended.
        return b""


def test_a_bare_run_runs_what_the_project_names_in_its_folder_and_stores_it_in_the_user_s(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.parasuite]\ncommand = './check.sh one two'\ncopies = 1\n")
    script = tmp_path / "check.sh"
    script.write_text('#!/bin/sh\necho "$# $(pwd)"\n')
    script.chmod(0o755)
    below = tmp_path / "below"
    below.mkdir()
    finished = Parasuite(below, clean_environment())("run", "--sensors", "none")
    assert finished.code == 0, finished.stderr
    assert finished.stderr.startswith("1 copy of ./check.sh one two, in the host's network; .parasuite/runs/")
    assert (finished.folder / "copies" / "000" / "output.log").read_text() == f"2 {tmp_path.resolve()}\n"


def test_a_command_on_the_command_line_overrides_the_project_s(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\ncommand = 'false'\n")
    assert parasuite("run", "-j", "1", "--sensors", "none", "--", "true").code == 0


def test_a_bare_run_of_no_project_runs_the_corpus_and_says_first_how_to_run_one_s_own(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "1", "--sensors", "none", "-k", "nothing_is_called_this")
    first = finished.stderr.splitlines()[0]
    own = "your own suite: parasuite run TESTS, or parasuite run -- COMMAND"
    begins = f"1 copy of the bundled corpus ({own}), run by "
    assert (finished.code, first.startswith(begins)) == (4, True), finished.stderr


def test_a_parasuite_in_a_copy_of_a_parasuite_runs(parasuite: Parasuite) -> None:
    inner = (sys.executable, "-m", "parasuite", "run", "-j", "1", "--sensors", "none", "--output-dir", "inner")
    finished = parasuite("run", "-j", "1", "--exit-code", "suite", "--", *inner, "--", "true")
    assert (finished.code, "1 copy of true, in the host's network; inner/runs/" in finished.stderr) == (0, True), (
        finished.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("tests -x", "tests -- -x"),
        ("-j 2 tests -n 4 --maxfail=1 --fail-on error", "-j 2 tests --fail-on error -- -n 4 --maxfail=1"),
        ("tests -x -- -v", "tests -- -x -v"),
        ("tests tests", "tests -- tests"),
        ("-k tests tests -x", "-k tests tests -- -x"),
    ],
)
def test_arguments_for_pytest_on_the_wrong_side_of_the_dashes_are_an_error_that_says_what_to_type(
    parasuite: Parasuite, suite: Callable[[str], Path], arguments: str, meant: str
) -> None:
    suite("")
    finished = parasuite("run", *arguments.split())
    said = PYTEST_ARGUMENTS.format(command=f"parasuite run {meant}")
    assert (finished.code, finished.stderr) == (2, f"parasuite: {said}\n")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("sh tests", "-- sh tests"),
        ("-j 2 sh tests -k x", "-j 2 -- sh tests -k x"),
        ("-k sh sh -x -- -v", "-k sh -- sh -x -v"),
    ],
)
def test_a_command_on_the_wrong_side_of_the_dashes_is_an_error_that_says_what_to_type(
    parasuite: Parasuite, suite: Callable[[str], Path], arguments: str, meant: str
) -> None:
    suite("")
    finished = parasuite("run", *arguments.split())
    said = COMMANDS_WORDS.format(command=f"parasuite run {meant}")
    assert (finished.code, finished.stderr) == (2, f"parasuite: {said}\n")


def test_an_option_of_pytest_in_place_of_the_target_is_an_error_that_says_where_it_goes(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-n", "4", "tests")
    said = PYTEST_OPTION.format(error="No such option '-n'.", option="-n")
    assert (finished.code, finished.stderr) == (2, f"parasuite: {said}\n")


def test_an_option_that_is_misspelt_is_not_taken_for_pytest_s(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--timout", "5", "tests")
    assert (finished.code, "--timeout" in finished.stderr, "--:" in finished.stderr) == (2, True, False)
    assert "Did you mean '--timeout'" in parasuite("run", "tests", "--timout", "5").stderr


@pytest.mark.parametrize(
    "command", [(), ("run",), ("report",), ("history",), ("diff",), ("runs",), ("merge",), ("doctor",)]
)
def test_help_fits_into_eighty_columns(parasuite: Parasuite, command: tuple[str, ...]) -> None:
    shown = parasuite(*command, "--help").stdout
    assert (len(shown) > 100, [line for line in shown.splitlines() if len(line) > 80]) == (True, [])


@on_posix
def test_on_a_terminal_the_report_is_wrapped_at_words_and_loses_none(parasuite: Parasuite) -> None:
    text = " ".join(f"word{number}" for number in range(60))
    program = ("sh", "-c", f"echo {text}; exit 1")
    shown = on_a_terminal(parasuite, "run", "-j", "1", "--sensors", "none", "--", *program, NO_COLOR="1")
    lines = shown.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    whole = parasuite("report").stdout
    assert [line for line in whole.splitlines() if len(line) > 80] != []
    assert shown.split() == whole.split()


@on_posix
def test_on_a_terminal_an_error_is_wrapped_at_words(parasuite: Parasuite) -> None:
    shown = on_a_terminal(parasuite, "run", stream="stderr", PARASUITE_NONSENSE="1")
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert shown.split() == parasuite("run", environ={"PARASUITE_NONSENSE": "1"}).stderr.split()


@on_posix
def test_on_a_terminal_no_color_leaves_no_style(parasuite: Parasuite) -> None:
    arguments = ("run", "-j", "1", "--sensors", "none", "--", "false")
    assert "\x1b[1" in on_a_terminal(parasuite, *arguments)
    assert "\x1b" not in on_a_terminal(parasuite, *arguments, NO_COLOR="1")


@on_posix
def test_the_live_view_fits_into_eighty_columns(parasuite: Parasuite) -> None:
    suite = parasuite.cwd / "tests"
    suite.mkdir()
    (suite / f"test_{'long' * 20}.py").write_text("def test_one(): pass\n")
    run = ("run", "-j", "2", "--sensors", "none", "--python", sys.executable, "tests/")
    shown = on_a_terminal(parasuite, *run, stream="stderr")
    lines = [line for line in re.split(r"[\r\n]+", ESCAPES.sub("", shown)) if len(line) > 80]
    assert ("copy" in shown, lines) == (True, [])


@on_posix
@pytest.mark.parametrize(
    ("environ", "is_redrawn"),
    [({}, True), ({"CI": "true"}, False), ({"TERM": "dumb"}, False)],
    ids=["", "CI", "dumb"],
)
def test_the_live_view_is_redrawn_only_on_a_terminal_that_nobody_keeps_a_log_of(
    parasuite: Parasuite, environ: dict[str, str], is_redrawn: bool
) -> None:
    shown = on_a_terminal(parasuite, "run", "-j", "1", "--sensors", "none", "--", "true", stream="stderr", **environ)
    assert ("\x1b[?25l" in shown, "\x1b" in shown) == (is_redrawn, is_redrawn)


def test_force_color_gives_colours_and_makes_no_terminal_of_a_pipe(parasuite: Parasuite) -> None:
    arguments = ("run", "-j", "1", "--sensors", "none", "--", "sh", "-c", "exit 1", "x" * 200)
    finished = parasuite(*arguments, environ={"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"})
    assert [escape for escape in ESCAPES.findall(finished.stdout + finished.stderr) if escape[-1] != "m"] == []
    assert f"{'x' * 200}, in the host's network; .parasuite" in finished.stderr
    assert "\x1b[1;31m" + FAILED in finished.stdout


def test_no_color_prevails_over_force_color(parasuite: Parasuite) -> None:
    arguments = ("run", "-j", "1", "--sensors", "none", "--", "false")
    finished = parasuite(*arguments, environ={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b" not in finished.stdout + finished.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--control", "0"], "--control must be a whole number from 1 to 100, not '0'"),
        (["--prove", "0.0"], "--prove must be a number of seconds above 0, not '0.0'"),
        (["--control=x"], "--control must be a whole number from 1 to 100, not 'x'"),
        (["--control", "--prove", "0"], "--prove must be a number of seconds above 0, not '0'"),
        (["--control", "no/such/tests"], "no/such/tests"),
    ],
)
def test_an_option_that_needs_no_number_takes_one_that_follows_and_nothing_else(
    parasuite: Parasuite, options: list[str], said: str
) -> None:
    done = parasuite("run", *options)
    assert (done.code, said in done.stderr) == (2, True), done.stderr
