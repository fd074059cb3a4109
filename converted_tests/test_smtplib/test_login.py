"""smtplib promises to log in by the best mechanism that the server offers and it knows.

AUTH is RFC 4954, PLAIN RFC 4616, CRAM-MD5 RFC 2195, whose example is used here.
"""

from __future__ import annotations

import smtplib
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .support import hello, offline, served

# base64 of "joe" and of "secret", of NUL joe NUL secret, and of the two prompts that servers use for LOGIN.
JOE, SECRET, PLAIN = "am9l", "c2VjcmV0", "AGpvZQBzZWNyZXQ="
ASK_USER, ASK_PASSWORD = "VXNlcm5hbWU6", "UGFzc3dvcmQ6"

TIM = "tim"
TIMS_PASSWORD = "tanstaaftanstaaf"
CHALLENGE = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
TIMS_ANSWER = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def joe(server_half: bytes = b"", mechanisms: str | None = None) -> tuple[smtplib.SMTP, Callable[[], bytes]]:
    """Joe's client, and a function that returns what it sent."""
    client, wire = offline(server_half, {} if mechanisms is None else {"auth": mechanisms})
    client.user, client.password = "joe", "secret"
    return client, lambda: wire.sent


# --- login --------------------------------------------------------------------------------------------


def test_login_by_PLAIN_takes_one_line() -> None:
    with served(hello("AUTH PLAIN") + f"C: AUTH PLAIN {PLAIN}\nS: 235 welcome") as client:
        assert client.login("joe", "secret") == (235, b"welcome")


def test_login_by_LOGIN_sends_the_user_at_once_and_the_password_when_asked() -> None:
    script = f"C: AUTH LOGIN {JOE}\nS: 334 {ASK_PASSWORD}\nC: {SECRET}\nS: 235 welcome"
    with served(hello("AUTH LOGIN") + script) as client:
        assert client.login("joe", "secret") == (235, b"welcome")


def test_login_by_CRAM_MD5_answers_the_challenge_with_its_HMAC() -> None:
    script = f"C: AUTH CRAM-MD5\nS: 334 {CHALLENGE}\nC: {TIMS_ANSWER}\nS: 235 welcome"
    with served(hello("AUTH CRAM-MD5") + script) as client:
        assert client.login(TIM, TIMS_PASSWORD) == (235, b"welcome")


def test_login_without_an_initial_response_waits_to_be_asked() -> None:
    script = f"C: AUTH PLAIN\nS: 334\nC: {PLAIN}\nS: 235 welcome"
    with served(hello("AUTH PLAIN") + script) as client:
        assert client.login("joe", "secret", initial_response_ok=False) == (235, b"welcome")


@pytest.mark.parametrize(
    ("offered", "first"),
    [
        pytest.param("LOGIN PLAIN CRAM-MD5", b"AUTH CRAM-MD5", id="CRAM-MD5 first"),
        pytest.param("LOGIN X-NEW PLAIN", b"AUTH PLAIN", id="then PLAIN"),
        pytest.param("X-NEW LOGIN GSSAPI", b"AUTH LOGIN", id="then LOGIN"),
    ],
)
def test_the_best_known_of_the_offered_mechanisms_is_tried_first(offered: str, first: bytes) -> None:
    client, sent = joe(b"235 welcome\r\n", offered)
    assert client.login("joe", "secret") == (235, b"welcome")
    assert sent().rstrip().startswith(first)


def test_a_mechanism_that_is_refused_is_followed_by_the_next() -> None:
    script = f"""
        C: AUTH CRAM-MD5
        S: 504 not really
        C: AUTH PLAIN {PLAIN}
        S: 535 no
        C: AUTH LOGIN {JOE}
        S: 334 {ASK_PASSWORD}
        C: {SECRET}
        S: 235 welcome
    """
    with served(hello("AUTH LOGIN PLAIN CRAM-MD5") + script) as client:
        assert client.login("joe", "secret") == (235, b"welcome")


def test_when_all_mechanisms_are_refused_the_last_refusal_is_raised() -> None:
    client, sent = joe(b"535 first\r\n530 last\r\n", "LOGIN PLAIN")
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.login("joe", "secret")
    assert refused.value.args == (530, b"last")
    assert sent() == f"AUTH PLAIN {PLAIN}\r\nAUTH LOGIN {JOE}\r\n".encode()


def test_a_server_that_says_503_is_logged_in_to_already() -> None:
    client, _ = joe(b"503 you are known\r\n", "PLAIN")
    assert client.login("joe", "secret") == (503, b"you are known")


def test_a_server_that_does_not_offer_AUTH_is_not_asked() -> None:
    with served(hello("SIZE 1") + "C: noop\nS: 250 OK") as client:
        with pytest.raises(smtplib.SMTPNotSupportedError, match=r"^SMTP AUTH extension not supported by server\.$"):
            client.login("joe", "secret")
        client.noop()


def test_a_server_that_offers_only_unknown_mechanisms_is_not_asked() -> None:
    client, sent = joe(mechanisms="GSSAPI X-NEW")
    with pytest.raises(smtplib.SMTPException, match=r"^No suitable authentication method found\.$") as unsuitable:
        client.login("joe", "secret")
    assert type(unsuitable.value) is smtplib.SMTPException
    assert sent() == b""


def test_login_greets_a_server_that_was_not_greeted() -> None:
    client, sent = joe(b"250-hi\r\n250 AUTH PLAIN\r\n235 welcome\r\n")
    client.ehlo_resp = None
    client.login("joe", "secret")
    assert sent() == f"ehlo me.test\r\nAUTH PLAIN {PLAIN}\r\n".encode()


