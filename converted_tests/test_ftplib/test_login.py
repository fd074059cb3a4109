"""How ftplib logs in: user, password and account in turn, as far as the server asks for them.

RFC 959 sections 4.1.1 and 5.4 give the commands and the sequences of replies; RFC 1635 the anonymous user.
"""

from __future__ import annotations

import ftplib

import pytest

from converted_tests.peers import InMemory, dialled, listening, transcript
from converted_tests.test_ftplib.support import FileServer, dialogue, visit
from netsupport import HOSTv4

ALL_ASKED = b"331 password\r\n332 account\r\n230 in\r\n"


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        pytest.param((), b"USER anonymous\r\nPASS anonymous@\r\n", id="nothing given"),
        pytest.param(("anonymous", "-"), b"USER anonymous\r\nPASS -anonymous@\r\n", id="hyphen keeps messages short"),
        pytest.param(("", "me@example.org"), b"USER anonymous\r\nPASS me@example.org\r\n", id="own address"),
        pytest.param(("anonymous", ""), b"USER anonymous\r\nPASS anonymous@\r\n", id="anonymous by name"),
        pytest.param(("bob", "secret"), b"USER bob\r\nPASS secret\r\n", id="a user"),
        pytest.param(("bob", "-"), b"USER bob\r\nPASS -\r\n", id="a user's hyphen is a password"),
        pytest.param(("bob",), b"USER bob\r\nPASS \r\n", id="a user without a password"),
        pytest.param((None, None, None), b"USER anonymous\r\nPASS anonymous@\r\n", id="None, as from a netrc file"),
    ],
)
def test_the_user_and_the_password_are_sent_in_turn(credentials: tuple[str, ...], said: bytes) -> None:
    with dialogue(b"331 password\r\n230 in\r\n") as talk:
        assert talk.ftp.login(*credentials) == "230 in"
        assert talk.said() == said


@pytest.mark.parametrize(
    ("credentials", "account"),
    [
        pytest.param(("bob", "secret", "sales"), b"sales", id="given"),
        pytest.param(("bob", "secret"), b"", id="left out"),
        pytest.param(("bob", "secret", None), b"", id="None"),
    ],
)
def test_the_account_is_sent_where_the_server_asks_for_it(credentials: tuple[str, ...], account: bytes) -> None:
    with dialogue(ALL_ASKED) as talk:
        assert talk.ftp.login(*credentials) == "230 in"
        assert talk.said() == b"USER bob\r\nPASS secret\r\nACCT " + account + b"\r\n"


def test_a_user_who_is_accepted_at_once_sends_no_password() -> None:
    with dialogue(b"230 come in\r\n") as talk:
        assert talk.ftp.login("bob", "secret", "sales") == "230 come in"
        assert talk.said() == b"USER bob\r\n"


def test_a_user_whose_password_is_enough_sends_no_account() -> None:
    with dialogue(b"331 password\r\n202 superfluous\r\n") as talk:
        assert talk.ftp.login("bob", "secret", "sales") == "202 superfluous"
        assert talk.said() == b"USER bob\r\nPASS secret\r\n"


@pytest.mark.parametrize(
    ("replies", "expected", "reply"),
    [
        pytest.param(b"530 no\r\n", ftplib.error_perm, "530 no", id="user refused"),
        pytest.param(b"331 password\r\n530 no\r\n", ftplib.error_perm, "530 no", id="password refused"),
        pytest.param(b"331 p\r\n421 busy\r\n", ftplib.error_temp, "421 busy", id="not now"),
        pytest.param(b"120 soon\r\n", ftplib.error_reply, "120 soon", id="preliminary reply"),
        pytest.param(b"331 p\r\n332 a\r\n332 b\r\n", ftplib.error_reply, "332 b", id="never satisfied"),
    ],
)
def test_a_login_that_does_not_end_in_2_is_an_error(replies: bytes, expected: type[Exception], reply: str) -> None:
    with dialogue(replies) as talk, pytest.raises(ftplib.Error) as caught:
        talk.ftp.login("bob", "secret")
    assert (caught.type, caught.value.args) == (expected, (reply,))


def test_acct_sends_a_new_account() -> None:
    with dialogue(b"200 sales, then\r\n") as talk:
        assert talk.ftp.acct("sales") == "200 sales, then"
        assert talk.said() == b"ACCT sales\r\n"


def test_acct_refuses_a_reply_that_is_not_2() -> None:
    with dialogue(b"332 which?\r\n") as talk, pytest.raises(ftplib.error_reply, match=r"^332 which[?]$"):
        talk.ftp.acct("sales")


# --- the constructor, over a real listener ------------------------------------------------------------


def test_the_constructor_logs_in_with_all_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
        S: 220 ready
        C: USER bob
        S: 331 password
        C: PASS secret
        S: 332 account
        C: ACCT sales
        S: 230 in
        C: QUIT
        S: 221 bye
    """
    with listening(transcript(script)) as (host, port):
        monkeypatch.setattr(ftplib.FTP, "port", port)
        with ftplib.FTP(str(host), "bob", "secret", "sales") as ftp:
            assert ftp.getwelcome() == "220 ready"


def test_the_constructor_with_a_user_alone_leaves_the_rest_empty() -> None:
    with dialled(wire := InMemory(b"220 ready\r\n" + ALL_ASKED)):  # type: ignore[arg-type]
        ftplib.FTP("ftp.example", "bob")
    assert wire.sent == b"USER bob\r\nPASS \r\nACCT \r\n"


def test_the_constructor_without_a_user_only_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(transcript("S: 220 ready\nC: QUIT\nS: 221 bye")) as (host, port):
        monkeypatch.setattr(ftplib.FTP, "port", port)
        with ftplib.FTP(str(host), passwd="unused") as ftp:
            assert ftp.getwelcome() == "220 ready"


def test_the_constructor_without_a_host_does_not_connect() -> None:
    ftp = ftplib.FTP(user="bob")
    assert (ftp.sock, ftp.file, ftp.welcome, ftp.host) == (None, None, None, "")


def test_the_welcome_is_kept_and_returned_by_connect() -> None:
    with listening(transcript("S: 220-hello\nS: 220 there\nC: QUIT\nS: 221 bye")) as (host, port):
        with ftplib.FTP() as ftp:
            assert ftp.connect(str(host), int(port)) == "220-hello\n220 there"
            assert ftp.getwelcome() == ftp.welcome == "220-hello\n220 there"


def test_a_server_that_is_full_is_an_error_at_once() -> None:
    with listening(transcript("S: 421 too many users")) as (host, port), ftplib.FTP() as ftp:
        with pytest.raises(ftplib.error_temp, match=r"^421 too many users$"):
            ftp.connect(str(host), int(port))
        ftp.close()


def test_an_anonymous_session_over_a_real_listener() -> None:
    server = FileServer()
    with visit(server) as ftp:
        assert ftp.login() == "230 logged in"
        assert (ftp.host, ftp.sock is None) == (HOSTv4, False)
    assert server.heard == [b"USER anonymous", b"PASS anonymous@", b"QUIT"]
