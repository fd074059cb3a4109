"""TLS on a socket can end before the connection does: with close_notify both ways, or by shutting the socket down.

Source: RFC 8446 section 6.1, RFC 3207 (STARTTLS), SSL_shutdown(3), shutdown(2).
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from converted_tests.peers import SHORT_S, TIMEOUT_S, Peer, StartTLS, StopTLS, background, connected, listening
from converted_tests.test_ssl.support import tls_connection, tls_dialled


def with_starttls(context: ssl.SSLContext) -> Peer:
    """Sends lines back in capitals; STARTTLS starts TLS and ENDTLS ends it."""
    line = yield b""
    while True:
        match line:
            case b"STARTTLS":
                line = yield StartTLS(b"begin\n", context)
            case b"ENDTLS":
                line = yield StopTLS(b"end\n")
            case _:
                line = yield line.upper() + b"\n"


def asked(sock: socket.socket, line: bytes) -> bytes:
    sock.sendall(line + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        answer += sock.recv(1)
    return answer.removesuffix(b"\n")


def test_tls_begins_and_ends_within_a_connection(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    # Over TCP the two small writes of the end, answer and close_notify, would wait 40 ms for an acknowledgement.
    with listening(with_starttls(server_context), family=socket.AF_UNIX, path=tmp_path / "socket") as server:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(TIMEOUT_S)
            plain.connect(server.address)
            assert asked(plain, b"clear") == b"CLEAR"
            assert asked(plain, b"STARTTLS") == b"begin"
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                assert asked(client, b"secret") == b"SECRET"
                assert asked(client, b"ENDTLS") == b"end"
                clear = client.unwrap()
                with clear:
                    assert asked(clear, b"clear again") == b"CLEAR AGAIN"


def test_tls_can_begin_a_second_time(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with connected(with_starttls(server_context)) as plain:
        for _ in range(2):
            assert asked(plain, b"STARTTLS") == b"begin"
            client = client_context.wrap_socket(plain, server_hostname="localhost")
            assert asked(client, b"secret") == b"SECRET"
            assert asked(client, b"ENDTLS") == b"end"
            unwrapped = client.unwrap()
            plain = socket.socket(fileno=unwrapped.detach())
            plain.settimeout(TIMEOUT_S)
        plain.close()


def test_unwrapping_needs_both_ends(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        server.unwrap()
        client.setblocking(True)
        client.settimeout(TIMEOUT_S)
        client.unwrap()


def test_unwrapping_gives_back_the_socket_in_the_clear(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    unwrapped: list[socket.socket] = []
    with tls_connection(client_context, server_context) as (client, server):
        with background(lambda: unwrapped.append(server.unwrap())):
            assert client.unwrap() is client
        assert unwrapped == [server]
        assert (client.version(), client.cipher(), client.pending()) == (None, None, 0)
        client.sendall(b"clear")
        assert server.recv(5) == b"clear"
        with pytest.raises(ValueError, match="No SSL wrapper around"):
            client.unwrap()
        with pytest.raises(ValueError, match=r"^Read on closed or unwrapped SSL socket\.$"):
            client.read()


def take_the_tickets(client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
    """Let *client* read what TLS 1.3 sends after the handshake: closing with unread data resets the connection."""
    server.sendall(b"x")
    assert client.recv(1) == b"x"


def test_unwrapping_obeys_the_timeout(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with tls_connection(client_context, server_context) as (client, _):
        client.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            client.unwrap()


def test_after_close_notify_the_other_end_reads_an_end_of_file(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context, suppress_ragged_eofs=False) as (client, server):
        server.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            server.unwrap()
        assert client.recv(1) == b""


def test_shutting_the_socket_down_ends_tls(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        client.shutdown(socket.SHUT_WR)
        assert client.version() is None
        assert server.recv(1) == b""


def test_shutting_down_one_direction_leaves_the_other(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        client.shutdown(socket.SHUT_WR)
        server.sendall(b"x")
        raw = client.recv(65536)
        # A record of application data, which is no longer decrypted; the session tickets come before it.
        assert raw[:3] == b"\x17\x03\x03"


def test_closing_ends_tls_and_the_connection(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        take_the_tickets(client, server)
        client.close()
        assert (client.fileno(), client.version()) == (-1, None)
        assert server.recv(1) == b""


def test_closing_a_file_after_the_socket_ends_tls(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        take_the_tickets(client, server)
        file = client.makefile("wb")
        client.close()
        assert client.version() == "TLSv1.3"
        file.write(b"last words")
        file.close()
        assert client.version() is None
        assert server.recv(100) == b"last words"
        assert server.recv(100) == b""


def test_a_dialled_client_may_leave_without_saying_anything(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(with_starttls(server_context), context=server_context) as server:
        with tls_dialled(server, client_context) as client:
            assert asked(client, b"hello") == b"HELLO"
