"""Over TLS a socket sends and receives as a plain one does, except where datagrams or flags would go around TLS.

Source: the ssl module's documentation of SSLSocket, send(2), recv(2), RFC 8446 section 5.1 (records of 16 kB).
"""

from __future__ import annotations

import array
import io
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import SHORT_S, Peer, TakeAll, listening
from converted_tests.test_ssl.support import Ends, echoing, exactly, tls_connection, tls_dialled

NAME = "<class 'ssl.SSLSocket'>"


@pytest.mark.parametrize(
    ("send", "returned"),
    [
        pytest.param(lambda sock, data: sock.send(data), 5, id="send"),
        pytest.param(lambda sock, data: sock.send(data, 0), 5, id="send with flags of 0"),
        pytest.param(lambda sock, data: sock.write(data), 5, id="write"),
        pytest.param(lambda sock, data: sock.sendall(data), None, id="sendall"),
        pytest.param(lambda sock, data: sock.sendall(data, 0), None, id="sendall with flags of 0"),
    ],
)
def test_what_is_sent_arrives(send: Callable[[Any, bytes], object], returned: object, ends: Ends) -> None:
    client, server = ends
    assert send(client, b"hello") == returned
    assert exactly(server, 5) == b"hello"


@pytest.mark.parametrize(
    "receive",
    [
        pytest.param(lambda sock: sock.recv(), id="recv"),
        pytest.param(lambda sock: sock.recv(100), id="recv with a size"),
        pytest.param(lambda sock: sock.recv(100, 0), id="recv with flags of 0"),
        pytest.param(lambda sock: sock.read(), id="read"),
        pytest.param(lambda sock: sock.read(100), id="read with a size"),
    ],
)
def test_what_arrives_is_received(receive: Callable[[Any], bytes], ends: Ends) -> None:
    client, server = ends
    client.sendall(b"hello")
    assert receive(server) == b"hello"


@pytest.mark.parametrize(
    "receive",
    [
        pytest.param(lambda sock, buffer: sock.recv_into(buffer), id="recv_into"),
        pytest.param(lambda sock, buffer: sock.recv_into(buffer, 8), id="recv_into with a size"),
        pytest.param(lambda sock, buffer: sock.recv_into(buffer, None, 0), id="recv_into with flags of 0"),
        pytest.param(lambda sock, buffer: sock.read(8, buffer), id="read"),
        pytest.param(lambda sock, buffer: sock.read(-1, buffer), id="read with a negative size"),
        pytest.param(lambda sock, buffer: sock.read(buffer=buffer), id="read without a size"),
    ],
)
def test_what_arrives_is_put_into_a_buffer(receive: Callable[[Any, bytearray], int], ends: Ends) -> None:
    client, server = ends
    client.sendall(b"hello")
    buffer = bytearray(8)
    assert receive(server, buffer) == 5
    assert buffer == b"hello\0\0\0"


def test_a_buffer_receives_at_most_the_given_size(ends: Ends) -> None:
    client, server = ends
    client.sendall(b"hello")
    buffer = bytearray(8)
    assert server.recv_into(buffer, 2) == 2
    assert buffer == b"he\0\0\0\0\0\0"
    assert server.recv_into(buffer) == 3
    assert buffer == b"llo\0\0\0\0\0"


@pytest.mark.parametrize("receive", [lambda sock: sock.recv(), lambda sock: sock.read()], ids=["recv", "read"])
def test_at_most_1024_bytes_are_received_at_a_time(receive: Callable[[Any], bytes], ends: Ends) -> None:
    client, server = ends
    client.sendall(b"x" * 2000)
    assert receive(server) == b"x" * 1024
    assert server.pending() == 976
    assert exactly(server, 976) == b"x" * 976
    assert server.pending() == 0


