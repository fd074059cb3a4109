"""How a wrapped socket ends: by close, by unwrap, by a timeout, and by a peer that behaves badly.

RFC 8446 section 6.1 says how TLS is closed, the library reference of ssl what each other end looks like.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from converted_tests.peers import SHORT_S, TIMEOUT_S, Peer, Reset, Say, Silence, StopTLS, Take, canned, listening
from converted_tests.test_socket_ssl.support import NAME, echoing, saying, wrapped


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# --- timeouts --------------------------------------------------------------------------------------------


def test_a_timeout_is_kept_over_wrapping(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(saying(b"* OK"), context=server_context) as server:
        with wrapped(server, client_context, timeout_s=30.0) as sock:
            assert sock.gettimeout() == 30.0
            assert (sock.read(1), sock.read(1)) == (b"*", b" ")


def silent() -> Peer:
    yield Silence()


def test_a_peer_that_is_silent_in_the_handshake_times_out(client_context: ssl.SSLContext) -> None:
    with listening(silent()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
        plain.settimeout(SHORT_S)
        with pytest.raises(TimeoutError, match=r"^_ssl.c:\d+: The handshake operation timed out$"):
            client_context.wrap_socket(plain, server_hostname=NAME)


def test_a_peer_that_is_silent_later_times_out(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(silent(), context=server_context) as server, wrapped(server, client_context) as sock:
        sock.settimeout(SHORT_S)
        with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
            sock.read(1)


# --- peers that behave badly -----------------------------------------------------------------------------


def hanging_up() -> Peer:
    """Closes as soon as the client has sent something; earlier, it would be a reset as often as an end of file."""
    yield Take(size=1)


def resetting() -> Peer:
    yield Take(size=1)
    yield Reset()


def test_a_peer_that_accepts_and_closes_fails_the_handshake(client_context: ssl.SSLContext) -> None:
    with listening(hanging_up()) as server:
        with pytest.raises(ssl.SSLEOFError) as caught, wrapped(server, client_context):
            pass
    assert isinstance(caught.value, ssl.SSLError)
    assert caught.value.errno == ssl.SSL_ERROR_EOF


def test_a_peer_that_was_gone_before_the_handshake_fails_it(client_context: ssl.SSLContext) -> None:
    with canned(b"") as wire, pytest.raises(ssl.SSLEOFError):
        client_context.wrap_socket(wire.client, server_hostname=NAME)


def test_a_peer_that_resets_in_the_handshake_fails_it(client_context: ssl.SSLContext) -> None:
    with listening(resetting()) as server, pytest.raises(ConnectionResetError), wrapped(server, client_context):
        pass


def test_a_peer_that_resets_later_fails_the_read(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(resetting(), context=server_context) as server:
        with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
            with client_context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False) as sock:
                sock.write(b"x")
                # Python up to 3.12.2 takes the reset for an unannounced end of file (CPython gh-115627).
                with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                    sock.read(1)


@pytest.mark.parametrize(
    "said",
    [b"220 no TLS here\r\n", b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\x00" * 64],
    ids=["SMTP", "HTTP", "zeros"],
)
def test_a_peer_that_does_not_speak_TLS_is_reported_as_the_reason(
    said: bytes, client_context: ssl.SSLContext
) -> None:
    with canned(said) as wire, pytest.raises(ssl.SSLError) as caught:
        client_context.wrap_socket(wire.client, server_hostname=NAME)
    # The second is what OpenSSL 3.2 and later call it.
    assert (caught.value.library, caught.value.reason) in [
        ("SSL", "WRONG_VERSION_NUMBER"),
        ("SSL", "RECORD_LAYER_FAILURE"),
    ]


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", {"HTTP_REQUEST"}, id="HTTP"),
        pytest.param(b"EHLO localhost\r\n", {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}, id="SMTP"),
    ],
)
def test_a_client_that_does_not_speak_TLS_is_reported_to_the_server(
    said: bytes, reasons: set[str], server_context: ssl.SSLContext
) -> None:
    with canned(said) as wire, pytest.raises(ssl.SSLError) as caught:
        server_context.wrap_socket(wire.client, server_side=True)
    assert caught.value.reason in reasons


def test_a_plain_close_is_the_end_of_file_by_default(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"hello world"), context=server_context) as server:
        with wrapped(server, client_context) as sock:
            assert [sock.read(5), sock.read(100), sock.read(100)] == [b"hello", b" world", b""]


def test_a_plain_close_is_an_error_where_it_is_not_suppressed(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"hello"), context=server_context) as server:
        with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
            with client_context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False) as sock:
                assert sock.read(100) == b"hello"
                with pytest.raises(ssl.SSLEOFError):
                    sock.read(100)


def test_a_close_that_is_announced_is_the_end_of_file_in_any_case(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    def announcing() -> Peer:
        yield StopTLS(b"hello")

    with listening(announcing(), context=server_context) as server:
        with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
            with client_context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False) as sock:
                assert [sock.read(100), sock.read(100)] == [b"hello", b""]
                sock.unwrap().close()


def test_data_that_was_not_read_does_not_keep_the_socket_from_closing(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"hello world"), context=server_context) as server:
        with wrapped(server, client_context) as sock:
            assert (sock.read(5), sock.pending()) == (b"hello", 6)
        assert sock.fileno() == -1
        with pytest.raises(OSError) as caught:
            sock.getpeername()
        assert caught.value.errno == errno.EBADF


# --- the end ---------------------------------------------------------------------------------------------


def test_closing_the_wrapped_socket_closes_the_descriptor(client_context: ssl.SSLContext) -> None:
    plain, other = socket.socketpair()
    with other:
        descriptor = plain.fileno()
        sock = client_context.wrap_socket(plain, server_hostname=NAME, do_handshake_on_connect=False)
        assert (plain.fileno(), sock.fileno(), is_open(descriptor)) == (-1, descriptor, True)
        sock.close()
        assert (sock.fileno(), is_open(descriptor)) == (-1, False)


def test_the_plain_object_may_be_forgotten(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(echoing(), context=server_context) as server:
        plain = socket.create_connection((server.host, server.port), TIMEOUT_S)
        descriptor = plain.fileno()
        sock = client_context.wrap_socket(plain, server_hostname=NAME)
        del plain
        sock.write(b"hello\n")
        assert (sock.read(6), sock.fileno()) == (b"hello\n", descriptor)
        sock.close()


def test_a_wrapped_socket_that_is_forgotten_closes_its_descriptor_and_warns(client_context: ssl.SSLContext) -> None:
    plain, other = socket.socketpair()
    with other:
        descriptor = plain.fileno()
        sock = client_context.wrap_socket(plain, server_hostname=NAME, do_handshake_on_connect=False)
        with pytest.warns(ResourceWarning, match=r"^unclosed <ssl\.SSLSocket fd="):
            del sock
        assert not is_open(descriptor)


def test_a_failed_handshake_closes_the_descriptor(client_context: ssl.SSLContext) -> None:
    plain, other = socket.socketpair()
    with other:
        descriptor = plain.fileno()
        other.sendall(b"220 no TLS here\r\n")
        with pytest.raises(ssl.SSLError):
            client_context.wrap_socket(plain, server_hostname=NAME)
        assert not is_open(descriptor)


def test_unwrapping_gives_back_a_plain_socket_that_works(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    heard_in_the_clear: list[bytes] = []

    def stopping() -> Peer:
        assert (yield b"") == b"STOP"
        line = yield StopTLS(b"OK\n")
        heard_in_the_clear.append(line)
        yield Say(line[::-1])

    with listening(stopping(), context=server_context) as server, wrapped(server, client_context) as sock:
        sock.write(b"STOP\n")
        assert sock.read(3) == b"OK\n"
        with sock.unwrap() as plain:
            plain.sendall(b"clear\n")
            assert plain.recv(100) == b"raelc"
    assert heard_in_the_clear == [b"clear"]
