"""Transfers from server to server (ftpcp), and `python -m ftplib`.

RFC 959 section 5.2 describes how a client lets two servers transfer between them; the library reference, netrc(5)
and the program's own help give the rest.
"""

from __future__ import annotations

import ftplib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from converted_tests.peers import listening
from converted_tests.test_ftplib.support import FileServer, dialogue, visit
from netsupport import HOSTv4

pytestmark = pytest.mark.usefixtures("active_mode_stays_on_this_host")

ftpcp: Callable[..., None] = ftplib.ftpcp
program: Callable[[], None] = ftplib.test  # type: ignore[attr-defined]

PASSIVE = b"200 type\r\n227 here (192,0,2,7,19,137)\r\n"


# --- from server to server ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names", "kind"),
    [
        pytest.param({}, ("old", "old"), "I", id="under the same name"),
        pytest.param({"targetname": "new"}, ("old", "new"), "I", id="under another name"),
        pytest.param({"type": "A"}, ("old", "old"), "A", id="by the line"),
    ],
)
@pytest.mark.parametrize("preliminary", [b"125 go\r\n", b"150 go\r\n"], ids=["125", "150"])
def test_a_copy_connects_the_target_to_the_source(
    arguments: dict[str, str], names: tuple[str, str], kind: str, preliminary: bytes
) -> None:
    with (
        dialogue(PASSIVE + preliminary + b"226 sent\r\n") as source,
        dialogue(b"200 type\r\n200 port\r\n" + preliminary + b"226 got it\r\n") as target,
    ):
        ftpcp(source.ftp, "old", target.ftp, **arguments)
        assert source.said() == f"TYPE {kind}\r\nPASV\r\nRETR {names[0]}\r\n".encode()
        assert target.said() == f"TYPE {kind}\r\nPORT 192,0,2,7,19,137\r\nSTOR {names[1]}\r\n".encode()


def test_a_file_goes_from_one_real_server_to_another() -> None:
    source, target = FileServer({b"RETR old": b"content"}), FileServer()
    with visit(source) as one, visit(target) as other:
        ftpcp(one, "old", other, "new")
    assert target.stored == {b"STOR new": b"content"}
    assert (source.heard, target.heard[0], target.heard[2]) == (
        [b"TYPE I", b"PASV", b"RETR old", b"QUIT"],
        b"TYPE I",
        b"STOR new",
    )


@pytest.mark.parametrize("reply", [b"200 fine\r\n", b"350 hm\r\n"], ids=["200", "350"])
def test_a_target_that_does_not_begin_is_error_proto(reply: bytes) -> None:
    with dialogue(PASSIVE) as source, dialogue(b"200 type\r\n200 port\r\n" + reply) as target:
        with pytest.raises(ftplib.error_proto):
            ftpcp(source.ftp, "old", target.ftp)
        assert source.said() == b"TYPE I\r\nPASV\r\n"


@pytest.mark.parametrize("reply", [b"200 fine\r\n", b"350 hm\r\n"], ids=["200", "350"])
def test_a_source_that_does_not_begin_is_error_proto(reply: bytes) -> None:
    with dialogue(PASSIVE + reply) as source, dialogue(b"200 type\r\n200 port\r\n150 go\r\n") as target:
        with pytest.raises(ftplib.error_proto):
            ftpcp(source.ftp, "old", target.ftp)
        assert source.said() == b"TYPE I\r\nPASV\r\nRETR old\r\n"


@pytest.mark.parametrize(
    ("at_source", "at_target", "message"),
    [
        pytest.param(b"504 no\r\n", b"", "504 no", id="source refuses the type"),
        pytest.param(b"200 type\r\n", b"504 no\r\n", "504 no", id="target refuses the type"),
        pytest.param(PASSIVE, b"200 type\r\n500 no\r\n", "500 no", id="target refuses the address"),
        pytest.param(
            PASSIVE + b"150 go\r\n551 torn\r\n", b"200 type\r\n200 port\r\n150 go\r\n", "551 torn", id="source fails"
        ),
        pytest.param(
            PASSIVE + b"150 go\r\n226 ok\r\n",
            b"200 type\r\n200 port\r\n150 go\r\n552 full\r\n",
            "552 full",
            id="target fails",
        ),
    ],
)
def test_a_copy_that_one_side_refuses_is_error_perm(at_source: bytes, at_target: bytes, message: str) -> None:
    with dialogue(at_source) as source, dialogue(at_target) as target:
        with pytest.raises(ftplib.error_perm) as caught:
            ftpcp(source.ftp, "old", target.ftp)
    assert caught.value.args == (message,)


