"""The three listings of FTP: names (NLST), long form (LIST) and facts for machines (MLSD).

RFC 959 section 4.1.3 gives the first two and leaves their form open; RFC 3659 section 7 gives the third's.
"""

from __future__ import annotations

import ftplib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, dialled
from converted_tests.test_ftplib.support import FileServer, Prepared, dialogue, visit

IN_AND_OUT = b"200 type\r\n226 done\r\n"
NAMES = b"a\r\nb c\r\n.d\r\n"


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param((), "NLST", id="here"),
        pytest.param(("/pub",), "NLST /pub", id="there"),
        pytest.param(("-a", "/pub"), "NLST -a /pub", id="several arguments"),
        pytest.param(("",), "NLST ", id="an empty argument"),
    ],
)
def test_nlst_gives_the_names_as_a_list(arguments: tuple[str, ...], command: str) -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(NAMES))):
        assert ftp.nlst(*arguments) == ["a", "b c", ".d"]
    assert ftp.transfers == [(command, None)]


def test_nlst_of_an_empty_folder_is_an_empty_list() -> None:
    server = FileServer({b"NLST": b""})
    with visit(server) as ftp:
        assert ftp.nlst() == []
    assert server.heard == [b"TYPE A", b"PASV", b"NLST", b"QUIT"]


def test_nlst_where_the_server_takes_an_empty_folder_for_an_error_is_error_perm() -> None:
    with visit(FileServer()) as ftp, pytest.raises(ftplib.error_perm, match=r"^550 no such file$"):
        ftp.nlst()


# --- long form ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param((), "LIST", id="here"),
        pytest.param(("/pub",), "LIST /pub", id="there"),
        pytest.param(("-a", "/pub"), "LIST -a /pub", id="several arguments"),
        pytest.param(("", "/pub"), "LIST /pub", id="empty arguments are left out"),
        pytest.param(("/pub", None), "LIST /pub", id="None in place of a callback"),
    ],
)
def test_dir_prints_the_listing(arguments: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(NAMES))):
        ftp.dir(*arguments)
    assert capsys.readouterr().out == "a\nb c\n.d\n"
    assert ftp.transfers == [(command, None)]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [((), "LIST"), (("/pub",), "LIST /pub"), (("-a", "/pub"), "LIST -a /pub")],
    ids=["here", "there", "several arguments"],
)
def test_dir_gives_the_listing_to_a_callback_that_comes_last(
    arguments: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(NAMES))):
        ftp.dir(*arguments, lines.append)
    assert lines == ["a", "b c", ".d"]
    assert capsys.readouterr().out == ""
    assert ftp.transfers == [(command, None)]


def test_dir_over_a_real_connection() -> None:
    server = FileServer({b"LIST /pub": b"-rw-r--r-- 1 ftp 5 a\r\n"})
    lines: list[str] = []
    with visit(server) as ftp:
        ftp.dir("/pub", lines.append)
    assert lines == ["-rw-r--r-- 1 ftp 5 a"]
    assert server.heard == [b"TYPE A", b"PASV", b"LIST /pub", b"QUIT"]


# --- facts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        pytest.param("type=file;size=5; a", ("a", {"type": "file", "size": "5"}), id="two facts"),
        pytest.param("type=dir; ..", ("..", {"type": "dir"}), id="one fact"),
        pytest.param("Type=FILE;UNIX.Mode=0644; A", ("A", {"type": "FILE", "unix.mode": "0644"}), id="case of facts"),
        pytest.param("type=file;  a b ;c= ", (" a b ;c= ", {"type": "file"}), id="blanks and marks in a name"),
        pytest.param("type=OS.unix=slink:/x; a", ("a", {"type": "OS.unix=slink:/x"}), id="equals sign in a value"),
        pytest.param("type=file;perm=; a", ("a", {"type": "file", "perm": ""}), id="empty value"),
        pytest.param("type=file;lang; a", ("a", {"type": "file", "lang": ""}), id="fact without a value"),
        pytest.param("type=file; Grüße", ("Grüße", {"type": "file"}), id="UTF-8"),
    ],
)
def test_mlsd_gives_each_name_with_its_facts(line: str, entry: tuple[str, dict[str, str]]) -> None:
    with dialogue(IN_AND_OUT, Prepared(InMemory(line.encode() + b"\r\n"))) as talk:
        assert list(talk.ftp.mlsd()) == [entry]
        assert talk.said() == b"TYPE A\r\n"


@pytest.mark.parametrize(
    ("path", "facts", "said", "command"),
    [
        pytest.param("", [], b"", "MLSD", id="here"),
        pytest.param("/pub", [], b"", "MLSD /pub", id="there"),
        pytest.param("", ["type"], b"OPTS MLST type;\r\n", "MLSD", id="one fact"),
        pytest.param("/pub", ["type", "size"], b"OPTS MLST type;size;\r\n", "MLSD /pub", id="there, two facts"),
    ],
)
def test_mlsd_asks_for_facts_and_a_path(path: str, facts: list[str], said: bytes, command: str) -> None:
    options = b"200 noted\r\n" if facts else b""
    with dialogue(options + IN_AND_OUT, ftp := Prepared(InMemory(b"type=file; a\r\n"))) as talk:
        assert list(ftp.mlsd(path, facts)) == [("a", {"type": "file"})]
        assert talk.said() == said + b"TYPE A\r\n"
    assert ftp.transfers == [(command, None)]


def test_mlsd_says_nothing_until_it_is_iterated() -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory())) as talk:
        listing = ftp.mlsd()
        assert talk.said() == b""
        listing.close()  # type: ignore[attr-defined]
    assert ftp.transfers == []


def test_mlsd_of_an_empty_folder_yields_nothing() -> None:
    server = FileServer({b"MLSD /empty": b""})
    with visit(server) as ftp:
        assert list(ftp.mlsd("/empty", ["size"])) == []
    assert server.heard == [b"OPTS MLST size;", b"TYPE A", b"PASV", b"MLSD /empty", b"QUIT"]


def test_mlsd_with_facts_that_the_server_refuses_is_an_error() -> None:
    with dialogue(b"501 no such fact\r\n", ftp := Prepared(InMemory())):
        with pytest.raises(ftplib.error_perm, match=r"^501 no such fact$"):
            list(ftp.mlsd(facts=["moon"]))
    assert ftp.transfers == []


FACTS = st.dictionaries(
    st.text("abcxyz.", min_size=1, max_size=6), st.text("09AZaz=:,/\\~", max_size=6), min_size=1, max_size=4
)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=12)


@given(st.lists(st.tuples(NAME, FACTS), max_size=4))
def test_any_names_and_facts_come_back(entries: list[tuple[str, dict[str, str]]]) -> None:
    lines = [f"{''.join(f'{key}={value};' for key, value in facts.items())} {name}" for name, facts in entries]
    with dialled(InMemory(b"220 ready\r\n" + IN_AND_OUT)):  # type: ignore[arg-type]
        ftp = Prepared(InMemory("".join(line + "\r\n" for line in lines).encode()))
        ftp.connect("ftp.example")
    assert list(ftp.mlsd()) == entries
