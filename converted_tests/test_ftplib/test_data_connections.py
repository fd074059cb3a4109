"""How client and server agree on a data connection: which side listens, where, and what happens if they disagree.

RFC 959 sections 3.3 and 4.1.2 give PORT and PASV, RFC 2428 EPRT and EPSV for IPv6.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
from collections.abc import Callable, Iterator

import pytest

from converted_tests.peers import SHORT_S, Peer, Silence, dialled, listening, transcript
from converted_tests.test_ftplib.support import WELCOME, FileServer, Prepared, dialogue, visit
from netsupport import HOSTv4, HOSTv6, bind_port

pytestmark = pytest.mark.usefixtures("active_mode_stays_on_this_host")


@contextlib.contextmanager
def scripted(script: str, ftp: ftplib.FTP | None = None, family: int = socket.AF_INET) -> Iterator[ftplib.FTP]:
    """A client that is connected to a server of a few lines, over a real listener."""
    client = ftplib.FTP() if ftp is None else ftp
    whole = f"S: 220 ready\n{script}\nC: QUIT\nS: 221 bye"
    with listening(transcript(whole), family=family) as (host, port), client:
        client.connect(str(host), int(port))
        yield client


# --- the server listens -------------------------------------------------------------------------------


def test_passive_mode_is_the_default() -> None:
    server = FileServer({b"NLST": b""})
    with visit(server) as ftp:
        assert ftp.passiveserver
        ftp.nlst()
    assert server.heard == [b"TYPE A", b"PASV", b"NLST", b"QUIT"]


@pytest.mark.parametrize(("passive", "verbs"), [(False, [b"PORT"]), (True, [b"PASV"])])
def test_set_pasv_switches_the_mode(passive: bool, verbs: list[bytes]) -> None:
    server = FileServer({b"NLST": b""})
    with visit(server) as ftp:
        ftp.set_pasv(passive)
        ftp.nlst()
    assert [line[:4] for line in server.heard if line[:4] in (b"PORT", b"PASV")] == verbs


def test_the_address_that_a_server_gives_is_not_trusted_by_default() -> None:
    with scripted("C: PASV\nS: 227 entering passive mode (192,0,2,7,19,137)") as ftp:
        assert ftplib.FTP.trust_server_pasv_ipv4_address is False  # type: ignore[attr-defined]
        assert ftp.makepasv() == (HOSTv4, 5001)


def test_the_address_that_a_server_gives_is_used_where_it_is_trusted() -> None:
    with scripted("C: PASV\nS: 227 entering passive mode (192,0,2,7,19,137)") as ftp:
        ftp.trust_server_pasv_ipv4_address = True  # type: ignore[attr-defined]
        assert ftp.makepasv() == ("192.0.2.7", 5001)


def test_a_data_connection_goes_to_the_server_whatever_address_it_gives() -> None:
    with listening(transcript("")) as (host, port):
        numbers = ",".join(["192", "0", "2", "7", *map(str, divmod(int(port), 256))])
        with scripted(f"C: PASV\nS: 227 ({numbers})\nC: NLST\nS: 150 here") as ftp:
            with ftp.transfercmd("NLST") as connection:
                assert connection.getpeername() == (host, port)


@pytest.mark.usefixtures("ipv6")
def test_over_IPv6_the_extended_form_is_used() -> None:
    with scripted("C: EPSV\nS: 229 extended passive mode (|||5001|)", family=socket.AF_INET6) as ftp:
        assert ftp.makepasv() == (HOSTv6, 5001)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param("227 passive", ftplib.error_proto, id="no address"),
        pytest.param("200 fine", ftplib.error_reply, id="another code"),
        pytest.param("502 not implemented", ftplib.error_perm, id="refused"),
    ],
)
def test_a_server_that_gives_no_address_is_an_error(reply: str, expected: type[Exception]) -> None:
    with scripted(f"C: PASV\nS: {reply}") as ftp, pytest.raises(ftplib.Error) as caught:
        ftp.makepasv()
    assert (caught.type, caught.value.args) == (expected, (reply,))


def test_a_server_that_does_not_listen_after_all_refuses_the_connection() -> None:
    with socket.socket() as silent:
        numbers = ",".join([*HOSTv4.split("."), *map(str, divmod(bind_port(silent), 256))])
        with scripted(f"C: PASV\nS: 227 ({numbers})") as ftp, pytest.raises(ConnectionRefusedError):
            ftp.transfercmd("RETR notes")


# --- the client listens -------------------------------------------------------------------------------


def test_a_port_is_announced_in_six_numbers() -> None:
    with dialogue(b"200 noted\r\n" * 2) as talk:
        assert talk.ftp.sendport("192.0.2.7", 5001) == "200 noted"
        talk.ftp.sendport("192.0.2.7", 255)
        assert talk.said() == b"PORT 192,0,2,7,19,137\r\nPORT 192,0,2,7,0,255\r\n"


@pytest.mark.parametrize(
    ("family", "host", "said"),
    [
        pytest.param(socket.AF_INET, "192.0.2.7", b"EPRT |1|192.0.2.7|5001|\r\n", id="IPv4"),
        pytest.param(socket.AF_INET6, "2001:db8::7", b"EPRT |2|2001:db8::7|5001|\r\n", id="IPv6"),
    ],
)
def test_a_port_is_announced_in_the_extended_form(family: socket.AddressFamily, host: str, said: bytes) -> None:
    with dialogue(b"200 noted\r\n") as talk:
        talk.ftp.af = family
        assert talk.ftp.sendeprt(host, 5001) == "200 noted"
        assert talk.said() == said


def test_an_address_family_that_ftp_does_not_number_cannot_be_announced() -> None:
    with dialogue() as talk:
        talk.ftp.af = socket.AF_UNIX
        with pytest.raises(ftplib.error_proto, match=r"^unsupported address family$"):
            talk.ftp.sendeprt("/tmp/ftp", 1)
        assert talk.said() == b""


def test_a_port_that_the_server_takes_note_of_without_a_2_is_error_reply() -> None:
    with dialogue(b"350 hm\r\n") as talk, pytest.raises(ftplib.error_reply, match=r"^350 hm$"):
        talk.ftp.sendport("192.0.2.7", 5001)


def test_makeport_listens_on_every_address_and_announces_the_control_connections() -> None:
    server = FileServer()
    with visit(server) as ftp, ftp.makeport() as listener:
        host, port = listener.getsockname()
        assert (listener.family, host, bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))) == (
            socket.AF_INET,
            "0.0.0.0",
            True,
        )
    high, low = divmod(port, 256)
    assert server.heard == [f"PORT 127,0,0,1,{high},{low}".encode(), b"QUIT"]


@pytest.mark.usefixtures("ipv6")
def test_makeport_over_IPv6_uses_the_extended_form() -> None:
    server = FileServer()
    with visit(server, family=socket.AF_INET6) as ftp, ftp.makeport() as listener:
        assert (listener.family, listener.getsockname()[0]) == (socket.AF_INET6, "::")
        port = listener.getsockname()[1]
    assert server.heard == [f"EPRT |2|::1|{port}|".encode(), b"QUIT"]


@pytest.mark.parametrize(
    ("make", "expected_s"),
    [
        pytest.param(ftplib.FTP, "the process's", id="default"),
        pytest.param(lambda: ftplib.FTP(timeout=None), None, id="None"),
        pytest.param(lambda: ftplib.FTP(timeout=7.5), 7.5, id="a number"),
    ],
)
def test_both_sockets_of_active_mode_have_the_clients_timeout(
    make: Callable[[], ftplib.FTP], expected_s: float | str | None, process_timeout_s: float
) -> None:
    expected = process_timeout_s if expected_s == "the process's" else expected_s
    with visit(FileServer({b"NLST": b""}), make()) as ftp:
        with ftp.makeport() as listener:
            assert listener.gettimeout() == expected
        ftp.set_pasv(False)
        with ftp.transfercmd("NLST") as connection:
            assert connection.gettimeout() == expected
        ftp.voidresp()


@pytest.mark.parametrize("timeout_s", [7.5, None])
def test_a_passive_data_connection_has_the_clients_timeout(timeout_s: float | None, process_timeout_s: float) -> None:
    assert process_timeout_s != timeout_s
    with visit(FileServer({b"NLST": b""}), ftplib.FTP(timeout=timeout_s)) as ftp:
        with ftp.transfercmd("NLST") as connection:
            assert connection.gettimeout() == timeout_s
        ftp.voidresp()


def never_dialling() -> Peer:
    yield WELCOME
    yield b"200 noted\r\n"
    yield Silence(b"150 dialling you\r\n")


def test_a_server_that_never_dials_is_TimeoutError() -> None:
    with listening(never_dialling()) as (host, port), contextlib.closing(ftplib.FTP()) as ftp:
        ftp.connect(str(host), int(port))
        ftp.set_pasv(False)
        # From here on: the control connection keeps the patience that it was opened with.
        ftp.timeout = SHORT_S
        with pytest.raises(TimeoutError):
            ftp.transfercmd("RETR notes")


# --- the transfer command -----------------------------------------------------------------------------

BOTH_MODES = pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        pytest.param(b"150 opening for notes (4 bytes)\r\n", 4, id="150 with a size"),
        pytest.param(b"150 opening\r\n", None, id="150 without a size"),
        pytest.param(b"125 already open for notes (4 bytes)\r\n", None, id="125"),
        pytest.param(b"200 all right\r\n150 opening for notes (4 bytes)\r\n", 4, id="200 before 150"),
    ],
)
@BOTH_MODES
def test_a_transfer_gives_the_connection_and_the_expected_size(passive: bool, reply: bytes, size: int | None) -> None:
    server = FileServer({b"RETR notes": b"data"}, {b"RETR": reply})
    with visit(server) as ftp:
        ftp.set_pasv(passive)
        connection, expected = ftp.ntransfercmd("RETR notes")
        with connection:
            assert (connection.recv(100), expected) == (b"data", size)
        assert ftp.voidresp() == "226 done"


@pytest.mark.parametrize("rest", [2, "2"])
@BOTH_MODES
def test_a_transfer_command_restarts_at_the_given_offset(passive: bool, rest: int | str) -> None:
    server = FileServer({b"RETR notes": b"data"})
    with visit(server) as ftp:
        ftp.set_pasv(passive)
        with ftp.transfercmd("RETR notes", rest) as connection:
            assert connection.recv(100) == b"ta"
        ftp.voidresp()
    assert server.heard[1:] == [b"REST 2", b"RETR notes", b"QUIT"]


def test_transfercmd_gives_the_connection_of_ntransfercmd_alone() -> None:
    connection = object()
    ftp = Prepared(connection, 4)
    assert ftp.transfercmd("RETR notes", 7) is connection
    assert ftp.transfers == [("RETR notes", 7)]


@pytest.mark.parametrize(
    ("reply", "expected", "message"),
    [
        pytest.param(b"550 no such file\r\n", ftplib.error_perm, "550 no such file", id="refused"),
        pytest.param(b"350 hm\r\n", ftplib.error_reply, "350 hm", id="3xx"),
        pytest.param(b"200 yes\r\n226 done\r\n", ftplib.error_reply, "226 done", id="2xx twice"),
        pytest.param(b"200 yes\r\n450 no\r\n", ftplib.error_temp, "450 no", id="2xx, then refused"),
    ],
)
@BOTH_MODES
def test_a_transfer_that_is_refused_leaves_no_connection_open(
    passive: bool, reply: bytes, expected: type[Exception], message: str
) -> None:
    with visit(FileServer({}, {b"RETR": reply})) as ftp:
        ftp.set_pasv(passive)
        with pytest.raises(ftplib.Error) as caught:
            ftp.transfercmd("RETR notes")
    assert (caught.type, caught.value.args) == (expected, (message,))


@BOTH_MODES
def test_a_restart_that_is_refused_ends_the_matter(passive: bool) -> None:
    server = FileServer({b"RETR notes": b"data"}, {b"REST": b"501 no\r\n"})
    with visit(server) as ftp:
        ftp.set_pasv(passive)
        with pytest.raises(ftplib.error_perm, match=r"^501 no$"):
            ftp.transfercmd("RETR notes", 2)
    assert server.heard[1:] == [b"REST 2", b"QUIT"]


def test_a_refused_passive_transfer_closes_its_connection_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, scripted("C: PASV\nS: 227 (127,0,0,1,0,21)\nC: RETR notes\nS: 550 no") as ftp:
        with dialled(ours), pytest.raises(ftplib.error_perm, match=r"^550 no$"):
            ftp.transfercmd("RETR notes")
        assert ours.fileno() == -1
