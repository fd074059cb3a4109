"""smtplib promises that sendmail is one whole mail transaction, and says which recipients it did not reach.

A transaction is RFC 5321 section 3.3, refusals section 4.2, SIZE RFC 1870, SMTPUTF8 RFC 6531.
"""

from __future__ import annotations

import smtplib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, Peer, Say, listening

from .support import ME, folded, hello, offline, served

ANN, JOE, SUE = "ann@a.test", "joe@b.test", "sue@c.test"
EVERYTHING_ACCEPTED = b"250 OK\r\n250 OK\r\n354 go\r\n250 taken\r\n"

TO_JOE = f"""
    C: mail FROM:<{ANN}>
    S: 250 OK
    C: rcpt TO:<{JOE}>
    S: 250 OK
    C: data
    S: 354 go on
"""


def transaction(client: smtplib.SMTP, message: str | bytes = b"Subject: x\r\n\r\nhello\r\n") -> object:
    return client.sendmail(ANN, JOE, message)


def body_of(wire: InMemory) -> bytes:
    """What was sent after DATA."""
    return wire.sent.partition(b"data\r\n")[2]


# --- messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", ["Subject: x\n\nhello\nyou", b"Subject: x\r\n\r\nhello\r\nyou"], ids=["text", "bytes"]
)
def test_a_message_arrives_with_a_blank_line_between_head_and_body(message: str | bytes) -> None:
    script = """
        C: Subject: x
        C:
        C: hello
        C: you
        C: .
        S: 250 taken
        C: quit
        S: 221 bye
    """
    with served(hello("HELP") + TO_JOE + script) as client:
        assert transaction(client, message) == {}
        client.quit()


def test_lines_that_begin_with_a_dot_arrive_unchanged() -> None:
    received: list[bytes] = []

    def mailbox() -> Peer:
        line = yield b"220 ready\r\n"
        while line != b"data":
            line = yield b"250 OK\r\n"
        line = yield b"354 go\r\n"
        while line != b".":
            received.append(line.removeprefix(b"."))
            line = yield b""
        yield Say(b"250 taken\r\n")

    with listening(mailbox()) as server, smtplib.SMTP(server.host, server.port, ME) as client:
        transaction(client, ".\n..\n.a\nb.\n")
        client.close()
    assert received == [b".", b"..", b".a", b"b."]


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        pytest.param("", b"\r\n.\r\n", id="no text"),
        pytest.param(b"", b"\r\n.\r\n", id="no bytes"),
        pytest.param("a", b"a\r\n.\r\n", id="an ending is added"),
        pytest.param(b"a\n", b"a\n\r\n.\r\n", id="an LF is no ending of bytes"),
        pytest.param("a\n", b"a\r\n.\r\n", id="an LF is one of text"),
        pytest.param("a\r\n", b"a\r\n.\r\n", id="an ending is not doubled"),
        pytest.param("a\rb\n\nc", b"a\r\nb\r\n\r\nc\r\n.\r\n", id="text gets CRLF everywhere"),
        pytest.param(b"a\rb\nc\xff", b"a\rb\nc\xff\r\n.\r\n", id="bytes go as they are"),
        pytest.param(".a\n.\n", b"..a\r\n..\r\n.\r\n", id="dots of text are doubled"),
        pytest.param(b".a\r\n.\n.b", b"..a\r\n..\n..b\r\n.\r\n", id="dots of bytes are doubled"),
    ],
)
def test_what_goes_over_the_wire_behind_DATA(message: str | bytes, sent: bytes) -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {})
    assert transaction(client, message) == {}
    assert body_of(wire) == sent


@pytest.mark.parametrize(
    ("message", "sent"),
    [pytest.param("a\n.", b"a\r\n..\r\n.\r\n", id="text"), pytest.param(b"a\n.", b"a\n..\r\n.\r\n", id="bytes")],
)
def test_data_alone_sends_and_returns_the_last_reply(message: str | bytes, sent: bytes) -> None:
    client, wire = offline(b"354 go\r\n250 taken\r\n")
    assert client.data(message) == (250, b"taken")
    assert body_of(wire) == sent