def test_a_read_without_a_size_puts_at_most_1024_bytes_into_a_buffer(ends: Ends) -> None:
    client, server = ends
    client.sendall(b"x" * 2000)
    receiver: Any = server
    assert receiver.read(buffer=bytearray(2000)) == 1024


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda sock: sock.send(b"x", 1), f"non-zero flags not allowed in calls to send() on {NAME}", id="send"
        ),
        pytest.param(
            lambda sock: sock.sendall(b"x", 1),
            f"non-zero flags not allowed in calls to sendall() on {NAME}",
            id="sendall",
        ),
        pytest.param(
            lambda sock: sock.recv(1, socket.MSG_PEEK),
            f"non-zero flags not allowed in calls to recv() on {NAME}",
            id="recv",
        ),
        pytest.param(
            lambda sock: sock.recv_into(bytearray(1), 1, socket.MSG_PEEK),
            f"non-zero flags not allowed in calls to recv_into() on {NAME}",
            id="recv_into",
        ),
        pytest.param(
            lambda sock: sock.sendto(b"x", ("127.0.0.1", 1)),
            f"sendto not allowed on instances of {NAME}",
            id="sendto",
        ),
        pytest.param(lambda sock: sock.recvfrom(1), f"recvfrom not allowed on instances of {NAME}", id="recvfrom"),
        pytest.param(
            lambda sock: sock.recvfrom_into(bytearray(1)),
            f"recvfrom_into not allowed on instances of {NAME}",
            id="recvfrom_into",
        ),
    ],
)
def test_what_would_go_around_tls_is_refused(call: Callable[[Any], object], message: str, ends: Ends) -> None:
    client, server = ends
    with pytest.raises(ValueError) as refusal:
        call(client)
    assert str(refusal.value) == message
    client.sendall(b"x")
    assert exactly(server, 1) == b"x"


@pytest.mark.parametrize("call", ["dup", "sendmsg", "recvmsg", "recvmsg_into"])
def test_what_tls_cannot_do_is_not_implemented_over_a_connection_either(call: str, ends: Ends) -> None:
    with pytest.raises(NotImplementedError):
        getattr(ends[0], call)()


@pytest.mark.parametrize("call", ["recv", "read"])
def test_a_negative_size_is_a_value_error(call: str, ends: Ends) -> None:
    with pytest.raises(ValueError, match=r"^size should not be negative$"):
        getattr(ends[0], call)(-1)


@pytest.mark.parametrize(
    ("call", "returned"),
    [
        pytest.param(lambda sock: sock.recv(0), b"", id="recv"),
        pytest.param(lambda sock: sock.read(0), b"", id="read"),
        pytest.param(lambda sock: sock.read(0, bytearray()), 0, id="read into a buffer"),
    ],
)
def test_receiving_nothing_waits_for_nothing(call: Callable[[Any], object], returned: object, ends: Ends) -> None:
    assert call(ends[0]) == returned


def test_sending_nothing_sends_nothing(ends: Ends) -> None:
    client, server = ends
    assert client.send(b"") == 0
    client.sendall(b"")
    client.sendall(b"x")
    assert server.recv(2) == b"x"


@pytest.mark.parametrize("buffer", [None, b""], ids=["none", "empty"])
def test_receiving_into_no_room_reads_up_to_1024_bytes(
    buffer: object, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(_self: object, size: int, into: object = None) -> int:
        asked.append((size, into))
        return 0

    monkeypatch.setattr(ssl.SSLSocket, "read", read)
    assert ends[0].recv_into(buffer) == 0  # type: ignore[arg-type]
    assert asked == [(1024, buffer)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello!!!", id="bytes"),
        pytest.param(bytearray(b"hello!!!"), id="bytearray"),
        pytest.param(memoryview(b"hello!!!"), id="memoryview"),
        pytest.param(array.array("I", b"hello!!!"), id="array of numbers"),
    ],
)
def test_any_buffer_can_be_sent(data: Any, ends: Ends) -> None:
    client, server = ends
    client.sendall(data)
    assert exactly(server, 8) == b"hello!!!"


def test_text_cannot_be_sent(ends: Ends) -> None:
    client: Any = ends[0]
    for call in (client.send, client.sendall, client.write):
        with pytest.raises(TypeError, match="bytes-like"):
            call("hello")


def test_a_buffer_is_as_large_as_its_bytes_not_its_items(ends: Ends) -> None:
    client, server = ends
    client.sendall(b"12345678abcdefgh")
    numbers = array.array("Q", [0, 0])
    assert len(numbers) == 2
    assert server.recv_into(numbers) == 16
    assert numbers.tobytes() == b"12345678abcdefgh"


