"""poplib promises one method for each command of POP3, which returns the server's reply as bytes and numbers.

The commands are RFC 1939 sections 5 to 7, CAPA RFC 2449, UTF8 RFC 6856; each session is held in the clear,
inside TLS, and after STLS.
"""

from __future__ import annotations

import functools
import hashlib
import poplib
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from .support import left_of, offline, served, served_after_STLS, served_by_SSL

Served = Callable[[str], AbstractContextManager[poplib.POP3]]
Command = Callable[[poplib.POP3], object]


@pytest.fixture(params=["plain", "POP3_SSL", "after STLS"])
def session(request: pytest.FixtureRequest, server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Served:
    """`served` without TLS, with TLS from the start, and with TLS after STLS."""
    if request.param == "plain":
        return served
    secured = served_by_SSL if request.param == "POP3_SSL" else served_after_STLS
    return functools.partial(secured, server_context=server_context, client_context=client_context)


def test_the_greeting_is_kept_as_a_line_of_bytes(session: Served) -> None:
    with session("C: QUIT\nS: +OK bye") as client:
        assert client.getwelcome() == client.welcome == b"+OK mailbox ready"
        client.quit()


def test_a_user_and_a_password_open_the_mailbox(session: Served) -> None:
    script = "C: USER mrose\nS: +OK password?\nC: PASS secret word\nS: +OK 2 messages"
    with session(script) as client:
        assert client.user("mrose") == b"+OK password?"
        assert client.pass_("secret word") == b"+OK 2 messages"


def test_an_unknown_user_is_an_error_and_another_may_follow(session: Served) -> None:
    with session("C: USER nobody\nS: -ERR who?\nC: USER mrose\nS: +OK password?") as client:
        with pytest.raises(poplib.error_proto) as refused:
            client.user("nobody")
        assert refused.value.args == (b"-ERR who?",)
        assert client.user("mrose") == b"+OK password?"


def test_stat_counts_messages_and_octets(session: Served) -> None:
    with session("C: STAT\nS: +OK 2 320 and a remark") as client:
        assert client.stat() == (2, 320)


def test_list_gives_the_sizes_of_all_or_of_one(session: Served) -> None:
    script = """
        C: LIST
        S: +OK 2 messages (320 octets)
        S: 1 120
        S: 2 200
        S: .
        C: LIST 2
        S: +OK 2 200
        C: LIST 3
        S: -ERR only 2
    """
    with session(script) as client:
        assert client.list() == (b"+OK 2 messages (320 octets)", [b"1 120", b"2 200"], 14)
        one: object = client.list(2)
        assert one == b"+OK 2 200"
        with pytest.raises(poplib.error_proto, match="only 2"):
            client.list("3")


def test_retr_gives_the_lines_of_a_message_and_its_octets(session: Served) -> None:
    script = """
        C: RETR 1
        S: +OK 120 octets
        S: Subject: x
        S:
        S: hello
        S: .
    """
    with session(script) as client:
        assert client.retr(1) == (b"+OK 120 octets", [b"Subject: x", b"", b"hello"], 21)


def test_top_gives_the_head_and_some_lines_of_the_body(session: Served) -> None:
    script = """
        C: TOP 1 0
        S: +OK
        S: Subject: x
        S:
        S: .
    """
    with session(script) as client:
        assert client.top(1, 0) == (b"+OK", [b"Subject: x", b""], 14)


def test_uidl_gives_the_names_of_all_or_of_one(session: Served) -> None:
    script = """
        C: UIDL
        S: +OK names follow
        S: 1 whqtswO00WBw418f9t5JxYwZ
        S: 2 QhdPYR:00WBw1Ph7x7
        S: .
        C: UIDL 2
        S: +OK 2 QhdPYR:00WBw1Ph7x7
    """
    with session(script) as client:
        names = [b"1 whqtswO00WBw418f9t5JxYwZ", b"2 QhdPYR:00WBw1Ph7x7"]
        assert client.uidl() == (b"+OK names follow", names, 50)
        assert client.uidl(2) == b"+OK 2 QhdPYR:00WBw1Ph7x7"


def test_an_empty_list_is_no_lines_and_no_octets(session: Served) -> None:
    with session("C: LIST\nS: +OK 0 messages\nS: .") as client:
        assert client.list() == (b"+OK 0 messages", [], 0)


def test_dele_rset_noop_and_rpop_return_the_servers_line(session: Served) -> None:
    script = """
        C: DELE 1
        S: +OK deleted
        C: RSET
        S: +OK back
        C: NOOP
        S: +OK
        C: RPOP mrose
        S: +OK in
    """
    with session(script) as client:
        replies = [client.dele(1), client.rset(), client.noop(), client.rpop("mrose")]
    assert replies == [b"+OK deleted", b"+OK back", b"+OK", b"+OK in"]


def test_utf8_is_accepted_or_refused_by_the_server(session: Served) -> None:
    with session("C: UTF8\nS: +OK UTF8 on\nC: UTF8\nS: -ERR what?") as client:
        assert client.utf8() == b"+OK UTF8 on"
        with pytest.raises(poplib.error_proto) as refused:
            client.utf8()
    assert refused.value.args == (b"-ERR what?",)


def test_capa_is_a_dictionary_of_names_to_lists_of_parameters(session: Served) -> None:
    script = """
        C: CAPA
        S: +OK list follows
        S: TOP
        S: SASL PLAIN  CRAM-MD5
        S: EXPIRE 60 USER
        S: .
    """
    with session(script) as client:
        assert client.capa() == {"TOP": [], "SASL": ["PLAIN", "CRAM-MD5"], "EXPIRE": ["60", "USER"]}


def test_quit_returns_the_reply_and_closes(session: Served) -> None:
    with session("C: QUIT\nS: +OK bye") as client:
        assert client.quit() == b"+OK bye"
        assert left_of(client) == {"sock": None, "file": None}


def test_a_whole_session_over_each_family_of_addresses(ip_family: int) -> None:
    with served("C: STAT\nS: +OK 0 0\nC: QUIT\nS: +OK bye", ip_family) as client:
        assert client.stat() == (0, 0)
        assert client.quit() == b"+OK bye"


# --- what is sent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        pytest.param(lambda pop: pop.user("a b"), b"USER a b\r\n", id="user"),
        pytest.param(lambda pop: pop.user("jöe"), "USER jöe\r\n".encode(), id="user in UTF-8"),
        pytest.param(lambda pop: pop.pass_("p w"), b"PASS p w\r\n", id="pass"),
        pytest.param(lambda pop: pop.list(2), b"LIST 2\r\n", id="list of one"),
        pytest.param(lambda pop: pop.list(0), b"LIST 0\r\n", id="list of number 0"),
        pytest.param(lambda pop: pop.dele("3"), b"DELE 3\r\n", id="dele"),
        pytest.param(lambda pop: pop.noop(), b"NOOP\r\n", id="noop"),
        pytest.param(lambda pop: pop.rset(), b"RSET\r\n", id="rset"),
        pytest.param(lambda pop: pop.rpop("joe"), b"RPOP joe\r\n", id="rpop"),
        pytest.param(lambda pop: pop.uidl(4), b"UIDL 4\r\n", id="uidl of one"),
        pytest.param(lambda pop: pop.uidl(0), b"UIDL 0\r\n", id="uidl of number 0"),
        pytest.param(lambda pop: pop.utf8(), b"UTF8\r\n", id="utf8"),
        pytest.param(lambda pop: pop.quit(), b"QUIT\r\n", id="quit"),
    ],
)
def test_a_command_with_a_short_answer(command: Command, sent: bytes) -> None:
    client, wire = offline(b"+OK done\r\n")
    assert command(client) == b"+OK done"
    assert wire.sent == sent


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        pytest.param(lambda pop: pop.list(), b"LIST\r\n", id="list"),
        pytest.param(lambda pop: pop.retr("5"), b"RETR 5\r\n", id="retr"),
        pytest.param(lambda pop: pop.top(6, 7), b"TOP 6 7\r\n", id="top"),
        pytest.param(lambda pop: pop.uidl(), b"UIDL\r\n", id="uidl"),
    ],
)
def test_a_command_with_a_long_answer(command: Command, sent: bytes) -> None:
    client, wire = offline(b"+OK\r\n1 a\r\n.\r\n")
    assert command(client) == (b"+OK", [b"1 a"], 5)
    assert wire.sent == sent


