"""How ftplib reads replies (three digits and text, in one line or several) and writes commands.

RFC 959 section 4.2 says what the digits mean and how a reply of several lines ends; the library reference of
ftplib names the exception of each first digit.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import ssl
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, dialled, listening, transcript
from converted_tests.strategies import line_text, pieces_of, wire_bytes
from converted_tests.test_ftplib.support import dialogue


def reading(text: str, maxline: int | None = None) -> ftplib.FTP:
    """A client whose control connection reads *text* with its line endings untouched."""
    ftp = ftplib.FTP()
    ftp.file = io.StringIO(text, newline="\n")
    if maxline is not None:
        ftp.maxline = maxline
    return ftp


# --- the first digit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["150 opening", "220 ready", "331 password"], ids=lambda reply: reply[0])
def test_a_reply_of_1_2_or_3_is_returned_unchanged(reply: str) -> None:
    with dialogue(reply.encode() + b"\r\n") as talk:
        assert talk.ftp.sendcmd("NOOP") == reply
        assert talk.ftp.lastresp == reply[:3]
        assert talk.said() == b"NOOP\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param("421 closing", ftplib.error_temp, id="4"),
        pytest.param("550 no such file", ftplib.error_perm, id="5"),
        pytest.param("600 what?", ftplib.error_proto, id="6"),
        pytest.param("050 what?", ftplib.error_proto, id="0"),
        pytest.param("hello", ftplib.error_proto, id="no digit"),
        pytest.param("", ftplib.error_proto, id="empty line"),
    ],
)
def test_any_other_first_digit_is_an_error_that_carries_the_reply(reply: str, expected: type[Exception]) -> None:
    with dialogue(reply.encode() + b"\r\n") as talk:
        with pytest.raises(ftplib.Error) as caught:
            talk.ftp.sendcmd("NOOP")
        assert (caught.type, caught.value.args) == (expected, (reply,))
        assert talk.ftp.lastresp == reply[:3]


def test_a_void_command_returns_a_reply_of_2() -> None:
    with dialogue(b"200 fine\r\n") as talk:
        assert talk.ftp.voidcmd("NOOP") == "200 fine"
        assert talk.said() == b"NOOP\r\n"


@pytest.mark.parametrize("reply", ["125 soon", "350 more"], ids=lambda reply: reply[0])
def test_a_void_command_refuses_a_reply_that_promises_more(reply: str) -> None:
    with dialogue(reply.encode() + b"\r\n") as talk, pytest.raises(ftplib.error_reply) as caught:
        talk.ftp.voidcmd("NOOP")
    assert caught.value.args == (reply,)


def test_a_void_response_is_read_without_a_command() -> None:
    with dialogue(b"226 complete\r\n") as talk:
        assert talk.ftp.voidresp() == "226 complete"
        assert talk.said() == b""


# --- lines --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r"], ids=["CRLF", "LF", "CR"])
@pytest.mark.parametrize("over", ["socket", "untranslated file"])
def test_every_line_ending_is_cut_off(ending: str, over: str) -> None:
    if over == "socket":
        with dialogue(f"200 one{ending}200 two{ending}".encode()) as talk:
            assert [talk.ftp.getline(), talk.ftp.getline()] == ["200 one", "200 two"]
    else:
        assert reading(f"200 one{ending}").getline() == "200 one"


def test_a_line_loses_exactly_one_ending() -> None:
    assert reading("200 one\r\r\n").getline() == "200 one\r"


def test_a_last_line_without_an_ending_still_counts() -> None:
    with dialogue(b"200 cut off") as talk:
        assert talk.ftp.getresp() == "200 cut off"


def test_the_end_of_input_is_EOFError() -> None:
    with dialogue() as talk, pytest.raises(EOFError):
        talk.ftp.getresp()


def test_a_server_that_hangs_up_in_place_of_a_welcome_is_EOFError() -> None:
    with listening(transcript("")) as (host, port), contextlib.closing(ftplib.FTP()) as ftp, pytest.raises(EOFError):
        ftp.connect(str(host), int(port))


@pytest.mark.parametrize("spare", [1, 0])
def test_a_line_may_be_as_long_as_the_limit_with_its_ending(spare: int) -> None:
    text = "200 " + "x" * (40 - len("200 \n") - spare)
    assert reading(text + "\n", maxline=40).getline() == text


def test_a_line_one_character_above_the_limit_is_an_error() -> None:
    with pytest.raises(ftplib.Error) as caught:
        reading("200 " + "x" * 36 + "\n", maxline=40).getline()
    assert (caught.type, caught.value.args) == (ftplib.Error, ("got more than 40 bytes",))


def test_no_more_than_the_limit_and_one_character_is_read_of_a_long_line() -> None:
    ftp = reading("2" * 100, maxline=40)
    with pytest.raises(ftplib.Error, match="more than 40"):
        ftp.getline()
    assert ftp.file is not None
    assert ftp.file.read() == "2" * 59


def test_the_limit_is_8192_by_default() -> None:
    longest = b"200 " + b"x" * (8192 - len("200 \n"))
    with dialogue(longest + b"\r\n" + longest + b"x\r\n") as talk:
        assert talk.ftp.getresp() == longest.decode()
        with pytest.raises(ftplib.Error) as caught:
            talk.ftp.getresp()
    assert caught.value.args == ("got more than 8192 bytes",)
    assert (ftplib.MAXLINE, ftplib.FTP.maxline) == (8192, 8192)


# --- replies of several lines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param("211-first\r\n211 last\r\n", "211-first\n211 last", id="two lines"),
        pytest.param("211-a\r\n b\r\nc\r\n211 d\r\n", "211-a\n b\nc\n211 d", id="free text between"),
        pytest.param("211-a\r\n211-b\r\n211 c\r\n", "211-a\n211-b\n211 c", id="each line with the code and a hyphen"),
        pytest.param("211-a\r\n500 b\r\n211 c\r\n", "211-a\n500 b\n211 c", id="another code inside"),
        pytest.param("211-a\r\n\r\n211 c\r\n", "211-a\n\n211 c", id="empty line inside"),
        pytest.param("211-a\r\n211\r\n", "211-a\n211", id="last line of three digits"),
        pytest.param("211-\r\n211 \r\n", "211-\n211 ", id="no text at all"),
        pytest.param("211 -a\r\n", "211 -a", id="a hyphen further on is text"),
    ],
)
def test_a_reply_ends_with_the_line_that_repeats_its_code_without_a_hyphen(sent: str, expected: str) -> None:
    with dialogue(sent.encode() + b"200 next\r\n") as talk:
        assert talk.ftp.getresp() == expected
        assert talk.ftp.getresp() == "200 next"


def test_an_error_of_several_lines_carries_all_of_them() -> None:
    with dialogue(b"530-not you\r\n530 go away\r\n") as talk, pytest.raises(ftplib.error_perm) as caught:
        talk.ftp.getresp()
    assert caught.value.args == ("530-not you\n530 go away",)


def test_the_end_of_input_inside_a_reply_is_EOFError() -> None:
    with dialogue(b"211-first\r\nsecond\r\n") as talk, pytest.raises(EOFError):
        talk.ftp.getresp()


REPLIES = b"220-welcome\r\n to this\r\n220 server\r\n230 in\r\n211-a\r\n211-b\r\n211 c\r\n"


@given(pieces_of(REPLIES))
def test_how_the_network_cuts_the_replies_changes_nothing(pieces: list[bytes]) -> None:
    with dialled(InMemory(pieces)):  # type: ignore[arg-type]
        ftp = ftplib.FTP("ftp.example")
    assert ftp.getwelcome() == "220-welcome\n to this\n220 server"
    assert [ftp.getresp(), ftp.getresp()] == ["230 in", "211-a\n211-b\n211 c"]


@given(wire_bytes)
def test_whatever_a_server_says_is_a_reply_or_a_documented_error(said: bytes) -> None:
    ftp = ftplib.FTP(encoding="latin-1")
    with dialled(InMemory(said)):  # type: ignore[arg-type]
        try:
            reply = ftp.connect("ftp.example")
        except (ftplib.Error, EOFError):
            return
    assert reply[0] in "123"


@given(st.sampled_from("123"), st.lists(line_text, max_size=4))
def test_a_reply_of_any_text_comes_back_line_by_line(digit: str, texts: list[str]) -> None:
    code = f"{digit}11"
    inside = [text for text in texts if not text.startswith(code)]
    lines = [f"{code}-start", *inside, f"{code} end"]
    with dialled(InMemory("".join(line + "\r\n" for line in lines).encode())):  # type: ignore[arg-type]
        assert ftplib.FTP().connect("ftp.example") == "\n".join(lines)


# --- commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["NOOP\r\nDELE x", "NOOP\n", "\rNOOP"], ids=["CRLF", "LF", "CR"])
@pytest.mark.parametrize(
    "send",
    [ftplib.FTP.sendcmd, ftplib.FTP.voidcmd, ftplib.FTP.putline, ftplib.FTP.putcmd],
    ids=lambda send: send.__name__,
)
def test_a_line_break_in_a_command_is_refused_and_nothing_is_sent(
    command: str, send: Callable[[ftplib.FTP, str], object]
) -> None:
    with dialogue() as talk:
        with pytest.raises(ValueError, match=r"^an illegal newline character should not be contained$"):
            send(talk.ftp, command)
        assert talk.said() == b""


def test_commands_and_replies_are_utf_8_by_default() -> None:
    with dialogue("200 Grüße\r\n".encode()) as talk:
        assert talk.ftp.encoding == "utf-8"
        assert talk.ftp.sendcmd("CWD Übung €") == "200 Grüße"
        assert talk.said() == "CWD Übung €\r\n".encode()


def test_commands_and_replies_are_in_the_encoding_asked_for() -> None:
    with dialogue("200 Grüße\r\n".encode("latin-1"), ftplib.FTP(encoding="latin-1")) as talk:
        assert talk.ftp.sendcmd("CWD Übung") == "200 Grüße"
        assert talk.said() == b"CWD \xdcbung\r\n"


def test_connecting_and_each_command_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[object, ...]] = []
    monkeypatch.setattr(sys, "audit", lambda *event: events.append(event))
    with dialogue(b"200 fine\r\n") as talk:
        talk.ftp.sendcmd("NOOP")
        assert events == [
            ("ftplib.connect", talk.ftp, "ftp.example", 21),
            ("ftplib.sendcmd", talk.ftp, "NOOP"),
        ]


# --- what is printed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param("PASS secret", "'PASS ******'", id="upper case"),
        pytest.param("pass secret", "'pass ******'", id="lower case"),
        pytest.param("PASS fox", "'PASS ***'", id="any last letter"),
        pytest.param("PASS s\r\n", r"'PASS *\r\n'", id="line ending kept"),
        pytest.param("PASS ", "'PASS '", id="empty password"),
        pytest.param("USER secret", "'USER secret'", id="another command"),
        pytest.param("PASSWORD", "'PASSWORD'", id="another word"),
        pytest.param("a\tb", r"'a\tb'", id="control character"),
    ],
)
def test_a_printed_line_shows_no_password(line: str, shown: str) -> None:
    assert ftplib.FTP().sanitize(line) == shown


@pytest.mark.parametrize(
    ("level", "printed"),
    [
        pytest.param(0, "", id="0"),
        pytest.param(1, "*cmd* 'PASS ***'\n*resp* '230 in'\n*welcome* '220 ready'\n", id="1"),
        pytest.param(
            2,
            "*cmd* 'PASS ***'\n"
            r"*put* 'PASS ***\r\n'" + "\n"
            r"*get* '230 in\n'" + "\n"
            "*resp* '230 in'\n*welcome* '220 ready'\n",
            id="2",
        ),
    ],
)
def test_the_debug_level_decides_what_is_printed(
    level: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with dialogue(b"230 in\r\n") as talk:
        talk.ftp.set_debuglevel(level)
        talk.ftp.sendcmd("PASS top")
        assert talk.ftp.getwelcome() == "220 ready"
    assert capsys.readouterr().out == printed


def test_nothing_is_printed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with dialogue(b"200 fine\r\n") as talk:
        talk.ftp.sendcmd("NOOP")
    assert (ftplib.FTP.debugging, capsys.readouterr().out) == (0, "")


def test_debug_is_another_name_of_set_debuglevel() -> None:
    ftp = ftplib.FTP()
    ftp.debug(2)
    assert ftp.debugging == 2


# --- names --------------------------------------------------------------------------------------------


def test_the_module_offers_these_names() -> None:
    assert sorted(ftplib.__all__) == [
        "FTP",
        "FTP_TLS",
        "all_errors",
        "error_perm",
        "error_proto",
        "error_reply",
        "error_temp",
    ]


def test_all_errors_holds_all_that_a_session_may_raise() -> None:
    assert ftplib.all_errors == (ftplib.Error, OSError, EOFError, ssl.SSLError)
    own = [ftplib.error_reply, ftplib.error_temp, ftplib.error_perm, ftplib.error_proto]
    assert [error.__bases__ for error in own] == [(ftplib.Error,)] * 4
    assert ftplib.Error.__bases__ == (Exception,)
