"""How ftplib moves files: binary and by the line, up and down, whole or from a restart marker on.

RFC 959 sections 3.4, 3.5 and 4.1.3 give the transfer commands, RFC 4217 their protection by TLS.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, dialled
from converted_tests.strategies import pieces_of
from converted_tests.test_ftplib.support import FileServer, Prepared, dialogue, visit

pytestmark = pytest.mark.usefixtures("active_mode_stays_on_this_host")

CONTENT = bytes(range(256)) * 80
TEXT = b"one\r\n two \r\n\r\nfour"


# --- over real connections, in every mode ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to make connections: address family, passive or active, with or without TLS."""

    family: socket.AddressFamily
    passive: bool
    tls: bool = False

    @property
    def opening(self) -> bytes:
        """The command that arranges a data connection."""
        if self.family == socket.AF_INET6:
            return b"EPSV" if self.passive else b"EPRT"
        return b"PASV" if self.passive else b"PORT"


Session = Callable[[FileServer], AbstractContextManager[ftplib.FTP]]


@pytest.fixture(
    params=[
        pytest.param(Mode(socket.AF_INET, passive=True), id="IPv4 passive"),
        pytest.param(Mode(socket.AF_INET, passive=False), id="IPv4 active"),
        pytest.param(Mode(socket.AF_INET6, passive=True), id="IPv6 passive"),
        pytest.param(Mode(socket.AF_INET6, passive=False), id="IPv6 active"),
        pytest.param(Mode(socket.AF_INET, passive=True, tls=True), id="TLS passive"),
        pytest.param(Mode(socket.AF_INET, passive=False, tls=True), id="TLS active"),
    ]
)
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    if mode.family == socket.AF_INET6:
        request.getfixturevalue("ipv6")
    return mode


@pytest.fixture
def session(mode: Mode, client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> Session:
    """A client that is ready to transfer in this mode."""

    @contextlib.contextmanager
    def ready(server: FileServer):  # type: ignore[no-untyped-def]
        server.context = server_context
        client = ftplib.FTP_TLS(context=client_context) if mode.tls else ftplib.FTP()
        with visit(server, client, mode.family) as ftp:
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.auth()
                ftp.prot_p()
            ftp.set_pasv(mode.passive)
            server.heard.clear()
            yield ftp
        assert server.tls_errors == []
        assert [version is not None for version in server.protected] == [mode.tls] * len(server.protected)

    return ready


def verbs(server: FileServer) -> list[bytes]:
    """The commands without the address of a data connection, which is another one each time."""
    return [line.split(b" ")[0] if line.startswith((b"PORT", b"EPRT")) else line for line in server.heard]


def test_a_binary_retrieval_gives_the_whole_file(session: Session, mode: Mode) -> None:
    server = FileServer({b"RETR notes": CONTENT})
    blocks: list[bytes] = []
    with session(server) as ftp:
        assert ftp.retrbinary("RETR notes", blocks.append) == "226 done"
    assert b"".join(blocks) == CONTENT
    assert verbs(server) == [b"TYPE I", mode.opening, b"RETR notes", b"QUIT"]


def test_a_binary_store_brings_the_whole_file(session: Session, mode: Mode) -> None:
    server = FileServer()
    with session(server) as ftp:
        assert ftp.storbinary("STOR notes", io.BytesIO(CONTENT)) == "226 done"
    assert server.stored == {b"STOR notes": CONTENT}
    assert verbs(server) == [b"TYPE I", mode.opening, b"STOR notes", b"QUIT"]


def test_a_retrieval_by_the_line_gives_lines_without_endings(session: Session, mode: Mode) -> None:
    server = FileServer({b"RETR notes": TEXT})
    lines: list[str] = []
    with session(server) as ftp:
        assert ftp.retrlines("RETR notes", lines.append) == "226 done"
    assert lines == ["one", " two ", "", "four"]
    assert verbs(server) == [b"TYPE A", mode.opening, b"RETR notes", b"QUIT"]


def test_a_store_by_the_line_brings_lines_that_end_in_CRLF(session: Session, mode: Mode) -> None:
    server = FileServer()
    with session(server) as ftp:
        assert ftp.storlines("STOR notes", io.BytesIO(b"one\n two \n\nfour")) == "226 done"
    assert server.stored == {b"STOR notes": b"one\r\n two \r\n\r\nfour\r\n"}
    assert verbs(server) == [b"TYPE A", mode.opening, b"STOR notes", b"QUIT"]


def test_one_session_may_transfer_often_and_change_its_mode(session: Session, mode: Mode) -> None:
    server = FileServer({b"RETR a": b"1", b"RETR b": b"22", b"NLST": b"a\r\nb\r\n"})
    blocks: list[bytes] = []
    with session(server) as ftp:
        ftp.retrbinary("RETR a", blocks.append)
        ftp.set_pasv(not mode.passive)
        ftp.retrbinary("RETR b", blocks.append)
        assert ftp.nlst() == ["a", "b"]
    assert blocks == [b"1", b"22"]


# --- restarting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [0, 10, "20"])
def test_a_restarted_retrieval_gives_the_rest_of_the_file(rest: int | str) -> None:
    server = FileServer({b"RETR notes": CONTENT})
    blocks: list[bytes] = []
    with visit(server) as ftp:
        ftp.retrbinary("RETR notes", blocks.append, rest=rest)
    assert b"".join(blocks) == CONTENT[int(rest) :]
    assert server.heard == [b"TYPE I", b"PASV", f"REST {rest}".encode(), b"RETR notes", b"QUIT"]


@pytest.mark.parametrize("rest", [0, "7"])
def test_a_restarted_store_sends_the_marker(rest: int | str) -> None:
    server = FileServer()
    with visit(server) as ftp:
        ftp.storbinary("STOR notes", io.BytesIO(b"rest"), rest=rest)
    assert server.heard == [b"TYPE I", b"PASV", f"REST {rest}".encode(), b"STOR notes", b"QUIT"]
    assert server.stored == {b"STOR notes": b"rest"}


# --- blocks -------------------------------------------------------------------------------------------

IN_AND_OUT = b"200 type\r\n226 done\r\n"


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        pytest.param({}, [8192, 8192, 4096], id="8192 by default"),
        pytest.param({"blocksize": 20000}, [20000, 480], id="as asked for"),
        pytest.param({"blocksize": len(CONTENT)}, [len(CONTENT)], id="all at once"),
    ],
)
def test_a_retrieval_takes_blocks_of_a_size(arguments: dict[str, int], sizes: list[int]) -> None:
    blocks: list[bytes] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(InMemory(CONTENT))):
        ftp.retrbinary("RETR notes", blocks.append, **arguments)
    assert [len(block) for block in blocks] == sizes
    assert b"".join(blocks) == CONTENT
    assert ftp.transfers == [("RETR notes", None)]


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        pytest.param({}, [8192, 8192, 4096], id="8192 by default"),
        pytest.param({"blocksize": 20000}, [20000, 480], id="as asked for"),
    ],
)
def test_a_store_calls_back_with_each_block_once_it_is_sent(arguments: dict[str, int], sizes: list[int]) -> None:
    wire = InMemory()
    progress: list[tuple[int, bool]] = []
    with dialogue(IN_AND_OUT, ftp := Prepared(wire)):
        ftp.storbinary(
            "STOR notes",
            io.BytesIO(CONTENT),
            callback=lambda block: progress.append((len(block), wire.sent.endswith(block))),
            **arguments,
        )
    assert progress == [(size, True) for size in sizes]
    assert wire.sent == CONTENT