# --- auth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "server_half", "sent"),
    [
        pytest.param("PLAIN", b"235 in\r\n", f"AUTH PLAIN {PLAIN}\r\n", id="PLAIN"),
        pytest.param("plain", b"235 in\r\n", f"AUTH PLAIN {PLAIN}\r\n", id="PLAIN in small letters"),
        pytest.param("LOGIN", b"334 eA==\r\n235 in\r\n", f"AUTH LOGIN {JOE}\r\n{SECRET}\r\n", id="LOGIN"),
        pytest.param(
            "CRAM-MD5",
            b"334 eA==\r\n235 in\r\n",
            "AUTH CRAM-MD5\r\nam9lIDBkODc4Mzg0ZDRjYmY4ODFkM2ZiZTlhNmE5YzhlM2I3\r\n",
            id="CRAM-MD5",
        ),
    ],
)
def test_auth_by_each_of_the_built_in_methods(mechanism: str, server_half: bytes, sent: str) -> None:
    client, all_sent = joe(server_half)
    method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
    assert client.auth(mechanism, method) == (235, b"in")
    assert all_sent() == sent.encode()


def test_auth_by_LOGIN_without_an_initial_response_answers_both_questions() -> None:
    script = f"""
        C: AUTH LOGIN
        S: 334 {ASK_USER}
        C: {JOE}
        S: 334 {ASK_PASSWORD}
        C: {SECRET}
        S: 235 in
        C: AUTH LOGIN {JOE}
        S: 334 {ASK_PASSWORD}
        C: {SECRET}
        S: 503 already
    """
    with served("S: 220 ready\n" + script) as client:
        client.user, client.password = "joe", "secret"
        assert client.auth("LOGIN", client.auth_login, initial_response_ok=False) == (235, b"in")
        assert client.auth("LOGIN", client.auth_login, initial_response_ok=True) == (503, b"already")


def test_auth_gives_the_authobject_each_challenge_decoded() -> None:
    client, sent = joe(b"334 Zmlyc3Q=\r\n334\r\n235 in\r\n")
    challenges: list[bytes | None] = []

    def answer(challenge: bytes | None = None) -> str | None:
        challenges.append(challenge)
        return None if challenge is None else "r"

    assert client.auth("X-OWN", answer) == (235, b"in")  # type: ignore[arg-type]
    assert challenges == [None, b"first", b""]
    assert sent() == b"AUTH X-OWN\r\ncg==\r\ncg==\r\n"


@pytest.mark.parametrize("code", [234, 236, 333, 335, 500, 502, 504, 535])
def test_auth_that_is_refused_raises_what_the_server_said(code: int) -> None:
    client, _ = joe(b"%d no\r\n" % code)
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.auth("PLAIN", client.auth_plain)
    assert refused.value.args == (code, b"no")


def test_a_wrong_user_is_refused_with_the_servers_code() -> None:
    with served(hello("AUTH PLAIN") + "C: AUTH PLAIN *\nS: 535 who are you?") as client:
        client.ehlo()
        client.user, client.password = "jim", "secret"
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth("PLAIN", client.auth_plain)
    assert refused.value.args == (535, b"who are you?")


@pytest.mark.parametrize(("initial_response_ok", "answers"), [(True, 5), (False, 6)])
def test_a_server_that_never_stops_asking_is_given_up(initial_response_ok: bool, answers: int) -> None:
    client, sent = joe(b"334 eA==\r\n" * 20)
    with pytest.raises(smtplib.SMTPException) as given_up:
        client.auth("PLAIN", client.auth_plain, initial_response_ok=initial_response_ok)
    assert type(given_up.value) is smtplib.SMTPException
    assert str(given_up.value) == "Server AUTH mechanism infinite loop. Last response: (334, b'eA==')"
    assert sent().count(b"\r\n") == 1 + answers


def test_five_questions_behind_an_initial_response_are_one_too_many_and_four_are_not() -> None:
    client, _ = joe(b"334 eA==\r\n" * 4 + b"235 in\r\n")
    assert client.auth("PLAIN", client.auth_plain) == (235, b"in")


def test_credentials_that_are_not_ASCII_cannot_be_sent() -> None:
    client, sent = joe()
    client.user = "jö"
    with pytest.raises(UnicodeEncodeError):
        client.auth("PLAIN", client.auth_plain)
    client.password = "geheimnü"
    with pytest.raises(UnicodeEncodeError):
        client.auth_cram_md5(b"challenge")
    assert sent() == b""


def test_CRAM_MD5_has_no_initial_response() -> None:
    client, _ = joe()
    assert client.auth_cram_md5() is None


def test_the_answers_of_the_built_in_methods() -> None:
    client, _ = joe()
    client.user, client.password = TIM, TIMS_PASSWORD
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert client.auth_cram_md5(challenge) == "tim b913a602c7eda7a495b4e6e7334d3890"
    assert client.auth_plain(b"ignored") == client.auth_plain() == "\0tim\0tanstaaftanstaaf"
    assert client.auth_login() == "tim"


@given(user=st.text("abc @=", min_size=1, max_size=90), password=st.text("xyz ", max_size=90))
def test_PLAIN_is_one_line_of_base64_whatever_its_length(user: str, password: str) -> None:
    client, sent = joe(b"235 in\r\n", "PLAIN")
    client.login(user, password)
    assert sent() == b"AUTH PLAIN " + b64encode(f"\0{user}\0{password}".encode()) + b"\r\n"
