"""smtplib promises to learn a server's extensions from EHLO and to fall back to HELO where there are none.

EHLO and its answer are RFC 5321 section 4.1.1.1, the fall-back is section 3.2.
"""

from __future__ import annotations

import smtplib

import pytest
from hypothesis import given

from converted_tests.peers import TIMEOUT_S, listening
from converted_tests.strategies import wire_bytes

from .support import ME, dialogue, hello, offline, served


def test_ehlo_returns_the_whole_reply_with_the_greeting_text_first() -> None:
    with served(hello("SIZE 1000", "HELP")) as client:
        assert client.ehlo() == (250, b"mail.test\nSIZE 1000\nHELP")
        assert client.ehlo_resp == b"mail.test\nSIZE 1000\nHELP"


def test_before_ehlo_nothing_is_known_of_the_server() -> None:
    with served("S: 220 ready") as client:
        known = (client.esmtp_features, client.does_esmtp, client.ehlo_resp, client.helo_resp)
    assert known == ({}, False, None, None)


def test_after_ehlo_the_features_are_known_by_small_names_with_their_parameters() -> None:
    with served(hello("EXPN", "SIZE 20000000", "STARTTLS", "DELIVERBY ", "8BITMIME", "X-Two  a  b ")) as client:
        client.ehlo()
        assert client.does_esmtp is True
        assert client.esmtp_features == {
            "expn": "",
            "size": "20000000",
            "starttls": "",
            "deliverby": "",
            "8bitmime": "",
            "x-two": "a  b",
        }


def test_smtputf8_is_a_feature_like_any_other() -> None:
    with served(hello("SMTPUTF8", "8BITMIME")) as client:
        client.ehlo()
        assert (client.has_extn("smtputf8"), client.does_esmtp) == (True, True)


def test_has_extn_asks_by_any_case() -> None:
    client, _ = offline(esmtp={"size": "1000", "x-y": ""})
    names = ["size", "SIZE", "X-Y", "siz", "1000", ""]
    assert [client.has_extn(name) for name in names] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("lines", "features"),
    [
        pytest.param(b"250-me\r\n250 AUTH LOGIN PLAIN\r\n", {"auth": " LOGIN PLAIN"}, id="new style"),
        pytest.param(b"250-me\r\n250 AUTH=LOGIN PLAIN\r\n", {"auth": " LOGIN PLAIN"}, id="old style"),
        pytest.param(b"250-me\r\n250 auth=LOGIN\r\n", {"auth": " LOGIN"}, id="old style in small letters"),
        pytest.param(
            b"250-me\r\n250-AUTH=LOGIN\r\n250 AUTH PLAIN\r\n", {"auth": " LOGIN PLAIN"}, id="old style, then new"
        ),
        pytest.param(
            b"250-me\r\n250-AUTH PLAIN\r\n250 AUTH=LOGIN X\r\n", {"auth": " PLAIN LOGIN X"}, id="new style, then old"
        ),
        pytest.param(b"250-me\r\n250 X-AUTH=1\r\n", {"x-auth": "=1"}, id="AUTH= inside another word"),
        pytest.param(b"250-SIZE 1\r\n250 HELP\r\n", {"help": ""}, id="the first line is no feature"),
        pytest.param(b"250-me\r\n250 -odd\r\n", {}, id="a keyword begins with a letter or digit"),
        pytest.param(b"250-me\r\n250-\r\n250 HELP\r\n", {"help": ""}, id="an empty line"),
        pytest.param(b"250-me\r\n250-HELP\r\n250 SIZE \xe9\r\n", {"help": "", "size": "\xe9"}, id="Latin-1"),
        pytest.param(b"250-me\r\n250-SIZE 1\r\n250 size 2\r\n", {"size": "2"}, id="the later of two counts"),
        pytest.param(b"250 me\r\n", {}, id="no features"),
    ],
)
def test_how_features_are_read(lines: bytes, features: dict[str, str]) -> None:
    client, _ = offline(lines)
    client.ehlo()
    assert (client.does_esmtp, client.esmtp_features) == (True, features)


@pytest.mark.parametrize("code", [249, 251, 500])
def test_an_ehlo_answered_otherwise_than_250_teaches_nothing(code: int) -> None:
    client, _ = offline(b"%d-me\r\n%d SIZE 1\r\n" % (code, code))
    client.esmtp_features = {"help": ""}
    assert client.ehlo() == (code, b"me\nSIZE 1")
    assert (client.does_esmtp, client.esmtp_features, client.ehlo_resp) == (False, {}, b"me\nSIZE 1")