def test_an_empty_file_is_stored_and_retrieved() -> None:
    server = FileServer({b"RETR empty": b""})
    blocks: list[bytes] = []
    with visit(server) as ftp:
        ftp.storbinary("STOR empty", io.BytesIO(), callback=blocks.append)
        ftp.retrbinary("RETR empty", blocks.append)
    assert (server.stored, blocks) == ({b"STOR empty": b""}, [])


def test_a_file_on_disk_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(CONTENT)
    server = FileServer()
    with visit(server) as ftp, path.open("rb") as file:
        ftp.storbinary("STOR notes", file)
    assert server.stored == {b"STOR notes": CONTENT}


@given(pieces_of(CONTENT[:600]), st.integers(1, 700))
def test_a_file_is_the_same_in_any_pieces_and_any_blocks(pieces: list[bytes], blocksize: int) -> None:
    blocks: list[bytes] = []
    with dialled(InMemory(b"220 ready\r\n" + IN_AND_OUT)):  # type: ignore[arg-type]
        ftp = Prepared(InMemory(pieces))
        ftp.connect("ftp.example")
        ftp.retrbinary("RETR notes", blocks.append, blocksize)
    assert b"".join(blocks) == CONTENT[:600]
    assert max(map(len, blocks)) <= blocksize


# --- replies around a transfer --------------------------------------------------------------------------

TRANSFERS = [
    pytest.param(lambda ftp: ftp.retrbinary("RETR a", bytes), id="retrbinary"),
    pytest.param(lambda ftp: ftp.retrlines("RETR a", str), id="retrlines"),
    pytest.param(lambda ftp: ftp.storbinary("STOR a", io.BytesIO(b"a")), id="storbinary"),
    pytest.param(lambda ftp: ftp.storlines("STOR a", io.BytesIO(b"a")), id="storlines"),
]


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_refused_type_ends_the_matter(transfer: Callable[[ftplib.FTP], object]) -> None:
    with dialogue(b"504 no such type\r\n", ftp := Prepared(InMemory())):
        with pytest.raises(ftplib.error_perm, match=r"^504 no such type$"):
            transfer(ftp)
    assert ftp.transfers == []


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_transfer_that_does_not_end_in_2_is_error_reply(transfer: Callable[[ftplib.FTP], object]) -> None:
    with dialogue(b"200 type\r\n350 hm\r\n", ftp := Prepared(wire := InMemory())):
        with pytest.raises(ftplib.error_reply, match=r"^350 hm$"):
            transfer(ftp)
    assert wire.closed


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_transfer_that_the_server_gave_up_is_error_temp(transfer: Callable[[ftplib.FTP], object]) -> None:
    server = FileServer({b"RETR a": b"half"}, {b"after RETR": b"426 cut\r\n", b"after STOR": b"426 cut\r\n"})
    with visit(server) as ftp, pytest.raises(ftplib.error_temp, match=r"^426 cut$"):
        transfer(ftp)


def test_a_callback_that_fails_closes_the_data_connection() -> None:
    with dialogue(IN_AND_OUT, ftp := Prepared(wire := InMemory(b"data"))):
        with pytest.raises(ZeroDivisionError):
            ftp.retrbinary("RETR a", lambda _block: 1 // 0)
    assert wire.closed