# --- the program --------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FileServer]:
    """Runs the program with these arguments, against a server with these contents."""

    def running(*arguments: str, server: FileServer | None = None) -> FileServer:
        met = FileServer() if server is None else server
        monkeypatch.setenv("HOME", str(tmp_path))
        with listening(met.peer()) as (host, port):
            monkeypatch.setattr(ftplib.FTP, "port", port)
            assert host == HOSTv4
            monkeypatch.setattr(sys, "argv", ["ftplib.py", *arguments])
            program()
        return met

    return running


ANONYMOUS = [b"USER anonymous", b"PASS anonymous@"]


def test_the_program_without_arguments_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ftplib.py"])
    with pytest.raises(SystemExit) as caught:
        program()
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{program.__doc__}\n"


def test_the_program_logs_in_and_quits(run: Callable[..., FileServer], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(HOSTv4).heard == [*ANONYMOUS, b"QUIT"]
    assert capsys.readouterr() == ("", "")


def test_the_program_lists_changes_the_folder_and_switches_the_mode(
    run: Callable[..., FileServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = FileServer({b"LIST": b"here\r\n", b"LIST /pub": b"there\r\n"})
    heard = run(HOSTv4, "-l", "-d", "-d/", "-p", "-l/pub", "-p", "-l", server=server).heard
    assert capsys.readouterr() == ("here\nthere\nhere\n", "")
    assert [line[:4] if line[:4] == b"PORT" else line for line in heard] == [
        *ANONYMOUS,
        *[b"TYPE A", b"PASV", b"LIST"],
        *[b"CWD", b"CWD /"],
        *[b"TYPE A", b"PORT", b"LIST /pub"],
        *[b"TYPE A", b"PASV", b"LIST"],
        b"QUIT",
    ]


class Output(io.BytesIO):
    """A standard output that keeps bytes, whether the program writes text to it or bytes to its buffer."""

    @property
    def buffer(self) -> Output:
        return self


def test_the_program_writes_a_file_to_its_output(
    run: Callable[..., FileServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output()
    content = b"\x00\xff" * 1000
    monkeypatch.setattr(sys, "stdout", output)
    server = run(HOSTv4, "notes", server=FileServer({b"RETR notes": content}))
    assert output.getvalue() == content
    assert server.heard == [*ANONYMOUS, b"TYPE I", b"PASV", b"RETR notes", b"QUIT"]


@pytest.mark.parametrize(
    ("flags", "marks"),
    [
        pytest.param(["-d"], {"*cmd*", "*resp*"}, id="once"),
        pytest.param(["-d", "-d"], {"*cmd*", "*resp*", "*put*", "*get*"}, id="twice"),
    ],
)
def test_the_program_shows_more_with_each_flag(
    flags: list[str], marks: set[str], run: Callable[..., FileServer], capsys: pytest.CaptureFixture[str]
) -> None:
    run(*flags, HOSTv4)
    shown = capsys.readouterr().out
    assert {line.split(" ")[0] for line in shown.splitlines()} == marks
    assert "'PASS **********'" in shown


def test_the_program_takes_the_login_from_a_file(
    run: Callable[..., FileServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logins = tmp_path / "logins"
    logins.write_text(f"machine {HOSTv4} login bob password secret account sales\n")
    server = run(f"-r{logins}", HOSTv4, server=FileServer(replies={b"PASS": b"332 account\r\n"}))
    assert server.heard == [b"USER bob", b"PASS secret", b"ACCT sales", b"QUIT"]
    assert capsys.readouterr() == ("", "")


def test_the_program_goes_on_anonymously_where_the_file_is_missing(
    run: Callable[..., FileServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"-r{tmp_path / 'none'}", HOSTv4).heard == [*ANONYMOUS, b"QUIT"]
    assert capsys.readouterr().err.rstrip("\n") == "Could not open account file -- using anonymous login."


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before Python 3.13 a host without an entry was a TypeError")
def test_the_program_goes_on_anonymously_where_the_file_has_no_entry(
    run: Callable[..., FileServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logins = tmp_path / "logins"
    logins.write_text("machine elsewhere.example login bob password secret\n")
    assert run(f"-r{logins}", HOSTv4).heard == [*ANONYMOUS, b"QUIT"]
    assert capsys.readouterr().err == "No account -- using anonymous login.\n"
