"""Transfers line by line: what happens to line endings, encodings and lines that are too long.

RFC 959 section 3.1.1.1 has CRLF end each line on the way; the library reference of ftplib has it cut off on arrival.
"""

from __future__ import annotations

import ftplib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, dialled
from converted_tests.strategies import pieces_of
from converted_tests.test_ftplib.support import FileServer, Prepared, dialogue, visit

IN_AND_OUT = b"200 type\r\n226 done\r\n"


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        pytest.param(b"a\n", b"a\r\n", id="LF"),
        pytest.param(b"a\r\n", b"a\r\n", id="CRLF"),
        pytest.param(b"a\r", b"a\r\n", id="CR at the end of the file"),
        pytest.param(b"a", b"a\r\n", id="no ending"),
        pytest.param(b"\n", b"\r\n", id="empty line"),
        pytest.param(b"\r\n", b"\r\n", id="empty line in CRLF"),
        pytest.param(b"a\r\r\n", b"a\r\r\n", id="CR CR LF"),
        pytest.param(b"a\rb\n", b"a\rb\r\n", id="CR inside"),
    ],
)
def test_each_stored_line_ends_in_CRLF(line: bytes, sent: bytes) -> None:
    wire = InMemory()
    lines_sent: list[bytes] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(wire)) as talk:
        assert ftp.storlines("STOR notes", io.BytesIO(line), lines_sent.append) == "226 done"
        assert talk.said() == b"TYPE A\r\n"
    assert (wire.sent, lines_sent, wire.closed) == (sent, [sent], True)
    assert ftp.transfers == [("STOR notes", None)]


def test_a_stored_line_is_called_back_once_it_is_sent() -> None:
    wire = InMemory()
    with dialogue(IN_AND_OUT, ftp := Prepared(wire)):
        sent: list[bytes] = []
        ftp.storlines("STOR notes", io.BytesIO(b"a\nb\n"), lambda _line: sent.append(wire.sent))
    assert sent == [b"a\r\n", b"a\r\nb\r\n"]


def test_a_text_file_cannot_be_stored_by_the_line() -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(wire := InMemory())):
        with pytest.raises(TypeError, match=r"^a bytes-like object is required, not 'str'$|^'in <string>' requires"):
            ftp.storlines("STOR notes", io.StringIO("a\n"))  # type: ignore[arg-type]
    assert (wire.sent, wire.closed) == (b"", True)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"a\r\nb\r\n", ["a", "b"], id="CRLF"),
        pytest.param(b"a\nb\n", ["a", "b"], id="LF"),
        pytest.param(b"a\rb\r", ["a", "b"], id="CR"),
        pytest.param(b"a\r\nb", ["a", "b"], id="no ending at the end"),
        pytest.param(b"\r\n \r\n", ["", " "], id="empty and blank lines"),
        pytest.param("Grüße\r\n".encode(), ["Grüße"], id="UTF-8"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_each_retrieved_line_loses_its_ending(data: bytes, lines: list[str]) -> None:
    got: list[str] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(wire := InMemory(data))) as talk:
        assert ftp.retrlines("RETR notes", got.append) == "226 done"
        assert talk.said() == b"TYPE A\r\n"
    assert (got, wire.closed) == (lines, True)


@pytest.mark.parametrize(("ended", "line"), [("a\r\n", "a"), ("a\n", "a"), ("a\r", "a\r"), ("\r\r\n", "\r")])
def test_a_data_connection_that_translates_no_endings_gives_the_same_lines(ended: str, line: str) -> None:
    class Untranslated(InMemory):
        def makefile(self, *_args: object, **_named: object) -> io.StringIO:
            return io.StringIO(ended, newline="\n")

    got: list[str] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(Untranslated())):
        ftp.retrlines("RETR notes", got.append)
    assert got == [line]


def test_retrieved_lines_are_printed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(b"a\r\n b\r\n"))):
        ftp.retrlines("RETR notes")
    assert capsys.readouterr().out == "a\n b\n"


def test_print_line_prints_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ftplib.print_line("a line")  # type: ignore[attr-defined]
    assert capsys.readouterr().out == "a line\n"


@pytest.mark.parametrize(("level", "shown"), [(2, False), (3, True)])
def test_retrieved_lines_are_shown_from_debug_level_3(
    level: int, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(b"a\r\n"))):
        ftp.set_debuglevel(level)
        ftp.retrlines("RETR notes", lambda _line: None)
    assert ("*retr* 'a\\n'\n*retr* ''\n" in capsys.readouterr().out) == shown


def test_text_is_in_the_encoding_asked_for() -> None:
    server = FileServer({"RETR Grüße".encode("latin-1"): "Übung\r\n".encode("latin-1")})
    lines: list[str] = []
    with visit(server, ftplib.FTP(encoding="latin-1")) as ftp:
        ftp.retrlines("RETR Grüße", lines.append)
    assert lines == ["Übung"]


@pytest.mark.parametrize("spare", [1, 0])
def test_lines_of_a_file_may_be_as_long_as_the_limit(spare: int) -> None:
    line = "x" * (30 - len("\n") - spare)
    got: list[str] = []
    with dialogue(IN_AND_OUT * 2, ftp := Prepared(wire := InMemory(line.encode() + b"\r\n"))):
        ftp.maxline = 30
        ftp.retrlines("RETR notes", got.append)
        ftp.storlines("STOR notes", io.BytesIO(line.encode() + b"\n"))
    assert (got, wire.sent) == ([line], line.encode() + b"\r\n")


def test_a_retrieved_line_above_the_limit_is_an_error_and_closes_the_data_connection() -> None:
    got: list[str] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(wire := InMemory(b"a\r\n" + b"x" * 30 + b"\r\n"))):
        ftp.maxline = 30
        with pytest.raises(ftplib.Error) as caught:
            ftp.retrlines("RETR notes", got.append)
    assert (caught.value.args, got, wire.closed) == (("got more than 30 bytes",), ["a"], True)


def test_a_line_above_the_limit_is_not_stored() -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(wire := InMemory())):
        ftp.maxline = 30
        with pytest.raises(ftplib.Error) as caught:
            ftp.storlines("STOR notes", io.BytesIO(b"a\n" + b"x" * 30 + b"\n"))
    assert (caught.value.args, wire.sent, wire.closed) == (("got more than 30 bytes",), b"a\r\n", True)


class Counting(io.BytesIO):
    """A file that records how much is requested from it."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.asked: list[int | None] = []

    def readline(self, size: int | None = -1, /) -> bytes:
        self.asked.append(size)
        return super().readline(size)


def test_no_more_than_the_limit_and_one_byte_is_read_of_a_line_to_store() -> None:
    file = Counting()
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory())):
        ftp.storlines("STOR notes", file)
    assert file.asked == [8193]


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), max_size=8)


@given(LINES, st.data())
def test_lines_that_were_stored_come_back_however_the_network_cuts_them(
    lines: list[str], data: st.DataObject
) -> None:
    with dialled(InMemory(b"220 ready\r\n" + IN_AND_OUT)):  # type: ignore[arg-type]
        storing = Prepared(stored := InMemory())
        storing.connect("ftp.example")
        storing.storlines("STOR notes", io.BytesIO("".join(line + "\n" for line in lines).encode()))
    got: list[str] = []
    with dialled(InMemory(b"220 ready\r\n" + IN_AND_OUT)):  # type: ignore[arg-type]
        retrieving = Prepared(InMemory(data.draw(pieces_of(stored.sent))))
        retrieving.connect("ftp.example")
        retrieving.retrlines("RETR notes", got.append)
    assert got == lines