def test_an_ehlo_answered_by_an_empty_line_means_that_the_server_is_leaving() -> None:
    client, wire = offline(b"\r\n")
    with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Server not connected$"):
        client.ehlo()
    assert (wire.closed, client.sock, client.ehlo_resp) == (True, None, None)


@pytest.mark.parametrize(
    ("line", "reply"), [(b"what is this\r\n", (-1, b" is this".strip())), (b"250\r\n", (250, b""))]
)
def test_an_ehlo_answered_oddly_but_with_something_is_a_reply(line: bytes, reply: tuple[int, bytes]) -> None:
    client, wire = offline(line)
    assert client.ehlo() == reply
    assert not wire.closed


@given(answer=wire_bytes)
def test_any_answer_to_ehlo_gives_features_or_the_documented_error(answer: bytes) -> None:
    client, _ = offline(b"250-" + answer + b"\r\n250 end\r\n")
    try:
        client.ehlo()
    except smtplib.SMTPException:
        assert client.sock is None
    assert all(name == name.lower() and value == value.strip() for name, value in client.esmtp_features.items())


# --- falling back to HELO -----------------------------------------------------------------------------


def test_a_server_that_refuses_EHLO_is_greeted_with_HELO() -> None:
    script = """
        S: 220 ready
        C: ehlo me.test
        S: 502 what?
        C: helo me.test
        S: 250 hi
        C: noop
        S: 250 OK
    """
    with served(script) as client:
        client.ehlo_or_helo_if_needed()
        assert (client.does_esmtp, client.helo_resp, client.ehlo_resp) == (False, b"hi", b"what?")
        assert client.noop() == (250, b"OK")


def test_a_server_that_refuses_both_is_an_error() -> None:
    with served("S: 220 ready\nC: ehlo *\nS: 502 what?\nC: helo *\nS: 504 no") as client:
        with pytest.raises(smtplib.SMTPHeloError) as refused:
            client.ehlo_or_helo_if_needed()
    assert refused.value.args == (504, b"no")


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        pytest.param(b"200 hi\r\n", b"ehlo me.test\r\n", id="200 will do"),
        pytest.param(b"299 hi\r\n", b"ehlo me.test\r\n", id="299 will do"),
        pytest.param(b"199 no\r\n200 hi\r\n", b"ehlo me.test\r\nhelo me.test\r\n", id="199 will not do"),
        pytest.param(b"300 no\r\n299 hi\r\n", b"ehlo me.test\r\nhelo me.test\r\n", id="300 will not do"),
    ],
)
def test_any_code_from_200_to_299_is_a_welcome(answers: bytes, sent: bytes) -> None:
    client, wire = offline(answers)
    client.ehlo_or_helo_if_needed()
    assert wire.sent == sent


@pytest.mark.parametrize("code", [199, 300])
def test_a_HELO_answered_outside_200_to_299_is_an_error(code: int) -> None:
    client, _ = offline(b"500 no\r\n%d no\r\n" % code)
    with pytest.raises(smtplib.SMTPHeloError) as refused:
        client.ehlo_or_helo_if_needed()
    assert refused.value.args == (code, b"no")


@pytest.mark.parametrize("greeted_by", ["ehlo", "helo"])
def test_a_server_that_was_greeted_is_not_greeted_again(greeted_by: str) -> None:
    client, wire = offline(b"250 hi\r\n")
    getattr(client, greeted_by)()
    client.ehlo_or_helo_if_needed()
    assert wire.sent == f"{greeted_by} {ME}\r\n".encode()


def test_after_quit_a_new_connection_needs_a_new_EHLO() -> None:
    first, second = hello("SIZE 1", "AUTH PLAIN") + "C: quit\nS: 221 bye", hello("HELP") + "C: quit\nS: 221 bye"
    with listening(dialogue(first), dialogue(second)) as server:
        client = smtplib.SMTP(server.host, server.port, ME, timeout=TIMEOUT_S)
        client.ehlo()
        assert client.esmtp_features == {"size": "1", "auth": " PLAIN"}
        client.quit()
        assert (client.esmtp_features, client.does_esmtp) == ({}, False)
        client.connect(server.host, server.port)
        assert client.esmtp_features == {}
        client.ehlo_or_helo_if_needed()
        assert client.esmtp_features == {"help": ""}
        client.quit()
