"""smtplib promises that send_message takes the envelope from the message's own headers and keeps Bcc secret.

The headers are RFC 5322 sections 3.6.2, 3.6.3 and 3.6.6, internationalised ones RFC 6531 and RFC 6532.
"""

from __future__ import annotations

import smtplib
from email.message import EmailMessage, Message

import pytest

from .support import folded, hello, offline, served

UTF8 = {"smtputf8": "", "8bitmime": ""}


def message(*headers: str, body: str = "hello\n") -> EmailMessage:
    """A message with these headers, `Name: value` each, in this order."""
    made = EmailMessage()
    for header in headers:
        name, _, value = header.partition(": ")
        made[name] = value
    made.set_payload(body)
    return made


def sent_by(
    made: Message, *arguments: object, esmtp: dict[str, str] | None = None, recipients: int = 1, **options: object
) -> list[str]:
    """The lines that send_message(made, ...) writes to a server that accepts everything."""
    client, wire = offline(b"250 OK\r\n" * (1 + recipients) + b"354 go\r\n250 taken\r\n", esmtp or {})
    assert client.send_message(made, *arguments, **options) == {}  # type: ignore[arg-type]
    return folded(wire.sent).decode().split("\r\n")[:-1]


def test_explicit_addresses_are_the_envelope_and_the_headers_are_not_asked() -> None:
    made = message("From: ann@a.test", "To: joe@b.test", "Cc: sue@c.test", "Subject: x")
    script = """
        C: mail FROM:<boss@d.test>
        S: 250 OK
        C: rcpt TO:<tom@e.test>
        S: 250 OK
        C: data
        S: 354 go on
        C: From: ann@a.test
        C: To: joe@b.test
        C: Cc: sue@c.test
        C: Subject: x
        C:
        C: hello
        C: .
        S: 250 taken
        C: quit
        S: 221 bye
    """
    with served(hello("HELP") + script) as client:
        assert client.send_message(made, "boss@d.test", "tom@e.test") == {}
        client.quit()


def test_without_addresses_From_sends_and_To_Bcc_and_Cc_receive() -> None:
    made = message(
        "From: Ann <ann@a.test>", "To: Joe <joe@b.test>, sue@c.test", "Cc: tom@d.test", "Bcc: Eve <eve@e.test>"
    )
    assert sent_by(made, recipients=4) == [
        "mail FROM:<ann@a.test>",
        "rcpt TO:<joe@b.test>",
        "rcpt TO:<sue@c.test>",
        "rcpt TO:<eve@e.test>",
        "rcpt TO:<tom@d.test>",
        "data",
        "From: Ann <ann@a.test>",
        "To: Joe <joe@b.test>, sue@c.test",
        "Cc: tom@d.test",
        "",
        "hello",
        ".",
    ]


def test_Bcc_is_not_sent_and_stays_on_the_callers_message() -> None:
    made = message("From: ann@a.test", "To: joe@b.test", "Bcc: eve@e.test", "Resent-Bcc: eva@e.test")
    lines = sent_by(made, recipients=2)
    assert [line for line in lines if "eve" in line or "eva" in line] == ["rcpt TO:<eve@e.test>"]
    assert (made["Bcc"], made["Resent-Bcc"]) == ("eve@e.test", "eva@e.test")


@pytest.mark.parametrize("header", ["To", "Cc", "Bcc"])
def test_one_kind_of_recipients_is_enough(header: str) -> None:
    made = message("From: ann@a.test", f"{header}: joe@b.test")
    assert sent_by(made)[:2] == ["mail FROM:<ann@a.test>", "rcpt TO:<joe@b.test>"]


@pytest.mark.parametrize(
    ("arguments", "envelope"),
    [
        pytest.param(("boss@d.test",), ["mail FROM:<boss@d.test>", "rcpt TO:<joe@b.test>"], id="sender"),
        pytest.param((None, ["tom@e.test"]), ["mail FROM:<ann@a.test>", "rcpt TO:<tom@e.test>"], id="recipient"),
        pytest.param(("<>", "tom@e.test"), ["mail FROM:<>", "rcpt TO:<tom@e.test>"], id="null sender"),
    ],
)
def test_each_explicit_address_replaces_its_headers(arguments: tuple[object, ...], envelope: list[str]) -> None:
    made = message("From: ann@a.test", "To: joe@b.test")
    assert sent_by(made, *arguments)[:2] == envelope


def test_Sender_comes_before_From() -> None:
    made = message("From: ann@a.test, joe@b.test", "Sender: sue@c.test", "To: tom@d.test")
    assert sent_by(made)[:2] == ["mail FROM:<sue@c.test>", "rcpt TO:<tom@d.test>"]


def test_the_first_of_several_in_From_is_the_sender() -> None:
    made = message("From: ann@a.test, joe@b.test", "To: tom@d.test")
    assert sent_by(made)[0] == "mail FROM:<ann@a.test>"


def test_a_message_that_was_resent_once_goes_by_its_Resent_headers() -> None:
    made = message(
        "From: ann@a.test",
        "To: joe@b.test",
        "Bcc: eve@e.test",
        "Resent-Date: Thu, 1 Jan 1970 17:42:00 +0000",
        "Resent-From: sue@c.test",
        "Resent-To: tom@d.test",
        "Resent-Cc: kim@d.test",
        "Resent-Bcc: eva@e.test",
    )
    assert sent_by(made, recipients=3) == [
        "mail FROM:<sue@c.test>",
        "rcpt TO:<tom@d.test>",
        "rcpt TO:<eva@e.test>",
        "rcpt TO:<kim@d.test>",
        "data",
        "From: ann@a.test",
        "To: joe@b.test",
        "Resent-Date: Thu, 01 Jan 1970 17:42:00 +0000",
        "Resent-From: sue@c.test",
        "Resent-To: tom@d.test",
        "Resent-Cc: kim@d.test",
        "",
        "hello",
        ".",
    ]


