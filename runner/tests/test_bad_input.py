"""Mistakes of the user, and failures around a run: one clear line, and every report that could be written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parasuite.cli.main import STDOUT_UNWRITABLE
from parasuite.judge.copy_results import NO_TEST_IN_COPY
from parasuite.judge.report import COPY_ITSELF
from parasuite.judge.verdict import NO_TEST_RAN, PARASUITE_FAILED
from parasuite.model.words import TestOutcome
from parasuite.plan.interpreter import find_interpreter
from parasuite.plan.targets import PytestTree

from runner.tests.conftest import Finished, Parasuite
from runner.tests.reported import bad_test, counted

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--nonsense"], "No such option", id="unknown option"),
        pytest.param(["-j", "0"], "--copies must be a whole number, 1 or more, not '0'", id="no copies"),
        pytest.param(["-j", "many"], "--copies must be a whole number, 1 or more, not 'many'", id="words"),
        pytest.param(["-j", "100000"], "100,000 copies are more than this machine can run: ", id="too many copies"),
        pytest.param(["-j", "0", "no/such/tree"], "--copies must be a whole number", id="options before the target"),
        pytest.param(["--timeout", "-1"], "--timeout must be a number of seconds above 0", id="time-out"),
        pytest.param(["--fail-on", "blood"], "--fail-on must be one of never, warning, error", id="fail-on"),
        pytest.param(["--sensors", "nose"], "--sensors must be auto, none, or a list of", id="sensor"),
        pytest.param(["no/such/tree"], "no such file or folder: no/such/tree", id="target"),
        pytest.param(["x" * 300], "File name too long", id="long target"),
        pytest.param(["--", "no-such-command"], "no such command: no-such-command", id="command"),
        pytest.param(["--", "x" * 300], "no such command: xxx", id="long command"),
        pytest.param(["-k", "x", "--", "true"], "-k only applies to pytest targets", id="-k with a command"),
        pytest.param(["--python", "/no/python", "."], "/no/python (named by --python) cannot be", id="python"),
        pytest.param(
            ["--collect-junit", "x.xml", "-j", "2", "--", "true"], "--collect-junit must contain {copy}", id="glob"
        ),
        pytest.param(
            ["--python", "x", "--", "true"], "--python only applies to pytest targets", id="needless python"
        ),
        pytest.param(["--collect-junit", "x", "."], "--collect-junit only applies to commands", id="needless glob"),
        pytest.param(
            ["--collect-junit", "", "-j", "1", "--", "true"],
            "--collect-junit must be a pattern of file names",
            id="no glob",
        ),
    ],
)
def test_wrong_usage_is_reported_and_starts_nothing(
    parasuite: Parasuite, arguments: list[str], complaint: str
) -> None:
    finished = parasuite("run", *arguments)
    assert (finished.code, finished.stdout) == (2, "")
    assert complaint in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (parasuite.cwd / ".parasuite").exists()


def test_the_error_for_a_command_that_is_not_executable_says_how_to_make_it_so(parasuite: Parasuite) -> None:
    (parasuite.cwd / "check.sh").write_text("#!/bin/sh\n")
    finished = parasuite("run", "--", "./check.sh")
    assert (finished.code, "./check.sh is not executable: chmod +x ./check.sh" in finished.stderr) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everywhere")
def test_a_tree_without_read_permission_is_named_in_the_error(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n").parent.chmod(0)
    finished = parasuite.run_pytest("tests/")
    (parasuite.cwd / "tests").chmod(0o700)
    assert (finished.code, "tests/ cannot be read" in finished.stderr) == (2, True)


@pytest.mark.parametrize("command", ["run", "report"])
def test_a_current_folder_that_was_removed_is_reported_in_one_line(parasuite: Parasuite, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m parasuite {command}', sys.executable],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "parasuite: the current folder cannot be used: No such file or directory; change to another one\n"
    )


def test_report_names_a_folder_that_cannot_be_read(parasuite: Parasuite) -> None:
    finished = parasuite("report", "x" * 300)
    assert (finished.code, "cannot be read: File name too long" in finished.stderr) == (2, True)


@pytest.mark.parametrize("printed", ["\\377", "5", "[1,2,3]"])
def test_a_program_that_is_not_a_python_is_refused_whatever_it_prints(
    parasuite: Parasuite, suite: Write, tmp_path: Path, printed: str
) -> None:
    suite("def test_one(): pass\n")
    program = tmp_path / "no-python"
    program.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    program.chmod(0o755)
    finished = parasuite("run", "--python", str(program), "tests/")
    assert (finished.code, f"{program} (named by --python) is not a working Python" in finished.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tool = 3", "[tool.parasuite] must be a table of settings"),
        ("[tool]\nparasuite = 3", "[tool.parasuite] must be a table of settings"),
        ("[tool.parasuite]\noutput-dir = 3", "[tool.parasuite] output-dir must be a path, not 3"),
        ("[tool.parasuite]\noutput-dir = ''", "[tool.parasuite] output-dir must be a path, not ''"),
        ("[tool.parasuite]\npython = ['a', 'b']", "[tool.parasuite] python must be a path, not ['a', 'b']"),
        ("[tool.parasuite]\ncopies = true", "[tool.parasuite] copies must be a whole number, 1 or more, not True"),
    ],
)
def test_a_wrong_type_in_pyproject_is_refused(parasuite: Parasuite, suite: Write, text: str, complaint: str) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "pyproject.toml").write_text(text + "\n")
    finished = parasuite.run_pytest("tests/")
    assert (finished.code, complaint in finished.stderr) == (2, True), finished.stderr


def test_doctor_refuses_an_unknown_sensor(parasuite: Parasuite) -> None:
    finished = parasuite("doctor", "--sensors", "seccomp,nose")
    assert (finished.code, "--sensors must be auto, none, or a list of" in finished.stderr) == (2, True)


def test_doctor_fails_if_a_sensor_that_it_was_asked_to_test_is_missing(parasuite: Parasuite) -> None:
    # A process under one exact sensor can have no second.
    finished = parasuite("run", "-j", "1", "--", sys.executable, "-m", "parasuite", "doctor", "--sensors", "seccomp")
    output = (finished.folder / "copies" / "000" / "output.log").read_text()
    assert ("exit status 3" in finished.stdout, "seccomp: missing" in output) == (True, True), output


def test_the_error_for_too_many_copies_lists_each_limit_and_the_number_that_fits(parasuite: Parasuite) -> None:
    error = parasuite("run", "-j", "100000").stderr
    assert all(word in error for word in ("memory", "file descriptors", "processes", "use -j "))


def test_an_interpreter_without_pytest_is_refused_by_name(parasuite: Parasuite, suite: Write, tmp_path: Path) -> None:
    suite("def test_one(): pass\n")
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    finished = parasuite("run", "--python", str(bare), "tests/")
    assert (finished.code, f"{bare} (named by --python) has no pytest" in finished.stderr) == (2, True)


def test_an_unknown_key_in_pyproject_is_refused_by_name(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\nnonsense = 3\n")
    finished = parasuite.run_pytest("tests/")
    assert (
        finished.code,
        "unknown setting 'nonsense' in [tool.parasuite] (known: ambient, baseline, collect-junit," in finished.stderr,
    ) == (2, True)


def test_the_environment_overrides_pyproject_and_run_json_keeps_both_origins(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\ncopies = 3\nfail-on = 'never'\n")
    finished = parasuite.run_pytest("tests/", environ={"PARASUITE_JOBS": "1"})
    assert (finished.run["copies"], finished.run["fail_on"]) == (1, "never")
    assert finished.run["origins"]["copies"] == "environment"
    assert finished.run["origins"]["fail-on"] == "pyproject.toml"


def test_report_without_a_folder_uses_the_output_folder_of_the_settings(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\noutput-dir = 'by-project'\n")
    environ = {"PARASUITE_OUTPUT_DIR": "by-environment"}
    for given, place in (({}, "by-project"), (environ, "by-environment")):
        assert parasuite.run_pytest("-j", "1", "tests/", environ=given).code == 0
        assert f"everything is in {place}/runs/" in parasuite("report", environ=given).verdict


def test_report_accepts_a_folder_after_two_dashes(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    assert parasuite.run_pytest("-j", "1", "--output-dir=-there", "tests/").code == 0
    assert parasuite("report", "--", "-there").code == 0


def test_an_output_folder_that_cannot_be_written_is_named_in_the_error(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "taken").write_text("a file, not a folder")
    finished = parasuite.run_pytest("--output-dir", "taken", "tests/")
    assert (finished.code, "cannot write the run folder" in finished.stderr) == (2, True)
    assert "--output-dir" in finished.stderr


def test_a_run_that_selects_no_test_exits_with_4(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "2", "-k", "nothing_is_called_this", "tests/")
    assert (finished.code, finished.verdict.endswith(f"\n{NO_TEST_RAN}")) == (4, True), finished.stdout


@pytest.mark.parametrize("argument", ["--collect-only", "--version"])
def test_a_run_whose_pytest_arguments_run_no_test_exits_with_4(
    parasuite: Parasuite, suite: Write, argument: str
) -> None:
    suite("def test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "2", "tests/", "--", argument)
    assert (finished.code, finished.verdict.endswith(f"\n{NO_TEST_RAN}")) == (4, True), finished.stdout


@pytest.mark.parametrize("how", ["items.clear()", "pytest.exit('enough', returncode=0)"])
def test_a_copy_that_ran_no_test_is_an_error_if_other_copies_ran_some(
    parasuite: Parasuite, suite: Write, how: str
) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "tests" / "conftest.py").write_text(
        "import os, pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        f"    if os.environ['PARASUITE_COPY'] == '1': {how}\n"
    )
    finished = parasuite.run_pytest("-j", "2", "tests/")
    told = f"{bad_test(TestOutcome.ERROR, COPY_ITSELF, [1], 2)}\n    {NO_TEST_IN_COPY}"
    assert (finished.code, told in finished.stdout) == (1, True), finished.stdout
    assert NO_TEST_IN_COPY in (finished.folder / "junit.xml").read_text()


def test_a_copy_whose_conftest_raises_fails_the_run_and_its_error_is_shown(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "tests" / "conftest.py").write_text("raise RuntimeError('no database today')\n")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert finished.code == 1
    assert "no database today" in (finished.folder / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no database\\nnot today')", "RuntimeError: no database"),
        ("raise ImportError('no driver\\nnot today')", "ImportError: no driver"),
        ("def (", "SyntaxError: "),
        ("import pytest; pytest.skip('x')", "Using pytest.skip outside of a test will skip the entire module."),
    ],
)
def test_a_test_file_that_cannot_be_imported_is_an_error_with_its_reason_in_every_copy(
    parasuite: Parasuite, suite: Write, source: str, reason: str
) -> None:
    suite(source + "\n")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert finished.code == 1
    assert f"{bad_test(TestOutcome.ERROR, 'tests/test_it.py', [0, 1], 2)}\n    {reason}" in finished.stdout


def test_a_copy_that_is_killed_reports_its_remaining_tests_as_lost(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import os, signal\n"
        "def test_a(): pass\n"
        "def test_b():\n"
        "    if os.environ['PARASUITE_COPY'] == '1': os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_c(): pass\n"
    )
    finished = parasuite.run_pytest("-j", "2", "tests/", "--", "-p", "no:randomly")
    assert finished.code == 1
    assert counted(passed=4, error=1, lost=2) in finished.verdict
    assert "copy 1 killed by SIGKILL" in finished.stdout
    xml = (finished.folder / "junit.xml").read_text()
    assert xml.count('<testcase classname="copy-1.tests.test_it"') == 3


def test_output_that_is_not_text_is_kept_as_it_is_and_printed_escaped(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import os\n"
        "def test_one():\n"
        "    os.write(1, b'\\xff\\xfe\\x00\\x1b[2Jraw')\n"
        "    assert 0, 'esc \\x1b nul \\x00 surrogate \\udc80 cdata ]]>'\n"
    )
    finished = parasuite.run_pytest("-j", "1", "tests/", "--", "-s")
    assert finished.code == 1
    assert b"\xff\xfe\x00\x1b[2Jraw" in (finished.folder / "copies" / "000" / "output.log").read_bytes()
    assert "\x1b" not in finished.stdout


def test_the_interpreter_of_an_active_environment_is_found(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    finished = parasuite("run", "-j", "1", "tests/", environ={"VIRTUAL_ENV": sys.prefix})
    assert finished.run["interpreter"] == str(Path(sys.prefix) / "bin" / "python")


def test_the_interpreter_of_the_projects_own_environment_is_found_and_named_in_the_first_line(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("def test_one(): pass\n")
    own = parasuite.cwd / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    finished = parasuite("run", "-j", "1", "tests/")
    assert finished.run["interpreter"] == str(own)
    assert finished.stderr.startswith("1 copy of pytest tests/, run by .venv/bin/python, ")


def test_the_environment_that_parasuite_was_started_from_comes_before_dot_venv_if_it_lies_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / ".venv" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\nexit 1\n")
    tree = PytestTree.at(str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    assert find_interpreter(tree, None, {}, tmp_path) == sys.executable


def test_a_report_that_cannot_be_written_fails_the_run_and_the_others_are_written(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("def test_one(): pass\n")
    # A folder in place of the file simulates a disk that is full when the reports are written.
    process = parasuite.start("run", "-j", "1", "--python", sys.executable, "tests/")
    folder = _first_run_folder(parasuite, process)
    (folder / "junit.xml").mkdir()
    finished = parasuite.finish(process)
    assert (finished.code, finished.run["exit_code"]) == (3, 3)
    assert finished.verdict.endswith(PARASUITE_FAILED.format(why="junit.xml could not be written: Is a directory"))
    assert "junit.xml could not be written" in finished.stderr
    assert json.loads((folder / "findings.json").read_text())["findings"] == []
    assert "junit.xml could not be written" in (folder / "junit-merged.xml").read_text()
    (folder / "junit.xml").rmdir()
    again = parasuite("report")
    assert (again.code, again.verdict) == (3, finished.verdict)


def _closed_pipe() -> int:
    """The write end of a pipe whose reader is gone, as in `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def _full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


UNWRITABLE = [
    _closed_pipe,
    pytest.param(_full, marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")),
]


@pytest.mark.parametrize("make", UNWRITABLE)
@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")], ids="+".join)
def test_a_run_whose_output_cannot_be_written_still_completes(
    parasuite: Parasuite, suite: Write, streams: tuple[str, ...], make: Callable[[], int]
) -> None:
    suite("def test_one(): pass\n")
    unwritable = make()
    streams_of_process: dict[str, Any] = dict.fromkeys(streams, unwritable)
    with parasuite.start("run", "-j", "1", "--python", sys.executable, "tests/", **streams_of_process) as process:
        os.close(unwritable)
        finished = parasuite.finish(process)
    assert (finished.code, finished.run["exit_code"]) == (0, 0), finished.stderr
    assert (finished.folder / "junit-merged.xml").is_file()
    assert "Traceback" not in (finished.stderr or "")
    is_reported = "No space left on device" in (finished.stderr or "")
    assert is_reported == (make is _full and "stderr" not in streams)


@pytest.mark.parametrize("columns", ["0", "1"])
def test_the_report_is_printed_whatever_width_columns_names(parasuite: Parasuite, columns: str) -> None:
    finished = parasuite("run", "-j", "1", "--sensors", "none", "--", "true", environ={"COLUMNS": columns})
    assert finished.verdict.endswith("\npassed")


PRINTING = (("report",), ("doctor",), ("explain", "hard-coded"), ("explain",), ("--help",))


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_a_command_that_only_prints_keeps_its_exit_code_if_its_reader_has_gone(
    parasuite: Parasuite, suite: Write, command: tuple[str, ...]
) -> None:
    finished = _printing_into(_closed_pipe(), parasuite, suite, command)
    assert (finished.code, finished.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_a_command_that_only_prints_fails_if_its_output_cannot_be_written(
    parasuite: Parasuite, suite: Write, command: tuple[str, ...]
) -> None:
    finished = _printing_into(_full(), parasuite, suite, command)
    error = STDOUT_UNWRITABLE.format(why="No space left on device")
    assert (finished.code, finished.stderr) == (3, f"parasuite: {error}\n")


def _printing_into(stdout: int, parasuite: Parasuite, suite: Write, command: tuple[str, ...]) -> Finished:
    if command == ("report",):
        suite("def test_one(): pass\n")
        parasuite.run_pytest("-j", "1", "tests/")
    with parasuite.start(*command, stdout=stdout) as process:
        os.close(stdout)
        return parasuite.finish(process)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_report_of_failed_tests_that_cannot_be_written_keeps_their_exit_code(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("def test_one(): assert 0\n")
    parasuite.run_pytest("-j", "1", "tests/")
    with open("/dev/full", "w") as full:
        finished = parasuite.finish(parasuite.start("report", stdout=full))
    assert (finished.code, "No space left on device" in finished.stderr) == (1, True)


def test_characters_that_the_output_cannot_encode_are_printed_as_backslash_escapes(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("import pytest\n@pytest.mark.parametrize('x', [1], ids=['\u00e9'])\ndef test_one(x): assert 0, '\u2603'\n")
    finished = parasuite.run_pytest("-j", "1", "tests/", environ={"PYTHONIOENCODING": "ascii"})
    assert (finished.code, "\\u2603" in finished.stdout) == (1, True), finished.stderr


def _first_run_folder(parasuite: Parasuite, process: subprocess.Popen[str]) -> Path:
    """Read the first line of progress, which names the run folder."""
    assert process.stderr is not None
    line = process.stderr.readline()
    return parasuite.cwd / line.rpartition("; ")[2].strip()


def test_parasuite_s_memory_does_not_grow_with_the_output_of_a_copy(parasuite: Parasuite) -> None:
    measured = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'parasuite', *sys.argv[1:]])\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, "run", "-j", "1", "--", "head", "-c", "500000000", "/dev/zero"],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    code, peak_kib = done.stdout.split()[-2:]
    output = next((parasuite.cwd / ".parasuite").glob("runs/*/copies/000/output.log"))
    size = output.stat().st_size
    output.unlink()
    assert (code, size) == ("0", 500_000_000)
    assert int(peak_kib) < 200_000, "parasuite's memory grew with the output"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_write_permission_is_named_in_the_error(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    closed = parasuite.cwd / "closed"
    closed.mkdir(mode=0o500)
    finished = parasuite.run_pytest("--output-dir", str(closed), "tests/")
    assert (finished.code, "Permission denied" in finished.stderr) == (2, True)


def test_a_run_that_could_not_write_its_events_is_blind(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import socket\n"
        "def test_many():\n"
        "    for _ in range(300):\n"
        "        with socket.socket() as sock:\n"
        "            sock.bind(('127.0.0.1', 0))\n"
    )
    limited = parasuite.start(
        "run", "-j", "1", "--python", sys.executable, "tests/",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)),
    )  # fmt: skip
    finished = parasuite.finish(limited)
    assert (finished.code, "seccomp" in finished.verdict) == (3, True)


def test_a_run_that_cannot_write_run_json_starts_nothing_and_leaves_no_folder(parasuite: Parasuite) -> None:
    limited = parasuite.start(
        "run", "-j", "1", "--", "true", "x" * 10_000,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )  # fmt: skip
    finished = parasuite.finish(limited)
    assert (finished.code, "cannot write run.json" in finished.stderr) == (2, True), finished.stderr
    assert list((parasuite.cwd / ".parasuite" / "runs").iterdir()) == []


@pytest.mark.parametrize("kept_lines", [0, 1, 20])
def test_a_report_on_truncated_events_keeps_the_verdict_of_the_run_and_notes_the_change(
    parasuite: Parasuite, suite: Write, kept_lines: int
) -> None:
    suite("import socket\ndef test_some():\n    for _ in range(20): socket.create_server(('127.0.0.1', 0)).close()\n")
    file = parasuite.run_pytest("-j", "1", "tests/").folder / "events" / "seccomp.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) > kept_lines
    file.write_bytes(b"".join(lines[:kept_lines]))
    finished = parasuite("report")
    changed = (
        "the record has changed since the run ended; judged again, it says: blind: seccomp never said that it ended"
    )
    assert (finished.code, changed in finished.stdout) == (0, True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to make namespaces")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('exec "$@"', "/proc is that of another PID namespace"),
        ('umount -l /proc && exec "$@"', "no /proc is mounted"),
    ],
)
@pytest.mark.parametrize("command", ["run", "doctor"])
def test_without_a_proc_of_its_pid_namespace_nothing_is_started(
    parasuite: Parasuite, script: str, reason: str, command: str
) -> None:
    if subprocess.run(["unshare", "-mpf", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces here")
    arguments = ["run", "--", "true"] if command == "run" else ["doctor"]
    done = subprocess.run(
        ["unshare", "-mpf", "sh", "-c", script, "sh", sys.executable, "-m", "parasuite", *arguments],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    mount = "mount one with `mount -t proc proc /proc`, or `unshare --mount-proc`"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"parasuite: {reason}: {mount}\n")


def test_an_interpreter_whose_pytest_lacks_what_it_imports_is_refused(
    parasuite: Parasuite, suite: Write, tmp_path: Path
) -> None:
    suite("def test_one(): pass\n")
    (tmp_path / "lib" / "_pytest").mkdir(parents=True)
    (tmp_path / "lib" / "_pytest" / "__init__.py").write_text("__version__ = '8.0.0'\n")
    (tmp_path / "lib" / "pytest.py").write_text("import pluggy\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/lib exec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    finished = parasuite("run", "--python", str(python), "tests/")
    assert (finished.code, f"{python} (named by --python) has no pytest" in finished.stderr) == (2, True)
