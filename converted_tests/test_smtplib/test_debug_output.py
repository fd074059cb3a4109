"""smtplib promises that set_debuglevel shows the dialogue on standard error, with a clock at level 2.

The library reference, SMTP.set_debuglevel, promises what is shown; this fixes what smtplib writes.
"""

from __future__ import annotations

import contextlib
import datetime
import smtplib
import types
from unittest import mock

import pytest

from converted_tests.peers import TIMEOUT_S, listening

from .support import ME, answered, dialogue, offline


def test_a_session_at_debug_level_1(capsys: pytest.CaptureFixture[str]) -> None:
    script = """
        S: 220 ready
        C: noop
        S: 250-well
        S: 250 yes
        C: data
        S: 354 go
        C: a
        C: .
        S: 250 taken
    """
    with listening(dialogue(script)) as server:
        with contextlib.closing(smtplib.SMTP(local_hostname=ME, timeout=TIMEOUT_S)) as client:
            client.set_debuglevel(1)
            client.connect(server.host, server.port)
            client.noop()
            client.data(b"a\r\n")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"connect: to ('{server.host}', {server.port}) None",
        r"reply: b'220 ready\r\n'",
        "reply: retcode (220); Msg: b'ready'",
        "connect: b'ready'",
        r"send: 'noop\r\n'",
        r"reply: b'250-well\r\n'",
        r"reply: b'250 yes\r\n'",
        r"reply: retcode (250); Msg: b'well\nyes'",
        r"send: 'data\r\n'",
        r"reply: b'354 go\r\n'",
        "reply: retcode (354); Msg: b'go'",
        "data: (354, b'go')",
        r"send: b'a\r\n.\r\n'",
        r"reply: b'250 taken\r\n'",
        "reply: retcode (250); Msg: b'taken'",
        "data: (250, b'taken')",
    ]


def test_debug_level_2_puts_the_time_before_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    class StoppedClock:
        @staticmethod
        def now() -> datetime.datetime:
            return datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)

    client, _ = offline(b"250 OK\r\n")
    client.set_debuglevel(2)
    with mock.patch("smtplib.datetime", types.SimpleNamespace(datetime=StoppedClock)):
        client.noop()
    assert capsys.readouterr().err.splitlines() == [
        r"03:04:05.678901 send: 'noop\r\n'",
        r"03:04:05.678901 reply: b'250 OK\r\n'",
        "03:04:05.678901 reply: retcode (250); Msg: b'OK'",
    ]


@pytest.mark.parametrize("levels", [(), (0,), (1, 0)], ids=["never set", "set to 0", "set back to 0"])
def test_without_a_debug_level_nothing_is_shown(levels: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    client = smtplib.SMTP(local_hostname=ME)
    for level in levels:
        client.set_debuglevel(level)
    with answered(b"220 hi\r\n354 go\r\n250 taken\r\n"):
        client.connect("mail.test")
        client.data(b"")
    assert capsys.readouterr() == ("", "")


def test_a_debug_level_belongs_to_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    loud, quiet = offline(b"250 OK\r\n")[0], offline(b"250 OK\r\n")[0]
    loud.set_debuglevel(1)
    quiet.noop()
    assert (quiet.debuglevel, capsys.readouterr().err) == (0, "")


def test_a_message_that_is_no_text_is_shown_in_ASCII(capsys: pytest.CaptureFixture[str]) -> None:
    client, _ = offline(b"250 \xff\r\n")
    client.set_debuglevel(1)
    client.getreply()
    assert capsys.readouterr().err.splitlines()[-1] == r"reply: retcode (250); Msg: b'\xff'"