def test_Resent_Sender_comes_before_Resent_From() -> None:
    made = message(
        "From: ann@a.test",
        "Sender: joe@b.test",
        "Resent-Date: Thu, 1 Jan 1970 17:42:00 +0000",
        "Resent-From: sue@c.test",
        "Resent-Sender: tom@d.test",
        "Resent-To: kim@d.test",
    )
    assert sent_by(made)[:2] == ["mail FROM:<tom@d.test>", "rcpt TO:<kim@d.test>"]


def test_a_message_that_was_resent_twice_is_refused() -> None:
    made = message("From: ann@a.test", "To: joe@b.test", "Resent-Date: Thu, 1 Jan 1970 17:42:00 +0000")
    made["Resent-Date"] = "Thu, 1 Jan 1970 17:43:00 +0000"
    client, wire = offline(esmtp={})
    with pytest.raises(ValueError, match=r"^message has more than one 'Resent-' header block$"):
        client.send_message(made)
    assert wire.sent == b""


def test_a_server_that_was_not_greeted_is_greeted_first() -> None:
    client, wire = offline(b"250 hi\r\n250 OK\r\n250 OK\r\n354 go\r\n250 taken\r\n")
    client.send_message(message("From: ann@a.test", "To: joe@b.test"))
    assert wire.sent.startswith(b"ehlo me.test\r\n")


def test_recipients_that_are_refused_are_returned() -> None:
    client, _ = offline(b"250 OK\r\n550 no Joe\r\n250 OK\r\n354 go\r\n250 taken\r\n", {})
    refused = client.send_message(message("From: ann@a.test", "To: joe@b.test, sue@c.test"))
    assert refused == {"joe@b.test": (550, b"no Joe")}


def test_options_are_passed_on() -> None:
    lines = sent_by(
        message("From: ann@a.test", "To: joe@b.test"), mail_options=["BODY=8BITMIME"], rcpt_options=["NOTIFY=NEVER"]
    )
    assert lines[:2] == ["mail FROM:<ann@a.test> BODY=8BITMIME", "rcpt TO:<joe@b.test> NOTIFY=NEVER"]


def test_lines_end_in_CRLF_and_dots_are_doubled() -> None:
    made = message("From: ann@a.test", "To: joe@b.test", body=".\n.a\nlast")
    assert sent_by(made)[-5:] == ["", "..", "..a", "last", "."]


# --- internationalised messages -----------------------------------------------------------------------


def test_an_address_that_is_not_ASCII_asks_for_SMTPUTF8_by_itself() -> None:
    made = EmailMessage()
    made["From"] = "Änn <änn@a.test>"
    made["To"] = "joe@b.test"
    made["Subject"] = "über"
    made.set_content("grüße", cte="8bit")
    script = """
        C: mail FROM:<änn@a.test> SMTPUTF8 BODY=8BITMIME
        S: 250 OK
        C: rcpt TO:<joe@b.test>
        S: 250 OK
        C: data
        S: 354 go on
        C: From: Änn <änn@a.test>
        C: To: joe@b.test
        C: Subject: über
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: 8bit
        C: MIME-Version: 1.0
        C:
        C: grüße
        C: .
        S: 250 taken
    """
    with served(hello("SMTPUTF8", "8BITMIME") + script) as client:
        assert client.send_message(made) == {}


def test_a_recipient_that_is_not_ASCII_asks_for_SMTPUTF8_too() -> None:
    made = message("From: ann@a.test", "To: joe@b.test")
    lines = sent_by(made, None, ["jöe@b.test"], esmtp=UTF8)
    assert lines[:2] == ["mail FROM:<ann@a.test> SMTPUTF8 BODY=8BITMIME", "rcpt TO:<jöe@b.test>"]


def test_asking_for_SMTPUTF8_leaves_no_trace_for_the_next_message() -> None:
    made = message("From: änn@a.test", "To: joe@b.test")
    first, second = sent_by(made, esmtp=UTF8)[0], sent_by(made, esmtp=UTF8)[0]
    assert first == second == "mail FROM:<änn@a.test> SMTPUTF8 BODY=8BITMIME"


def test_the_callers_own_options_come_first_and_are_not_changed() -> None:
    own = ["X=1"]
    lines = sent_by(message("From: änn@a.test", "To: joe@b.test"), esmtp=UTF8, mail_options=own)
    assert lines[0] == "mail FROM:<änn@a.test> X=1 SMTPUTF8 BODY=8BITMIME"
    assert own == ["X=1"]


def test_an_address_that_is_not_ASCII_is_refused_where_the_server_cannot() -> None:
    client, wire = offline(esmtp={"8bitmime": ""})
    with pytest.raises(smtplib.SMTPNotSupportedError) as refused:
        client.send_message(message("From: änn@a.test", "To: joe@b.test"))
    assert str(refused.value) == (
        "One or more source or delivery addresses require internationalized email support, "
        "but the server does not advertise the required SMTPUTF8 capability"
    )
    assert wire.sent == b""


def test_a_name_that_is_not_ASCII_needs_no_SMTPUTF8() -> None:
    lines = sent_by(message("From: Änn <ann@a.test>", "To: Jöe <joe@b.test>"), esmtp=UTF8)
    assert lines[:2] == ["mail FROM:<ann@a.test>", "rcpt TO:<joe@b.test>"]
    assert [line for line in lines if line.startswith("From")] == ["From: =?utf-8?q?=C3=84nn?= <ann@a.test>"]