# --- APOP ---------------------------------------------------------------------------------------------

RFC_GREETING = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"


def test_apop_sends_the_digest_of_the_RFCs_own_example() -> None:
    client, wire = offline(b"+OK maildrop has 1 message\r\n", RFC_GREETING)
    assert client.apop("mrose", "tanstaaf") == b"+OK maildrop has 1 message"
    assert wire.sent == b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"


def test_apop_hashes_the_secret_in_UTF_8() -> None:
    client, wire = offline(b"+OK\r\n", RFC_GREETING)
    client.apop("mrose", "grüße")
    assert wire.sent == b"APOP mrose 93a1353f98ad6f2e02c6f8bafdca3e33\r\n"


@pytest.mark.parametrize(
    ("greeting", "digest"),
    [
        pytest.param(b"+OK <a@b>\r\n", "<a@b>", id="nothing but a timestamp"),
        pytest.param(b"+OK hi <a@b> there\r\n", "<a@b>", id="text on both sides"),
        pytest.param(b"+OK <a> <b>\r\n", "<a> <b>", id="from the first bracket to the last"),
    ],
)
def test_the_timestamp_is_the_text_in_brackets(greeting: bytes, digest: str) -> None:
    client, wire = offline(b"+OK\r\n", greeting)
    client.apop("u", "s")
    assert wire.sent == f"APOP u {hashlib.md5(f'{digest}s'.encode()).hexdigest()}\r\n".encode()


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"+OK ready\r\n", id="none"),
        pytest.param(b"+OK <open\r\n", id="one bracket"),
        pytest.param(b"+OK" + b" <" * 1000 + b"\r\n", id="a thousand brackets that never close"),
        pytest.param(b"+OK" + b" " * 2000 + b"<\r\n", id="a line of blanks that a slow pattern would try for long"),
    ],
)
def test_a_greeting_without_a_timestamp_means_no_APOP(greeting: bytes) -> None:
    client, wire = offline(b"", greeting)
    with pytest.raises(poplib.error_proto) as unsupported:
        client.apop("mrose", "secret")
    assert unsupported.value.args == ("-ERR APOP not supported by server",)
    assert wire.sent == b""