def test_sendall_goes_on_until_everything_is_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = ends
    whole_send = ssl.SSLSocket.send
    monkeypatch.setattr(ssl.SSLSocket, "send", lambda sock, data: whole_send(sock, data[:7]))
    data = array.array("H", range(50))
    client.sendall(data)
    assert exactly(server, 100) == data.tobytes()


def test_what_is_larger_than_a_record_is_sent_in_several(ends: Ends) -> None:
    client, server = ends
    data = bytes(range(256)) * 200
    client.sendall(data)
    assert server.recv(65536) == data[:16384]
    assert exactly(server, len(data) - 16384) == data[16384:]


def test_a_full_network_wants_to_write_and_goes_on_when_it_is_drained(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    chunk = b"x" * 16384
    with tls_connection(client_context, server_context, family=socket.AF_UNIX) as (client, server):
        client.setblocking(False)
        sent = 0
        full: ssl.SSLWantWriteError | None = None
        while full is None:
            try:
                sent += client.send(chunk)
            except ssl.SSLWantWriteError as failure:
                full = failure
        assert full.errno == ssl.SSL_ERROR_WANT_WRITE
        assert sent > 0
        assert exactly(server, sent) == b"x" * sent
        # The write that did not fit has to be repeated with the same data. SSL_write(3).
        sent = client.send(chunk)
        assert exactly(server, sent) == b"x" * sent


def test_an_empty_network_wants_to_read(ends: Ends) -> None:
    client, _ = ends
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv_into(bytearray(1))


def test_receiving_obeys_the_timeout(ends: Ends) -> None:
    client, _ = ends
    client.settimeout(SHORT_S)
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        client.recv(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda sock: sock.read(1024), "Read on closed or unwrapped SSL socket.", id="read"),
        pytest.param(lambda sock: sock.write(b"x"), "Write on closed or unwrapped SSL socket.", id="write"),
    ],
)
def test_a_closed_connection_is_neither_read_nor_written(
    call: Callable[[Any], object], message: str, ends: Ends
) -> None:
    ends[0].close()
    with pytest.raises(ValueError) as refusal:
        call(ends[0])
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param((), b"0123456789" * 100, id="all"),
        pytest.param((995,), b"56789", id="from an offset"),
        pytest.param((3, 5), b"34567", id="some from an offset"),
        pytest.param((998, 5), b"89", id="more than there is"),
    ],
)
def test_a_file_is_sent(arguments: tuple[int, ...], expected: bytes, ends: Ends, tmp_path: Path) -> None:
    client, server = ends
    (tmp_path / "file").write_bytes(b"0123456789" * 100)
    with (tmp_path / "file").open("rb") as file:
        assert client.sendfile(file, *arguments) == len(expected)
    assert exactly(server, len(expected)) == expected


def test_only_bytes_of_a_file_are_sent(ends: Ends) -> None:
    with pytest.raises(ValueError, match="binary mode"):
        with open(__file__, encoding="utf-8") as file:
            ends[0].sendfile(file)  # type: ignore[arg-type]


def test_a_file_that_is_none_is_read_and_sent(ends: Ends) -> None:
    client, server = ends
    assert client.sendfile(io.BytesIO(b"hello")) == 5
    assert exactly(server, 5) == b"hello"


def test_a_file_object_reads_lines(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(echoing(), context=server_context) as server, tls_dialled(server, client_context) as client:
        client.sendall(b"first\nsecond\n")
        with client.makefile("rb") as file:
            assert file.readline() == b"first\n"
            assert file.readline() == b"second\n"


def test_a_file_object_keeps_the_socket_open_until_it_is_closed(ends: Ends) -> None:
    client, _ = ends
    file = client.makefile("rb")
    descriptor = client.fileno()
    client.close()
    assert client.fileno() == descriptor
    file.close()
    assert client.fileno() == -1


def test_a_server_receives_every_byte_that_a_client_sends(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    heard: list[bytes] = []

    def listener() -> Peer:
        heard.append((yield TakeAll()))

    with listening(listener(), context=server_context) as server, tls_dialled(server, client_context) as client:
        for size in (1, 10, 100, 1000, 20000):
            client.sendall(b"x" * size)
        client.shutdown(socket.SHUT_WR)
    assert [len(data) for data in heard] == [21111]
