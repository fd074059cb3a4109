"""The corpus's one scripted server, from both sides: what a client sees, and what fails a test."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from converted_tests import peers
from converted_tests.peers import (
    Dialled,
    InMemory,
    OfThisHost,
    Peer,
    Reset,
    Say,
    ScriptError,
    Silence,
    StartTLS,
    StopTLS,
    Take,
    TakeAll,
    background,
    canned,
    connected,
    dialled,
    listening,
    transcript,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context that trust each other."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def everything(client: socket.socket) -> bytes:
    """Everything that the peer sends, up to its end of file."""
    return b"".join(iter(lambda: client.recv(65536), b""))


@contextlib.contextmanager
def failing_the_test(error: type[BaseException], message: str) -> Iterator[None]:
    """What would have failed the test; a peer's failure comes out where its driver ends, not at one statement."""
    with pytest.raises(error, match=message):
        yield


@contextlib.contextmanager
def dialling_a_listener(*peer: Peer, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A client of a real listener; the alternative to `connected`."""
    with listening(*peer, context=context) as server:
        with socket.create_connection((server.host, server.port), peers.TIMEOUT_S) as client:
            yield client


def heard_by(heard: list[bytes], *replies: peers.Reply) -> Peer:
    """A peer that yields *replies* and records in *heard* what each yield gave."""
    for reply in replies:
        heard.append((yield reply))


# --- transcript ---------------------------------------------------------------------------------------


def test_a_transcript_is_a_peer_that_can_be_driven_by_hand() -> None:
    peer = transcript("S: hello\n S: you\n C: STAT *\n a comment\n S: +OK")
    assert next(peer) == b"hello\r\nyou\r\n"
    assert peer.send(b"STAT 1 [x]") == Say(b"+OK\r\n")
    with pytest.raises(StopIteration):
        next(peer)


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        pytest.param("QUIT", b"QUIT", id="a word"),
        pytest.param("", b"", id="an empty line"),
        pytest.param("a [b] c", b"a [b] c", id="brackets are themselves"),
        pytest.param("AUTH *", b"AUTH PLAIN x", id="a star matches anything"),
        pytest.param("caf\\xe9", b"caf\xe9", id="bytes that are not UTF-8"),
        pytest.param("é", "é".encode(), id="UTF-8"),
    ],
)
def test_a_line_that_the_script_expects_is_taken(expected: str, sent: bytes) -> None:
    peer = transcript(f"C: {expected}\nS: taken")
    next(peer)
    assert peer.send(sent) == Say(b"taken\r\n")


@pytest.mark.parametrize("sent", [b"quit", b"QUIT ", b"", b"QUI"])
def test_a_client_that_departs_from_the_script_fails_the_test(sent: bytes) -> None:
    with failing_the_test(ScriptError, "script expected b'QUIT', client sent"):
        with connected(transcript("C: QUIT")) as client:
            client.sendall(sent + b"\r\n")
            assert everything(client) == b""


def test_a_client_that_hangs_up_before_the_end_of_the_script_fails_the_test() -> None:
    with failing_the_test(ScriptError, "script expected 'QUIT', client hung up"):
        with connected(transcript("S: hello\nC: QUIT\nS: bye")) as client:
            assert client.recv(7) == b"hello\r\n"


def test_half_a_line_at_the_end_of_input_is_not_a_line() -> None:
    with failing_the_test(ScriptError, "client hung up"):
        with connected(transcript("C: QUIT")) as client:
            client.sendall(b"QUIT")


def test_a_transcript_with_a_client_that_keeps_to_it_ends_in_an_end_of_file() -> None:
    with dialling_a_listener(transcript("S: 220 hi\nC: QUIT\nS: 221 bye")) as client:
        assert client.recv(8) == b"220 hi\r\n"
        client.sendall(b"QUIT\r\n")
        assert everything(client) == b"221 bye\r\n"


def test_a_transcript_starts_TLS_where_it_says_so(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with connected(transcript("C: STLS\nS: go\nTLS\nC: secret\nS: heard", contexts[0])) as client:
        client.sendall(b"STLS\r\n")
        assert client.recv(4) == b"go\r\n"
        with contexts[1].wrap_socket(client, server_hostname="localhost") as secure:
            secure.sendall(b"secret\r\n")
            assert secure.recv(100) == b"heard\r\n"


# --- lines, bytes and endings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        pytest.param(b"a\r\nb\nc\r\n", [b"a", b"b", b"c"], id="CRLF and LF"),
        pytest.param(b"\r\n\n", [b"", b""], id="empty lines"),
        pytest.param(b"a\rb\r\r\n", [b"a\rb\r"], id="a CR inside a line stays"),
        pytest.param(b"a\0b\n", [b"a\0b"], id="NUL"),
        pytest.param(b"x" * 65536 + b"\n", [b"x" * 65536], id="64 kB in one line"),
        pytest.param(b"whole\nhal", [b"whole"], id="half a line is dropped"),
    ],
)
def test_a_peer_is_given_lines_without_their_endings(sent: bytes, lines: list[bytes]) -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, *[b""] * (len(lines) + 1))) as client:
        client.sendall(sent)
    assert heard == lines


def test_a_line_may_arrive_byte_by_byte() -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, b"", b"")) as client:
        for byte in b"one\r\ntwo\r\n":
            client.sendall(bytes([byte]))
    assert heard == [b"one", b"two"]


def test_what_a_peer_says_arrives_byte_for_byte() -> None:
    said = b"half a line" + b"\0" * 3 + b"\r\r\n" + b"y" * 65536
    with connected(heard_by([], Say(said))) as client:
        assert everything(client) == said


def test_Say_goes_on_without_reading() -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, Say(b"a"), Say(b"b"), b"c")) as client:
        client.sendall(b"line\n")
        assert everything(client) == b"abc"
    assert heard == [b"", b"", b"line"]


def test_Take_gives_exactly_so_many_bytes_and_leaves_the_rest() -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, Take(b"first", 5), Take(), b"")) as client:
        client.sendall(b"12\r\n5" + b"6" + b"line\n")
        assert everything(client) == b"first"
    assert heard == [b"12\r\n5", b"6", b"line"]


def test_Take_gives_fewer_bytes_only_at_the_end_of_input() -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, Take(b"", 5))) as client:
        client.sendall(b"123")
    assert heard == [b"123"]


def test_TakeAll_gives_every_byte_up_to_the_end_of_input() -> None:
    heard: list[bytes] = []
    with connected(heard_by(heard, TakeAll(b"go"))) as client:
        client.sendall(b"a\nb")
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == b"go"
    assert heard == [b"a\nb"]


def test_Silence_says_no_more_and_holds_the_connection() -> None:
    with dialling_a_listener(heard_by([], Silence(b"first"))) as client:
        assert client.recv(100) == b"first"
        client.sendall(b"are you there?\r\n")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_Reset_is_seen_as_ECONNRESET_and_not_as_an_end_of_file() -> None:
    with dialling_a_listener(heard_by([], b"", Reset())) as client:
        client.sendall(b"a line\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_peer_whose_client_resets_is_closed_quietly() -> None:
    closed: list[str] = []

    def peer() -> Peer:
        try:
            yield b"hello"
        finally:
            closed.append("closed")

    with listening(peer()) as server:
        with socket.create_connection((server.host, server.port), peers.TIMEOUT_S) as client:
            assert client.recv(5) == b"hello"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert closed == ["closed"]


# --- TLS -------------------------------------------------------------------------------------------------


def test_StartTLS_answers_in_the_clear_and_reads_on_inside(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    heard: list[bytes] = []
    peer = heard_by(heard, b"", StartTLS(b"go", contexts[0]), StopTLS(b"stop"), Say(b"clear"))
    with connected(peer) as client:
        client.sendall(b"please\r\n")
        assert client.recv(2) == b"go"
        with contexts[1].wrap_socket(client, server_hostname="localhost") as secure:
            secure.sendall(b"inside\r\n")
            assert secure.recv(4) == b"stop"
            with secure.unwrap() as plain:
                plain.sendall(b"outside\r\n")
                assert everything(plain) == b"clear"
    assert heard == [b"please", b"inside", b"outside", b""]


def test_a_listener_may_speak_TLS_from_the_first_byte(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with dialling_a_listener(transcript("S: hi\nC: bye"), context=contexts[0]) as client:
        with contexts[1].wrap_socket(client, server_hostname="localhost") as secure:
            assert secure.recv(4) == b"hi\r\n"
            secure.sendall(b"bye\r\n")


def test_a_failed_handshake_is_raised_inside_the_peer(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    failures: list[str] = []

    def peer() -> Peer:
        try:
            yield StartTLS(b"go", contexts[0])
        except ssl.SSLError as failure:
            failures.append(type(failure).__name__)

    with connected(peer()) as client:
        assert client.recv(2) == b"go"
        client.sendall(b"this is no ClientHello\r\n")
        with contextlib.suppress(ConnectionResetError):
            everything(client)
    assert failures == ["SSLError"]


@pytest.mark.parametrize(
    "context", [None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)], ids=["no context", "early client"]
)
def test_StartTLS_that_cannot_work_fails_the_test(context: ssl.SSLContext | None) -> None:
    with failing_the_test(ScriptError, "STARTTLS needs a context and an empty buffer"):
        with connected(heard_by([], b"", StartTLS(b"", context))) as client:
            client.sendall(b"STARTTLS\r\ntoo early")
            everything(client)


# --- failures are the test's -----------------------------------------------------------------------------

Driver = Callable[[Peer], AbstractContextManager[socket.socket]]


@pytest.mark.parametrize("driver", [connected, dialling_a_listener])
def test_what_a_peer_raises_fails_the_test_that_opened_the_driver(driver: Driver) -> None:
    def peer() -> Peer:
        yield b"hello\r\n"
        raise LookupError("the peer's own mistake")

    with failing_the_test(LookupError, "the peer's own mistake"):
        with driver(peer()) as client:
            assert client.recv(7) == b"hello\r\n"
            client.sendall(b"anything\r\n")
            everything(client)


def test_a_peer_without_a_client_fails_the_test() -> None:
    with failing_the_test(ScriptError, "no client came for"):
        with listening(transcript("S: hello")):
            pass


def test_a_second_peer_without_a_client_fails_the_test() -> None:
    with failing_the_test(ScriptError, "no client came for"):
        with dialling_a_listener(transcript("S: one"), transcript("S: two")) as client:
            assert everything(client) == b"one\r\n"


def test_connections_meet_the_peers_in_order() -> None:
    with listening(transcript("S: one"), transcript("S: two")) as server:
        said = []
        for _ in range(2):
            with socket.create_connection((server.host, server.port), peers.TIMEOUT_S) as client:
                said.append(everything(client))
    assert said == [b"one\r\n", b"two\r\n"]


def test_a_thread_that_does_not_end_is_named() -> None:
    go_on = threading.Event()

    def waiting() -> None:
        go_on.wait()

    with mock.patch("converted_tests.peers.TIMEOUT_S", 0.01):
        with pytest.raises(TimeoutError, match=r"the peer's thread did not end in 0\.01 s: is its client closed\?"):
            with background(waiting) as thread:
                pass
    go_on.set()
    thread.join()


def test_a_failure_of_the_body_is_not_hidden_by_a_peer_that_is_well() -> None:
    with pytest.raises(ZeroDivisionError):
        with connected(transcript("S: hello")):
            raise ZeroDivisionError


# --- the other drivers -----------------------------------------------------------------------------------


def test_canned_has_sent_everything_and_shows_what_it_received() -> None:
    with canned(b"220 hi\r\n") as wire:
        wire.client.sendall(b"QUIT\r\n")
        assert everything(wire.client) == b"220 hi\r\n"
        assert wire.sent() == b"QUIT\r\n"
        assert wire.client.fileno() == -1


def test_canned_with_an_open_end_does_not_end() -> None:
    with canned(b"x", open_end=True) as wire:
        wire.client.setblocking(False)
        assert wire.client.recv(10) == b"x"
        with pytest.raises(BlockingIOError):
            wire.client.recv(1)


def test_dialled_gives_the_socket_with_the_requested_timeout_and_records_the_request() -> None:
    before = socket.create_connection
    with canned(b"") as wire, dialled(wire.client) as calls:
        assert socket.create_connection(("a.test", 25), 3.5, ("", 0)) is wire.client
        assert wire.client.gettimeout() == 3.5
        assert socket.create_connection(("b.test", 26)) is wire.client
        assert wire.client.gettimeout() == 3.5
    assert calls == [Dialled(("a.test", 25), 3.5, ("", 0)), Dialled(("b.test", 26), ..., None)]
    assert socket.create_connection is before


def test_a_listener_at_a_path_is_a_server_with_port_0(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listening(transcript("S: hi"), family=socket.AF_UNIX, path=path) as server:
        assert (*server, server.address) == (path, 0, path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            assert everything(client) == b"hi\r\n"


def test_a_listener_on_IPv6_listens_on_the_loopback_address() -> None:
    try:
        server_half = listening(transcript("S: hi"), family=socket.AF_INET6)
        with server_half as server:
            assert (server.host, server.port > 0) == ("::1", True)
            with socket.create_connection((server.host, server.port), peers.TIMEOUT_S) as client:
                assert everything(client) == b"hi\r\n"
    except OSError as failure:
        pytest.skip(f"IPv6 is off here: {failure}")


def test_two_listeners_at_once_have_two_ports() -> None:
    with peers.open_listener() as first, peers.open_listener() as second:
        assert first.getsockname() != second.getsockname()


@given(pieces=st.lists(st.binary(max_size=20), max_size=6), sizes=st.lists(st.integers(1, 30), max_size=20))
def test_in_memory_receives_the_pieces_and_never_more_than_asked_for(pieces: list[bytes], sizes: list[int]) -> None:
    wire = InMemory(pieces)
    got = [wire.recv(size) for size in sizes]
    assert all(len(data) <= size for data, size in zip(got, sizes, strict=True))
    assert b"".join(got) + b"".join(iter(lambda: wire.recv(1), b"")) == b"".join(pieces)
    assert InMemory(pieces).makefile("rb").read() == b"".join(pieces)


def test_in_memory_notes_what_is_sent_and_that_it_is_closed() -> None:
    wire = InMemory(b"")
    wire.sendall(b"a")
    assert wire.send(b"bc") == 2
    assert (wire.sent, wire.closed) == (b"abc", False)
    wire.close()
    assert wire.closed


# --- nothing leaks ---------------------------------------------------------------------------------------

LEFTOVERS = """
import socket, threading

KEPT = []

def test_leaves_a_socket_open():
    KEPT.append(socket.socket())

def test_leaves_a_thread_running():
    thread = threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True)
    thread.start()

