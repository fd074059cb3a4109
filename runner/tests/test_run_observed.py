"""`parasuite run -j 1 --exit-code suite -- CMD`: CMD keeps its streams and its exit code, and is observed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from parasuite.judge.verdict import PORT_FINDINGS
from parasuite.reports.wording import OUTPUT_IS_ELSEWHERE, exit_code_of_suite

from runner.tests.conftest import SAFETY_NET_S, Finished, Parasuite

Write = Callable[[str], Path]


def observed(parasuite: Parasuite, *command: str) -> Finished:
    return parasuite("run", "-j", "1", "--exit-code", "suite", *command)


def python(source: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", source)


def test_the_command_s_output_is_on_its_own_streams_and_the_report_follows_on_stderr(parasuite: Parasuite) -> None:
    finished = observed(parasuite, "--", "sh", "-c", "echo to stdout; echo to stderr >&2; exit 7")
    own, *report = finished.stderr.splitlines()
    assert (finished.code, finished.stdout, own) == (7, "to stdout\n", "to stderr")
    assert report[0].startswith("1 copy of sh -c")
    assert (report[-1], "copies: 0 of 1 ended well" in report) == ("failed", True)
    assert exit_code_of_suite(7, 1) in report
    assert f"    {OUTPUT_IS_ELSEWHERE}" in report
    assert not [line for line in report if "output.log" in line]


def test_the_command_s_output_arrives_while_it_runs_and_its_input_is_parasuite_s(parasuite: Parasuite) -> None:
    command = ("-m", "parasuite", "run", "-j", "1", "--exit-code", "suite", "--")
    with subprocess.Popen(
        [sys.executable, *command, "sh", "-c", "echo ready; read word; echo $word"],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("heard\n")
        assert process.communicate(timeout=SAFETY_NET_S)[0] == "heard\n"
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_stream_is_a_terminal_for_the_command_if_it_is_one_for_parasuite(parasuite: Parasuite) -> None:
    ours, theirs = os.openpty()
    process = parasuite.start(
        "run",
        "-j",
        "1",
        "--exit-code",
        "suite",
        *python("import os; print(os.isatty(1), os.isatty(2))"),
        stdout=theirs,
    )
    os.close(theirs)
    finished = parasuite.finish(process)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert (finished.code, shown) == (0, b"True False\r\n")


def test_a_command_that_a_signal_ends_has_the_code_that_a_shell_gives_it(parasuite: Parasuite) -> None:
    finished = observed(parasuite, "--", "sh", "-c", "kill -KILL $$")
    assert (finished.code, finished.run["exit_code"], finished.run["verdict_code"]) == (137, 137, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows runs no scripts by their first line")
@pytest.mark.parametrize(("interpreter", "code"), [("missing", 127), ("folder", 126)])
def test_a_command_that_cannot_be_executed_has_the_code_that_a_shell_gives_it(
    parasuite: Parasuite, interpreter: str, code: int
) -> None:
    (parasuite.cwd / "folder").mkdir()
    script = parasuite.cwd / "script"
    script.write_text(f"#!{parasuite.cwd / interpreter}\n")
    script.chmod(0o755)
    finished = observed(parasuite, "--", str(script))
    assert (finished.code, finished.run["exit_code"], finished.run["verdict_code"]) == (code, code, 1)


def test_findings_do_not_change_the_code_and_a_line_says_what_parasuite_s_own_would_be(parasuite: Parasuite) -> None:
    exposed = "import socket; socket.create_server(('', 0)).close()"
    finished = observed(parasuite, "--fail-on", "warning", *python(exposed))
    assert finished.code == 0, finished.stderr
    assert exit_code_of_suite(0, 66) in finished.stderr
    assert finished.stderr.strip().rpartition("\n")[2].startswith(PORT_FINDINGS)
    reported = parasuite("report")
    assert (reported.code, exit_code_of_suite(0, 66) in reported.stdout) == (0, True)


def test_without_findings_nothing_is_said_of_exit_codes(parasuite: Parasuite) -> None:
    assert "exit code" not in observed(parasuite, "--", "true").stderr


def test_of_several_copies_the_first_code_that_is_not_0_counts_and_their_output_is_in_files(
    parasuite: Parasuite,
) -> None:
    finished = parasuite(
        "run", "-j", "3", "--exit-code", "suite", "--", "sh", "-c", "echo hello; exit $PARASUITE_COPY"
    )
    assert finished.code == 1
    assert "hello" not in finished.stdout.splitlines()
    assert finished.verdict.startswith("copies: 1 of 3 ended well\n")
    assert (finished.folder / "copies" / "002" / "output.log").read_text() == "hello\n"
    assert parasuite("report").code == 1


def test_pytest_s_own_code_is_kept_if_no_test_was_collected(parasuite: Parasuite, suite: Write) -> None:
    suite("")
    finished = observed(parasuite, "--python", sys.executable, "tests/")
    assert (finished.code, exit_code_of_suite(5, 4) in finished.stderr) == (5, True), finished.stderr
    assert "no tests ran" in finished.stdout


def test_a_copy_over_its_time_has_failed_even_if_it_ends_with_0(parasuite: Parasuite) -> None:
    finished = observed(
        parasuite, "--timeout", "0.5", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"
    )
    assert finished.code == 1, finished.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_so_by_its_code(parasuite: Parasuite, number: signal.Signals, code: int) -> None:
    process = parasuite.start(
        "run", "-j", "1", "--exit-code", "suite", "--", "sh", "-c", "echo ready; exec sleep 1000"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    finished = parasuite.finish(process)
    assert (finished.code, finished.run["exit_code"], parasuite("report").code) == (code, code, code)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_stream_that_parasuite_lacks_is_no_socket_of_parasuite_in_the_copy(parasuite: Parasuite) -> None:
    script = "import os, sys; os.write(2, repr([os.readlink(f'/proc/self/fd/{n}') for n in (0, 1)]).encode())"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-m", "parasuite", "run", "-j", "1", "--exit-code",
         "suite", *python(script)],
        cwd=parasuite.cwd, env=dict(parasuite.environ), stderr=subprocess.PIPE, text=True, timeout=SAFETY_NET_S,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.startswith("['/dev/null', '/dev/null']")) == (0, True), done.stderr


def test_what_the_command_leaves_for_others_is_where_it_would_be_without_parasuite(parasuite: Parasuite) -> None:
    names = ("COVERAGE_FILE", "HYPOTHESIS_STORAGE_DIRECTORY", "PYTHONFAULTHANDLER", "CORPUS_TIMEOUT_SCALE")
    finished = observed(parasuite, *python(f"import os; print([name for name in {names} if name in os.environ])"))
    assert finished.stdout == "[]\n"


def test_with_a_time_limit_a_python_writes_its_stacks_for_an_observer_too(parasuite: Parasuite) -> None:
    finished = observed(parasuite, "--timeout", "5", *python("while True: pass"))
    assert "most recent call first" in finished.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="what the environment was at the start is known on Linux only")
def test_a_copy_is_in_the_locale_that_parasuite_was_started_in(parasuite: Parasuite) -> None:
    environ = {name: value for name, value in parasuite.environ.items() if not name.startswith("LC_")} | {"LANG": "C"}
    finished = observed(replace(parasuite, environ=environ), "--", "sh", "-c", "echo ${LC_CTYPE-unset}")
    assert finished.stdout == "unset\n"


# Blocked and waited for: between a handler's end and signal.pause, the next signal would be missed.
_REPORTS_SIGNALS = """
import signal, sys

numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
number = 0
while number != signal.SIGTERM:
    number = signal.sigwait(numbers)
    print(signal.Signals(number).name, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_the_command_is_sent_the_signals_that_parasuite_is_sent(parasuite: Parasuite) -> None:
    process = parasuite.start("run", "-j", "1", "--exit-code", "suite", *python(_REPORTS_SIGNALS))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # nohup and the background jobs of a shell may have had some ignored, and so parasuite ignores them, too.
    sent = (signal.SIGUSR1, signal.SIGQUIT, signal.SIGWINCH, signal.SIGTERM)
    for number in (each for each in sent if signal.getsignal(each) is not signal.SIG_IGN):
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n"
    assert parasuite.finish(process).code == 143


@pytest.mark.skipif(
    sys.platform != "linux", reason="the starter for other systems starts copies with default signals"
)
def test_a_signal_that_parasuite_was_started_to_ignore_is_ignored_by_the_command(parasuite: Parasuite) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'parasuite', *sys.argv[1:]])"
    )
    shows = python(
        "import signal; print(signal.getsignal(signal.SIGHUP).name, signal.getsignal(signal.SIGTERM).name)"
    )
    process = parasuite.start("run", "-j", "1", "--exit-code", "suite", *shows, program=("-c", ignoring))
    assert parasuite.finish(process).stdout == "SIG_IGN SIG_DFL\n"


def test_pytest_s_cache_is_where_it_would_be_without_parasuite(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_fails(): assert 0\ndef test_passes(): pass\n")
    command = ("--python", sys.executable, "tests/", "--", "--last-failed")
    assert "1 failed, 1 passed" in observed(parasuite, *command).stdout
    assert "= 1 failed in" in observed(parasuite, *command).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux sensor names strangers")
def test_a_listener_that_the_command_inherits_is_no_stranger_s(parasuite: Parasuite) -> None:
    connects = "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ['PORT']))).close()"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = ("run", "-j", "1", "--exit-code", "suite", *python(connects))
        environ = {"PORT": str(listener.getsockname()[1])}
        process = parasuite.start(*command, environ=environ, pass_fds=[listener.fileno()])
        finished = parasuite.finish(process)
    assert (finished.code, finished.findings) == (0, []), finished.stderr