@given(message=st.binary(max_size=80) | st.lists(st.sampled_from([b".", b"\r\n", b"a"])).map(b"".join))
def test_no_message_can_end_the_data_by_itself(message: bytes) -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {})
    transaction(client, message)
    body = b"\r\n" + body_of(wire)
    assert body.index(b"\r\n.\r\n") == len(body) - 5
    assert body.endswith(b"\r\n.\r\n")


def test_text_that_is_not_ASCII_is_not_sent() -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {})
    with pytest.raises(UnicodeEncodeError):
        transaction(client, "grüße")
    assert wire.sent == b""
    with pytest.raises(UnicodeEncodeError):
        offline(b"354 go\r\n")[0].data("grüße")


# --- the envelope -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipients", [JOE, [JOE]], ids=["a string", "a list"])
def test_one_recipient_may_be_a_string(recipients: str | list[str]) -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {})
    client.sendmail(ANN, recipients, b"")
    assert [line for line in folded(wire.sent).splitlines() if line.startswith(b"rcpt")] == [b"rcpt TO:<joe@b.test>"]


def test_display_names_are_not_part_of_the_envelope() -> None:
    script = """
        C: mail FROM:<ann@a.test>
        S: 250 OK
        C: rcpt TO:<joe@b.test>
        S: 250 OK
        C: rcpt TO:<sue@c.test>
        S: 251 forwarded
        C: data
        S: 354 go on
        C:
        C: .
        S: 250 taken
    """
    with served(hello("HELP") + script) as client:
        assert client.sendmail("Änn <ann@a.test>", ["Joe <joe@b.test>", "sue@c.test (Süe)"], b"") == {}


def test_the_null_sender_is_an_empty_pair_of_brackets() -> None:
    with served(hello("HELP") + "C: mail FROM:<>\nS: 250 OK\nC: rset\nS: 250 OK") as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("<>", [], b"")


def test_the_size_is_sent_to_a_server_that_supports_SIZE() -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {"size": "1000"})
    transaction(client, "12\n4")
    assert folded(wire.sent).startswith(b"mail FROM:<ann@a.test> size=5\r\n")


def test_options_go_to_the_commands_they_are_for() -> None:
    script = """
        C: mail FROM:<ann@a.test> size=3 BODY=8BITMIME X=1
        S: 250 OK
        C: rcpt TO:<joe@b.test> NOTIFY=NEVER Z
        S: 250 OK
        C: rcpt TO:<sue@c.test> NOTIFY=NEVER Z
        S: 250 OK
        C: data
        S: 354 go on
        C: a
        C: .
        S: 250 taken
    """
    with served(hello("SIZE 1000") + script) as client:
        client.sendmail(ANN, [JOE, SUE], b"a\r\n", ["BODY=8BITMIME", "X=1"], ["NOTIFY=NEVER", "Z"])


def test_a_server_without_ESMTP_is_sent_no_options() -> None:
    script = f"""
        S: 220 ready
        C: ehlo {ME}
        S: 500 what?
        C: helo {ME}
        S: 250 hi
        {TO_JOE}
        C: a
        C: .
        S: 250 taken
    """
    with served(script) as client:
        client.sendmail(ANN, JOE, b"a\r\n", ["BODY=8BITMIME", "SMTPUTF8"], ["NOTIFY=NEVER"])


# --- refusals -----------------------------------------------------------------------------------------


def test_a_refused_sender_is_an_error_and_the_server_is_reset() -> None:
    script = "C: mail FROM:<ann@a.test>\nS: 550 not you\nC: rset\nS: 250 OK\nC: noop\nS: 250 still here"
    with served(hello("HELP") + script) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            transaction(client)
        assert refused.value.args == (550, b"not you", ANN)
        assert client.noop() == (250, b"still here")