def test_leaves_nothing():
    socket.socket().close()
"""


def test_a_test_that_leaves_a_thread_or_a_socket_behind_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from converted_tests.conftest import *\nfrom converted_tests.conftest import _nothing_left_behind\n"
    )
    (tmp_path / "test_leftovers.py").write_text(LEFTOVERS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-rA",
        str(tmp_path),
    ]
    environment = {**os.environ, "CORPUS_TIMEOUT_SCALE": "0.005", "COLUMNS": "300", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    outcomes = {line for line in done.stdout.splitlines() if line.startswith(("ERROR ", "PASSED ", "FAILED "))}
    verdicts = {line.split(" - ")[0]: line.partition(" - ")[2] for line in outcomes}
    assert sorted(verdicts) == [
        "ERROR test_leftovers.py::test_leaves_a_socket_open",
        "ERROR test_leftovers.py::test_leaves_a_thread_running",
        "PASSED test_leftovers.py::test_leaves_a_socket_open",
        "PASSED test_leftovers.py::test_leaves_a_thread_running",
        "PASSED test_leftovers.py::test_leaves_nothing",
    ], done.stdout
    assert "sockets left open: [" in verdicts["ERROR test_leftovers.py::test_leaves_a_socket_open"]
    assert "threads left running: ['forgotten']" in verdicts["ERROR test_leftovers.py::test_leaves_a_thread_running"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds a socket to a device")
def test_a_wildcard_of_this_host_is_bound_to_the_loopback_device() -> None:
    with OfThisHost() as sock:
        sock.bind(("", 0))
        sock.listen()
        address, port = sock.getsockname()
        assert (address, sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)) == ("0.0.0.0", b"lo\0")
        with socket.create_connection(("127.0.0.1", port), peers.TIMEOUT_S):
            pass
