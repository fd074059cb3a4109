"""smtplib promises LMTP over TCP and over Unix sockets, with the commands of SMTP.

LMTP is RFC 2033; that an absolute path is a Unix socket is the library reference, "LMTP".
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, listening, transcript
from netsupport import bind_unix_socket

from .support import ME, offline, served

SCRIPT = f"""
    S: 220 mailbox
    C: lhlo {ME}
    S: 250-mailbox
    S: 250 PIPELINING
    C: quit
    S: 221 bye
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lmtp")


def test_an_absolute_path_is_a_Unix_socket(path: str) -> None:
    with listening(transcript(SCRIPT), family=socket.AF_UNIX, path=path):
        client = smtplib.LMTP(path, local_hostname=ME)
        assert client.sock is not None
        assert (client.sock.family, client.sock.getpeername()) == (socket.AF_UNIX, path)
        assert client.ehlo() == (250, b"mailbox\nPIPELINING")
        assert client.quit() == (221, b"bye")


def test_anything_else_is_a_host() -> None:
    with served(SCRIPT, smtplib.LMTP) as client:
        assert client.sock is not None
        assert client.sock.family == socket.AF_INET
        assert client.ehlo() == (250, b"mailbox\nPIPELINING")
        assert client.quit() == (221, b"bye")


def test_LMTP_says_LHLO_and_never_EHLO() -> None:
    client, wire = offline(b"250 hi\r\n", kind=smtplib.LMTP)
    client.ehlo_or_helo_if_needed()
    assert wire.sent == b"lhlo me.test\r\n"
    assert (smtplib.LMTP.ehlo_msg, smtplib.SMTP.ehlo_msg) == ("lhlo", "ehlo")


def test_connect_returns_the_greeting_that_came_over_a_Unix_socket(path: str) -> None:
    with listening(transcript("S: 554-no\nS: 554 way"), family=socket.AF_UNIX, path=path):
        with contextlib.closing(smtplib.LMTP(local_hostname=ME)) as client:
            assert client.connect(path) == (554, b"no\nway")
            assert client.sock is not None


def test_a_greeting_other_than_220_over_a_Unix_socket_is_an_error(path: str) -> None:
    with listening(transcript("S: 421 later"), family=socket.AF_UNIX, path=path):
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            smtplib.LMTP(path, local_hostname=ME)
    assert refused.value.args == (421, b"later")


def test_a_second_connection_over_a_Unix_socket_is_read_afresh(path: str) -> None:
    with listening(
        transcript("S: 220 one\nS: left over"), transcript("S: 220 two"), family=socket.AF_UNIX, path=path
    ):
        client = smtplib.LMTP(path, local_hostname=ME)
        first = client.sock
        assert first is not None
        assert client.connect(path) == (220, b"two")
        first.close()
        client.close()


@pytest.mark.parametrize(
    ("timeouts", "on_the_socket"),
    [
        pytest.param({}, None, id="none given"),
        pytest.param({"timeout": None}, None, id="None"),
        pytest.param({"timeout": TIMEOUT_S}, TIMEOUT_S, id="positive"),
    ],
)
def test_the_timeout_of_a_Unix_socket(path: str, timeouts: dict[str, Any], on_the_socket: float | None) -> None:
    with listening(transcript("S: 220 hi"), family=socket.AF_UNIX, path=path):
        with contextlib.closing(smtplib.LMTP(path, local_hostname=ME, **timeouts)) as client:
            assert client.sock is not None
            assert client.sock.gettimeout() == on_the_socket


@pytest.mark.parametrize(("timeouts", "kept"), [({}, True), ({"timeout": None}, False)])
def test_the_process_wide_timeout_is_for_a_Unix_socket_too_unless_overridden(
    path: str, process_timeout_s: float, timeouts: dict[str, Any], kept: bool
) -> None:
    with listening(transcript("S: 220 hi"), family=socket.AF_UNIX, path=path):
        with contextlib.closing(smtplib.LMTP(path, local_hostname=ME, **timeouts)) as client:
            assert client.sock is not None
            assert client.sock.gettimeout() == (process_timeout_s if kept else None)


def test_a_Unix_socket_refuses_a_timeout_of_0(path: str) -> None:
    with pytest.raises(ValueError, match=r"^Non-blocking socket \(timeout=0\) is not supported$"):
        smtplib.LMTP(path, local_hostname=ME, timeout=0)


def test_a_path_where_nothing_is_passes_the_error_on_and_keeps_no_socket(path: str) -> None:
    client = smtplib.LMTP(local_hostname=ME)
    with pytest.raises(FileNotFoundError):
        client.connect(path)
    assert client.sock is None


def test_a_path_without_a_listener_passes_the_error_on_and_keeps_no_socket(path: str) -> None:
    client = smtplib.LMTP(local_hostname=ME)
    with socket.socket(socket.AF_UNIX) as bound_but_not_listening:
        bind_unix_socket(bound_but_not_listening, path)
        with pytest.raises(ConnectionRefusedError):
            client.connect(path)
    assert client.sock is None


def test_a_Unix_socket_that_cannot_be_made_passes_the_error_on(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    def refuse(*_arguments: object) -> socket.socket:
        raise OSError("no more sockets")

    client = smtplib.LMTP(local_hostname=ME)
    with monkeypatch.context() as patch:
        patch.setattr("socket.socket", refuse)
        with pytest.raises(OSError, match="no more sockets"):
            client.connect(path)
    assert client.sock is None


def test_failing_to_connect_is_printed_at_debug_level_1(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = smtplib.LMTP(local_hostname=ME)
    with pytest.raises(FileNotFoundError):
        client.connect(path)
    client.set_debuglevel(1)
    with pytest.raises(FileNotFoundError):
        client.connect(path)
    assert capsys.readouterr() == ("", f"connect fail: {path}\n")


def test_connecting_is_printed_at_debug_level_1(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(transcript("S: 220 hi"), family=socket.AF_UNIX, path=path):
        with contextlib.closing(smtplib.LMTP(local_hostname=ME)) as client:
            client.set_debuglevel(1)
            client.connect(path)
    output = "reply: b'220 hi\\r\\n'\nreply: retcode (220); Msg: b'hi'\nconnect: b'hi'\n"
    assert capsys.readouterr() == ("", output)