def test_recipients_that_are_refused_are_returned_and_the_others_get_the_mail() -> None:
    script = """
        C: mail FROM:<ann@a.test>
        S: 250 OK
        C: rcpt TO:<joe@b.test>
        S: 550 no Joe here
        C: rcpt TO:<sue@c.test>
        S: 250 OK
        C: data
        S: 354 go on
        C:
        C: .
        S: 250 taken
    """
    with served(hello("HELP") + script) as client:
        assert client.sendmail(ANN, [JOE, SUE], b"") == {JOE: (550, b"no Joe here")}


@pytest.mark.parametrize(("code", "is_refused"), [(249, True), (250, False), (251, False), (252, True)])
def test_only_250_and_251_accept_a_recipient(code: int, is_refused: bool) -> None:
    client, _ = offline(b"250 OK\r\n250 OK\r\n%d so\r\n354 go\r\n250 taken\r\n" % code, {})
    assert client.sendmail(ANN, [JOE, SUE], b"") == ({SUE: (code, b"so")} if is_refused else {})


def test_when_all_recipients_are_refused_it_is_an_error_and_the_server_is_reset() -> None:
    script = """
        C: mail FROM:<ann@a.test>
        S: 250 OK
        C: rcpt TO:<joe@b.test>
        S: 550 no Joe here
        C: rcpt TO:<sue@c.test>
        S: 450 Sue is busy
        C: rset
        S: 250 OK
        C: noop
        S: 250 still here
    """
    with served(hello("HELP") + script) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail(ANN, [JOE, SUE], b"")
        assert refused.value.recipients == {JOE: (550, b"no Joe here"), SUE: (450, b"Sue is busy")}
        assert client.noop() == (250, b"still here")


def test_DATA_that_is_not_answered_354_is_an_error() -> None:
    with served(hello("HELP") + TO_JOE.replace("354 go on", "451 not now") + "C: noop\nS: 250 OK") as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            transaction(client)
        assert refused.value.args == (451, b"not now")
        client.noop()


@pytest.mark.parametrize("code", [353, 355, 250])
def test_only_354_invites_a_message(code: int) -> None:
    client, wire = offline(b"%d well\r\n" % code)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        client.data(b"message")
    assert refused.value.args == (code, b"well")
    assert wire.sent == b"data\r\n"


def test_a_refused_message_is_an_error_and_the_server_is_reset() -> None:
    script = "C: a\nC: .\nS: 554 spam\nC: rset\nS: 250 OK\nC: noop\nS: 250 still here"
    with served(hello("HELP") + TO_JOE + script) as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            transaction(client, b"a\r\n")
        assert refused.value.args == (554, b"spam")
        assert client.noop() == (250, b"still here")


@pytest.mark.parametrize("code", [249, 251])
def test_only_250_accepts_a_sender_and_a_message(code: int) -> None:
    with pytest.raises(smtplib.SMTPSenderRefused):
        transaction(offline(b"%d hm\r\n250 OK\r\n" % code, {})[0])
    with pytest.raises(smtplib.SMTPDataError):
        transaction(offline(b"250 OK\r\n250 OK\r\n354 go\r\n%d hm\r\n250 OK\r\n" % code, {})[0])


def test_a_refusal_is_not_hidden_by_a_server_that_hangs_up_instead_of_resetting() -> None:
    with served(hello("HELP") + "C: mail *\nS: 550 not you\nC: rset") as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            transaction(client)
        assert refused.value.args == (550, b"not you", ANN)
        assert client.sock is None


def test_421_in_place_of_a_sender_closes_without_a_reset() -> None:
    client, wire = offline(b"421 closing\r\n", {})
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        transaction(client)
    assert refused.value.args == (421, b"closing", ANN)
    assert (folded(wire.sent), wire.closed, client.sock) == (b"mail FROM:<ann@a.test>\r\n", True, None)


def test_421_to_a_recipient_closes_and_reports_those_refused_so_far() -> None:
    client, wire = offline(b"250 OK\r\n550 no Joe\r\n250 OK\r\n421 closing\r\n", {})
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail(ANN, [JOE, SUE, "tom@d.test", "last@d.test"], b"")
    assert refused.value.recipients == {JOE: (550, b"no Joe"), "tom@d.test": (421, b"closing")}
    assert (wire.sent.count(b"\r\n"), wire.closed, client.sock) == (4, True, None)


