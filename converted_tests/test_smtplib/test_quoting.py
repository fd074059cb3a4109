"""smtplib promises addresses in angle brackets (RFC 5321 section 4.1.2) and lines that no lone dot can end.

The latter is transparency, RFC 5321 section 4.5.2; lines end in CRLF by section 2.3.8.
"""

from __future__ import annotations

import re
import smtplib

import pytest
from hypothesis import given
from hypothesis import strategies as st

some_text = st.text(st.sampled_from("ab.\r\n \x85\u2028"), max_size=30)


def unstuffed(text: str) -> str:
    """What a server makes of quoted text: section 4.5.2, second bullet."""
    return "\r\n".join(line.removeprefix(".") for line in text.split("\r\n"))


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("a\rb", "a\r\nb", id="lone CR"),
        pytest.param("a\nb", "a\r\nb", id="lone LF"),
        pytest.param("a\r\nb", "a\r\nb", id="CRLF"),
        pytest.param("a\n\rb", "a\r\n\r\nb", id="LF CR is two endings"),
        pytest.param("a\r\r\nb\n\n", "a\r\n\r\nb\r\n\r\n", id="empty lines stay"),
        pytest.param(".", "..", id="a dot alone"),
        pytest.param("..a", "...a", id="two dots get one more"),
        pytest.param("a.b\n c. .", "a.b\r\n c. .", id="dots inside a line stay"),
        pytest.param(".a\r.b\n.c\r\n.d", "..a\r\n..b\r\n..c\r\n..d", id="a dot behind each kind of ending"),
    ],
)
def test_quotedata_ends_lines_in_CRLF_and_doubles_a_dot_at_their_start(text: str, quoted: str) -> None:
    assert smtplib.quotedata(text) == quoted


@given(text=some_text)
def test_no_quoted_text_holds_a_lone_CR_a_lone_LF_or_a_line_of_one_dot(text: str) -> None:
    quoted = smtplib.quotedata(text)
    assert "." not in quoted.split("\r\n")
    assert not re.search(r"\r(?!\n)|(?<!\r)\n", quoted)


@given(text=some_text)
def test_a_server_that_takes_the_stuffed_dots_out_has_the_text_again(text: str) -> None:
    assert unstuffed(smtplib.quotedata(text)) == text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("address", "quoted"),
    [
        pytest.param("a@b.test", "<a@b.test>", id="bare"),
        pytest.param("<a@b.test>", "<a@b.test>", id="in brackets"),
        pytest.param("Name <a@b.test>", "<a@b.test>", id="with a name"),
        pytest.param('"Q, N" <a@b.test>', "<a@b.test>", id="with a quoted name"),
        pytest.param("a@b.test (remark)", "<a@b.test>", id="with a comment"),
        pytest.param("Ünï <ü@é.test>", "<ü@é.test>", id="not ASCII"),
        pytest.param("postmaster", "<postmaster>", id="without a domain"),
        pytest.param("", "<>", id="empty"),
        pytest.param("<>", "<>", id="null sender"),
        pytest.param(" <>", " <>", id="null sender behind a blank"),
        pytest.param("Name <", "<>", id="a name and no address"),
        pytest.param("@", "<@>", id="not an address"),
    ],
)
def test_quoteaddr_gives_the_address_part_in_brackets(address: str, quoted: str) -> None:
    assert smtplib.quoteaddr(address) == quoted


@given(text=st.text(max_size=30))
def test_quoteaddr_always_gives_brackets_or_what_was_in_them(text: str) -> None:
    quoted = smtplib.quoteaddr(text)
    assert quoted == text or (quoted[0], quoted[-1]) == ("<", ">")


def test_the_module_exports_its_classes_errors_and_two_functions() -> None:
    assert sorted(smtplib.__all__) == [
        "SMTP",
        "SMTPAuthenticationError",
        "SMTPConnectError",
        "SMTPDataError",
        "SMTPException",
        "SMTPHeloError",
        "SMTPNotSupportedError",
        "SMTPRecipientsRefused",
        "SMTPResponseException",
        "SMTPSenderRefused",
        "SMTPServerDisconnected",
        "SMTP_SSL",
        "quoteaddr",
        "quotedata",
    ]


def test_the_ports_are_those_that_IANA_assigned_and_LMTPs_custom() -> None:
    assert (smtplib.SMTP_PORT, smtplib.SMTP_SSL_PORT, smtplib.LMTP_PORT) == (25, 465, 2003)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (smtplib.SMTPException, OSError),
        (smtplib.SMTPNotSupportedError, smtplib.SMTPException),
        (smtplib.SMTPServerDisconnected, smtplib.SMTPException),
        (smtplib.SMTPResponseException, smtplib.SMTPException),
        (smtplib.SMTPRecipientsRefused, smtplib.SMTPException),
        (smtplib.SMTPSenderRefused, smtplib.SMTPResponseException),
        (smtplib.SMTPDataError, smtplib.SMTPResponseException),
        (smtplib.SMTPConnectError, smtplib.SMTPResponseException),
        (smtplib.SMTPHeloError, smtplib.SMTPResponseException),
        (smtplib.SMTPAuthenticationError, smtplib.SMTPResponseException),
    ],
)
def test_errors_can_be_caught_by_their_kind(error: type[Exception], base: type[Exception]) -> None:
    assert error.__bases__ == (base,)


def test_errors_carry_what_the_server_said() -> None:
    response = smtplib.SMTPResponseException(450, b"busy")
    sender = smtplib.SMTPSenderRefused(550, b"no", "a@b.test")
    recipients = smtplib.SMTPRecipientsRefused({"c@d.test": (550, b"who?")})
    assert (response.smtp_code, response.smtp_error, response.args) == (450, b"busy", (450, b"busy"))
    assert (sender.smtp_code, sender.smtp_error, sender.sender) == (550, b"no", "a@b.test")
    assert sender.args == (550, b"no", "a@b.test")
    assert recipients.recipients == {"c@d.test": (550, b"who?")}
    assert recipients.args == ({"c@d.test": (550, b"who?")},)
