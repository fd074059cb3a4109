"""`python -m netsupport`: ports for shell scripts, and a command that takes over a reservation."""

from __future__ import annotations

import errno
import os
import re
import runpy
import signal
import socket
import sys
from typing import Any, NoReturn

import pytest

import netsupport.__main__
from netsupport import LeaseError, leases, locks, wildcards
from netsupport.__main__ import main
from netsupport.tests.conftest import python

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("options", [[], ["--udp"]])
def test_a_port_outside_the_ephemeral_range_is_printed_alone(options: list[str], capsys: Captured) -> None:
    assert main(options) == 0
    printed = capsys.readouterr()
    first, last = locks.ephemeral_range()
    assert re.fullmatch(r"\d+\n", printed.out)
    assert not first <= int(printed.out) <= last
    assert printed.err == ""


def test_several_ports_are_printed_one_per_line_and_all_different(capsys: Captured) -> None:
    assert main(["-n", "5"]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 5


def test_a_picked_port_is_printed_with_a_warning(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "why_no_lock", lambda: "no locks")
    assert main([]) == 0
    assert re.fullmatch(
        r"netsupport: the port may be taken by another process: .*; no locks\n", capsys.readouterr().err
    )


@pytest.mark.parametrize("failure", [LeaseError("no port is left"), OSError(errno.EMFILE, "no port is left")])
def test_a_port_that_cannot_be_reserved_is_one_line_on_standard_error(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*_args: Any, **_named: Any) -> NoReturn:
        raise failure

    monkeypatch.setattr("netsupport.__main__.reserve_ports", refuse)
    assert main([]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"netsupport: {failure}\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hold"], "--hold needs a command, and a command needs --hold"),
        (["--", "true"], "--hold needs a command, and a command needs --hold"),
        (["-n", "0"], "-n is 0; it must be from 1 to 65535"),
        (["-n", "65536"], "-n is 65536; it must be from 1 to 65535"),
        (["--tcp"], "unrecognized arguments: --tcp"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(options: list[str], message: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as end:
        main(options)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_port_range_that_is_none_ends_with_2_and_is_named(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSUPPORT_PORT_RANGE", "many")
    with pytest.raises(SystemExit) as end:
        main(["--udp"])
    assert end.value.code == 2
    assert "NETSUPPORT_PORT_RANGE is 'many'; it must be" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="the command is started by exec")
class TestHold:
    """A command in place of python -m netsupport."""

    def held(self, *words: str) -> Any:
        return python("-m", "netsupport", *words)

    def test_the_command_gets_its_ports_and_its_status_is_the_answer(self) -> None:
        outcome = self.held(
            "-n", "2", "--hold", "--", "sh", "-c", "echo {port} {port1} {port2} $NETSUPPORT_PORTS; exit 3"
        )
        first, again, second, *both = outcome.stdout.split()
        assert (again, both) == (first, [first, second])
        assert outcome.returncode == 3

    @pytest.mark.skipif(sys.platform != "linux", reason="hold-through is Linux's")
    @pytest.mark.parametrize(
        ("options", "plain_bind", "locked"), [([], "refused", False), (["--no-reuseaddr"], "bound", True)]
    )
    def test_the_reservation_lasts_into_the_commands_children(
        self, options: list[str], plain_bind: str, locked: bool
    ) -> None:
        code = (
            "import socket, sys; from netsupport import locks; port = int(sys.argv[1]); s = socket.socket()\n"
            "try: s.bind(('127.0.0.1', port)); print('bound')\n"
            "except OSError: print('refused')\n"
            "print(locks.port_lock(port) is None)"
        )
        shell = f'exec 3>/dev/null 4>/dev/null; "{sys.executable}" -c "$0" {{port}}; true'
        outcome = self.held("--hold", *options, "--", "sh", "-c", shell, code)
        assert outcome.stdout.split() == [plain_bind, str(locked)]

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_the_command_finds_the_signals_that_python_ignores_at_their_defaults(self) -> None:
        outcome = self.held("--hold", "--", "sed", "-n", "s/^SigIgn:\\s*//p", "/proc/self/status")
        ignored = int(outcome.stdout, 16)
        assert [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1] == []

    @pytest.mark.skipif(sys.platform != "linux", reason="hold-through is Linux's")
    def test_the_reservation_is_handed_over_under_a_low_limit_on_descriptors(self) -> None:
        limited = (
            "import resource, sys; from netsupport.__main__ import main\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
            "sys.exit(main())"
        )
        code = "import socket, sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))"
        outcome = python("-c", limited, "--hold", "--", sys.executable, "-c", code, "{port}")
        assert "Address already in use" in outcome.stderr

    def test_if_no_descriptor_is_left_the_error_says_which_limit_to_raise(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        def full(_descriptor: int) -> NoReturn:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(leases, "_high_copy", full)
        assert main(["--hold", "--", "true"]) == 1
        assert capsys.readouterr().err == (
            "netsupport: cannot pass the ports to the command: Too many open files; raise `ulimit -n`\n"
        )

    def test_a_command_that_does_not_exist_ends_with_127_as_in_a_shell(self) -> None:
        outcome = self.held("--hold", "--", "/nonexistent/server", "{port}")
        assert outcome.returncode == 127
        assert outcome.stderr == "netsupport: cannot run /nonexistent/server: No such file or directory\n"

    def test_a_command_that_cannot_be_executed_ends_with_126(self, tmp_path: Any) -> None:
        program = tmp_path / "data"
        program.write_text("")
        assert self.held("--hold", "--", str(program)).returncode == 126

    def test_a_command_that_could_not_be_started_leaves_the_port_free(
        self, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        asked: list[str] = []

        def cannot(_program: str, words: list[str], _environment: Any) -> NoReturn:
            asked.extend(words)
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "execvpe", cannot)
        assert main(["--hold", "--no-reuseaddr", "--", "server", "{port}"]) == 126
        assert capsys.readouterr().err == "netsupport: cannot run server: Permission denied\n"
        wildcards.close_all(wildcards.claim_everywhere(int(asked[1]), socket.SOCK_STREAM))
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN


def test_the_module_runs_as_a_program(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "argv", ["netsupport", "-n", "1"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(netsupport.__main__.__file__, run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.strip().isdecimal()