def test_421_behind_the_message_closes_without_a_reset() -> None:
    client, wire = offline(b"250 OK\r\n250 OK\r\n354 go\r\n421 closing\r\n", {})
    with pytest.raises(smtplib.SMTPDataError) as refused:
        transaction(client, b"a\r\n")
    assert refused.value.args == (421, b"closing")
    assert (body_of(wire), wire.closed, client.sock) == (b"a\r\n.\r\n", True, None)


def test_a_server_that_says_421_over_a_connection_sees_it_closed() -> None:
    with served(hello("HELP") + "C: mail *\nS: 421 closing") as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            transaction(client)
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^please run connect\(\) first$"):
            client.noop()


# --- addresses that are not ASCII ---------------------------------------------------------------------

UTF8 = {"smtputf8": "", "8bitmime": ""}


def test_a_transaction_in_UTF8_arrives_whole() -> None:
    script = """
        C: mail FROM:<änn@a.test> BODY=8BITMIME SMTPUTF8
        S: 250 OK
        C: rcpt TO:<jöe@b.test>
        S: 250 OK
        C: data
        S: 354 go on
        C: Subject: ü
        C:
        C: grüße
        C: .
        S: 250 taken
    """
    message = "Subject: ü\r\n\r\ngrüße\r\n".encode()
    with served(hello("SMTPUTF8", "8BITMIME") + script) as client:
        assert client.sendmail("änn@a.test", ["jöe@b.test"], message, ["BODY=8BITMIME", "SMTPUTF8"]) == {}


def test_the_same_step_by_step() -> None:
    client, wire = offline(b"250 OK\r\n250 OK\r\n354 go\r\n250 OK\r\n", UTF8)
    assert client.mail("änn@a.test", ["BODY=8BITMIME", "smtputf8"]) == (250, b"OK")
    assert client.rcpt("jöe@b.test") == (250, b"OK")
    assert client.data("grüße\r\n".encode()) == (250, b"OK")
    expected = "mail FROM:<änn@a.test> BODY=8BITMIME smtputf8\r\nrcpt TO:<jöe@b.test>\r\ndata\r\ngrüße\r\n.\r\n"
    assert folded(wire.sent).decode() == expected


def test_SMTPUTF8_that_is_not_offered_is_refused_here() -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, {"8bitmime": ""})
    with pytest.raises(smtplib.SMTPNotSupportedError, match=r"^SMTPUTF8 not supported by server$"):
        client.mail("änn@a.test", ["SMTPUTF8"])
    with pytest.raises(smtplib.SMTPNotSupportedError, match=r"^SMTPUTF8 not supported by server$"):
        client.sendmail("änn@a.test", [JOE], b"", ["BODY=8BITMIME", "SmtpUtf8"])
    assert wire.sent == b""


def test_an_address_that_is_not_ASCII_needs_SMTPUTF8() -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, UTF8)
    for options in ([], ["BODY=8BITMIME"]):
        with pytest.raises(UnicodeEncodeError):
            client.mail("änn@a.test", options)
        with pytest.raises(UnicodeEncodeError):
            client.sendmail("änn@a.test", [JOE], b"", options)
    assert wire.sent == b""


def test_a_recipient_that_is_not_ASCII_needs_SMTPUTF8_too() -> None:
    client, wire = offline(EVERYTHING_ACCEPTED, UTF8)
    with pytest.raises(UnicodeEncodeError):
        client.sendmail(ANN, ["jöe@b.test"], b"")
    assert folded(wire.sent) == b"mail FROM:<ann@a.test>\r\n"


def test_a_reset_takes_UTF8_back() -> None:
    client, _ = offline(b"250 OK\r\n250 OK\r\n", UTF8)
    client.mail("änn@a.test", ["SMTPUTF8"])
    assert client.command_encoding == "utf-8"
    client.rset()
    assert client.command_encoding == "ascii"
    with pytest.raises(UnicodeEncodeError):
        client.rcpt("jöe@b.test")
