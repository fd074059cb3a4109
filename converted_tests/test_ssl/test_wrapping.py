"""Wrapping a socket takes over its descriptor and its timeout, and gives TLS or refuses before a byte is sent.

Source: the ssl module's documentation of SSLContext.wrap_socket and SSLSocket; connect(2), recv(2), socket(7).
"""

from __future__ import annotations

import copy
import errno
import gc
import socket
import ssl
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from converted_tests.peers import TIMEOUT_S
from converted_tests.test_ssl.support import plain_connection, serving, tls_connection, trusting, unverified
from netsupport import HOST, bind_port

PRIVATE: Any = ssl


@pytest.fixture
def unconnected() -> Iterator[ssl.SSLSocket]:
    with socket.socket() as plain, unverified().wrap_socket(plain) as wrapped:
        yield wrapped


def test_the_descriptor_moves_into_the_tls_socket(client_context: ssl.SSLContext) -> None:
    with socket.socket() as plain:
        descriptor = plain.fileno()
        with client_context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            assert (plain.fileno(), wrapped.fileno()) == (-1, descriptor)


def test_family_and_type_are_the_plain_sockets() -> None:
    with socket.socket(socket.AF_UNIX) as plain, unverified().wrap_socket(plain) as wrapped:
        assert (wrapped.family, wrapped.type, wrapped.proto) == (socket.AF_UNIX, socket.SOCK_STREAM, 0)


def test_the_protocol_is_the_plain_sockets() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as plain:
        with unverified().wrap_socket(plain) as wrapped:
            assert wrapped.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("timeout_s", [None, 0.0, 5.0])
def test_wrapping_keeps_the_timeout_of_an_unconnected_socket(timeout_s: float | None) -> None:
    with socket.socket() as plain:
        plain.settimeout(timeout_s)
        with unverified().wrap_socket(plain) as wrapped:
            assert wrapped.gettimeout() == timeout_s


@pytest.mark.parametrize("timeout_s", [None, 0.0, 5.0])
def test_wrapping_keeps_the_timeout_of_a_connected_socket(timeout_s: float | None) -> None:
    with plain_connection() as (plain, _):
        plain.settimeout(timeout_s)
        with unverified().wrap_socket(plain, do_handshake_on_connect=False) as wrapped:
            assert wrapped.gettimeout() == timeout_s


def test_a_wrapped_socket_remembers_how_it_was_wrapped() -> None:
    context = unverified()
    with socket.socket() as plain, context.wrap_socket(plain, server_hostname="localhost") as sock:
        wrapped: Any = sock
        assert wrapped.context is context
        assert (wrapped.server_side, wrapped.server_hostname) == (False, "localhost")
        assert (wrapped.do_handshake_on_connect, wrapped.suppress_ragged_eofs) == (True, True)
        assert (wrapped.session, wrapped.session_reused) == (None, None)


def test_a_wrapped_socket_remembers_what_is_not_the_default(server_context: ssl.SSLContext) -> None:
    with socket.socket() as plain:
        with server_context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        ) as sock:
            wrapped: Any = sock
            assert (wrapped.server_side, wrapped.server_hostname) == (True, None)
            assert (wrapped.do_handshake_on_connect, wrapped.suppress_ragged_eofs) == (False, False)


def test_there_is_no_cycle_through_a_wrapped_socket() -> None:
    with socket.socket() as plain:
        wrapped = unverified().wrap_socket(plain)
    gone = weakref.ref(wrapped)
    gc.disable()
    try:
        wrapped.close()
        del wrapped
        assert gone() is None
    finally:
        gc.enable()


def test_there_is_no_cycle_through_a_connected_socket(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context) as (client, server):
        gone = weakref.ref(client), weakref.ref(server)
        client.close()
        server.close()
    gc.disable()
    try:
        del client, server
        assert (gone[0](), gone[1]()) == (None, None)
    finally:
        gc.enable()


def test_dropping_an_open_tls_socket_is_warned_of() -> None:
    with socket.socket() as plain:
        holder = [unverified().wrap_socket(plain)]
    description = repr(holder[0])
    with pytest.warns(ResourceWarning, match="unclosed") as caught:
        holder.clear()
    assert [str(warning.message) for warning in caught] == [f"unclosed {description}"]


UNCONNECTED_CALLS: list[tuple[str, Callable[[ssl.SSLSocket], object]]] = [
    ("recv", lambda sock: sock.recv(1)),
    ("recv_into", lambda sock: sock.recv_into(bytearray(b"x"))),
    ("recvfrom", lambda sock: sock.recvfrom(1)),
    ("recvfrom_into", lambda sock: sock.recvfrom_into(bytearray(b"x"), 1)),
    ("send", lambda sock: sock.send(b"x")),
    ("sendall", lambda sock: sock.sendall(b"x")),
]


@pytest.mark.parametrize("call", [call for _, call in UNCONNECTED_CALLS], ids=[name for name, _ in UNCONNECTED_CALLS])
def test_without_a_connection_data_is_the_plain_sockets_affair(
    call: Callable[[ssl.SSLSocket], object], unconnected: ssl.SSLSocket
) -> None:
    with pytest.raises(OSError) as failure:
        call(unconnected)
    assert failure.value.errno in {errno.ENOTCONN, errno.EPIPE}
    assert not isinstance(failure.value, ssl.SSLError)


@pytest.mark.parametrize("flags", [(), (0,)], ids=["without flags", "with flags"])
def test_without_a_connection_sendto_is_the_plain_sockets_affair(flags: tuple[int, ...], unconnected: Any) -> None:
    # Nothing listens on the discard port of a test machine, and TCP would not send without a connection anyway.
    with pytest.raises(OSError):
        unconnected.sendto(b"x", *flags, (HOST, 9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda sock: sock.dup(), "Can't dup() SSLSocket instances", id="dup"),
        pytest.param(
            lambda sock: sock.sendmsg([b"x"]),
            "sendmsg not allowed on instances of <class 'ssl.SSLSocket'>",
            id="sendmsg",
        ),
        pytest.param(
            lambda sock: sock.recvmsg(1), "recvmsg not allowed on instances of <class 'ssl.SSLSocket'>", id="recvmsg"
        ),
        pytest.param(
            lambda sock: sock.recvmsg_into([bytearray(1)]),
            "recvmsg_into not allowed on instances of <class 'ssl.SSLSocket'>",
            id="recvmsg_into",
        ),
    ],
)
def test_what_tls_cannot_do_is_not_implemented(
    call: Callable[[Any], object], message: str, unconnected: ssl.SSLSocket
) -> None:
    with pytest.raises(NotImplementedError) as refusal:
        call(unconnected)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        pytest.param(lambda sock: sock.pending(), 0, id="pending"),
        pytest.param(lambda sock: sock.cipher(), None, id="cipher"),
        pytest.param(lambda sock: sock.compression(), None, id="compression"),
        pytest.param(lambda sock: sock.shared_ciphers(), None, id="shared_ciphers"),
        pytest.param(lambda sock: sock.selected_alpn_protocol(), None, id="selected_alpn_protocol"),
        pytest.param(lambda sock: sock.version(), None, id="version"),
        pytest.param(lambda sock: sock.get_channel_binding(), None, id="get_channel_binding"),
        pytest.param(lambda sock: sock.session, None, id="session"),
        pytest.param(lambda sock: sock.session_reused, None, id="session_reused"),
    ],
)
def test_without_a_connection_nothing_is_agreed(
    ask: Callable[[Any], object], answer: object, unconnected: ssl.SSLSocket
) -> None:
    assert ask(unconnected) == answer
    unconnected.close()
    assert ask(unconnected) == answer


def test_without_a_connection_a_session_is_kept_for_later() -> None:
    with socket.socket() as plain, unverified().wrap_socket(plain) as wrapped:
        kept: Any = object()
        wrapped.session = kept
        assert PRIVATE.SSLSocket.session.fget(wrapped) is None
        assert wrapped.__dict__["_session"] is kept


@pytest.mark.parametrize("call", ["getpeercert", "do_handshake"])
def test_without_a_connection_there_is_no_peer(call: str, unconnected: ssl.SSLSocket) -> None:
    with pytest.raises(OSError) as failure:
        getattr(unconnected, call)()
    assert failure.value.errno == errno.ENOTCONN


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda sock: sock.read(), "Read on closed or unwrapped SSL socket.", id="read"),
        pytest.param(lambda sock: sock.write(b"x"), "Write on closed or unwrapped SSL socket.", id="write"),
    ],
)
def test_reading_and_writing_need_a_tls_connection(
    call: Callable[[Any], object], message: str, unconnected: ssl.SSLSocket
) -> None:
    with pytest.raises(ValueError) as refusal:
        call(unconnected)
    assert str(refusal.value) == message


@pytest.mark.parametrize("call", ["unwrap", "verify_client_post_handshake"])
def test_what_is_not_tls_yet_has_no_wrapper(call: str, unconnected: ssl.SSLSocket) -> None:
    with pytest.raises(ValueError) as refusal:
        getattr(unconnected, call)()
    assert str(refusal.value) == f"No SSL wrapper around {unconnected}"


def test_an_unknown_channel_binding_is_a_value_error_without_a_connection(unconnected: ssl.SSLSocket) -> None:
    with pytest.raises(ValueError, match=r"^unknown-type channel binding type not implemented$"):
        unconnected.get_channel_binding("unknown-type")


def test_next_protocol_negotiation_is_deprecated(unconnected: ssl.SSLSocket) -> None:
    with pytest.warns(DeprecationWarning, match=r"^ssl NPN is deprecated, use ALPN instead$") as caught:
        assert unconnected.selected_npn_protocol() is None
    assert [warning.filename for warning in caught] == [__file__]


def test_a_server_names_no_server(server_context: ssl.SSLContext) -> None:
    with socket.socket() as plain:
        with pytest.raises(ValueError, match=r"^server_hostname can only be specified in client mode$"):
            server_context.wrap_socket(plain, server_side=True, server_hostname="localhost")
        assert plain.fileno() >= 0


def test_an_empty_name_is_no_name_for_a_server(server_context: ssl.SSLContext) -> None:
    with socket.socket() as plain, server_context.wrap_socket(plain, server_side=True, server_hostname="") as wrapped:
        assert wrapped.server_side is True


def test_a_server_resumes_no_session(server_context: ssl.SSLContext) -> None:
    session: Any = object()
    with socket.socket() as plain:
        with pytest.raises(ValueError, match=r"^session can only be specified in client mode$"):
            server_context.wrap_socket(plain, server_side=True, session=session)
        assert plain.fileno() >= 0


@pytest.mark.parametrize("name", [None, ""], ids=["none", "empty"])
def test_checking_a_name_needs_a_name(name: str | None, client_context: ssl.SSLContext) -> None:
    with socket.socket() as plain:
        with pytest.raises(ValueError, match=r"^check_hostname requires server_hostname$"):
            client_context.wrap_socket(plain, server_hostname=name)
        assert plain.fileno() >= 0


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        pytest.param("", ValueError, "server_hostname cannot be an empty string or start with", id="empty"),
        pytest.param(".example.org", ValueError, "server_hostname cannot be|label empty", id="a leading dot"),
        pytest.param("example.org\0evil.com", TypeError, "null (byte|character)", id="a NUL"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_bad_name_is_refused_when_the_connection_is_there(name: str, error: type[Exception], message: str) -> None:
    # Before Python 3.12 the descriptor, which has left *client* by then, is closed by the garbage collector.
    with plain_connection() as (client, _):
        with pytest.raises(error, match=message):
            unverified().wrap_socket(client, server_hostname=name, do_handshake_on_connect=False)


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_server_does_not_connect(method: str, server_context: ssl.SSLContext) -> None:
    with socket.socket() as plain, server_context.wrap_socket(plain, server_side=True) as wrapped:
        with pytest.raises(ValueError, match=r"^can't connect in server-side mode$"):
            getattr(wrapped, method)((HOST, 1))


def test_connecting_to_a_port_without_a_listener_is_refused() -> None:
    with socket.socket() as bound, socket.socket() as plain:
        port = bind_port(bound)
        plain.settimeout(TIMEOUT_S)
        with unverified().wrap_socket(plain) as wrapped:
            assert wrapped.connect_ex((HOST, port)) == errno.ECONNREFUSED


def test_connecting_can_be_tried_again_after_a_refusal() -> None:
    with socket.socket() as bound, socket.socket() as plain:
        port = bind_port(bound)
        plain.settimeout(TIMEOUT_S)
        with unverified().wrap_socket(plain) as wrapped:
            with pytest.raises(ConnectionRefusedError):
                wrapped.connect((HOST, port))
            # Linux answers the second attempt on one descriptor with ECONNABORTED.
            with pytest.raises((ConnectionRefusedError, ConnectionAbortedError)):
                wrapped.connect((HOST, port))


def test_a_connected_non_blocking_socket_cannot_shake_hands_at_once() -> None:
    with plain_connection() as (client, server):
        client.setblocking(False)
        with pytest.raises(ValueError) as refusal:
            unverified().wrap_socket(client)
        assert str(refusal.value) == "do_handshake_on_connect should not be specified for non-blocking sockets"
        assert server.recv(1) == b"", "the descriptor that was taken over is closed"


def test_a_closed_socket_cannot_be_wrapped() -> None:
    plain = socket.socket()
    plain.close()
    with pytest.raises(OSError) as failure:
        unverified().wrap_socket(plain)
    assert failure.value.errno == errno.EBADF


def test_a_wrapped_socket_cannot_be_copied(unconnected: ssl.SSLSocket) -> None:
    with pytest.raises(TypeError):
        copy.copy(unconnected)


def test_errors_have_no_number_in_their_text() -> None:
    error = ssl.SSLError(1, "foo")
    assert (str(error), error.errno) == ("foo", 1)
    assert issubclass(ssl.SSLError, OSError)


def test_every_error_of_tls_is_an_ssl_error() -> None:
    kinds = [
        ssl.SSLZeroReturnError,
        ssl.SSLWantReadError,
        ssl.SSLWantWriteError,
        ssl.SSLSyscallError,
        ssl.SSLEOFError,
        ssl.SSLCertVerificationError,
    ]
    assert [kind.__mro__[1] for kind in kinds] == [ssl.SSLError] * len(kinds)


def test_an_error_of_openssl_names_its_library_and_reason(certificate_files: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ssl.SSLError) as failure:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_dh_params(str(certificate_files[0]))
    assert (failure.value.library, failure.value.reason) == ("PEM", "NO_START_LINE")
    assert str(failure.value).startswith("[PEM: NO_START_LINE] no start line")


def test_wrapping_warns_of_nothing(client_identity: trustme.LeafCert) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        context = serving(client_identity)
        with socket.socket() as plain, context.wrap_socket(plain, server_side=True), socket.socket() as other:
            with trusting(check_hostname=False).wrap_socket(other):
                pass
    assert caught == []


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("read", ()),
        ("write", (b"x",)),
        ("getpeercert", ()),
        ("selected_npn_protocol", ()),
        ("selected_alpn_protocol", ()),
        ("cipher", ()),
        ("shared_ciphers", ()),
        ("compression", ()),
        ("send", (b"x",)),
        ("sendto", (b"x", (HOST, 1))),
        ("sendall", (b"x",)),
        ("recv", (1,)),
        ("recv_into", (bytearray(1),)),
        ("recvfrom", (1,)),
        ("recvfrom_into", (bytearray(1),)),
        ("pending", ()),
        ("shutdown", (socket.SHUT_RDWR,)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_subclass_may_check_for_closed_sockets_first(method: str, arguments: tuple[Any, ...]) -> None:
    class Checked(ssl.SSLSocket):
        checking = False

        def _checkClosed(self, _msg: str | None = None) -> None:
            if self.checking:
                raise LookupError("checked")

    context = unverified()
    context.sslsocket_class = Checked
    with socket.socket() as plain, context.wrap_socket(plain) as wrapped:
        checked: Any = wrapped
        checked.checking = True
        with pytest.raises(LookupError, match=r"^checked$"):
            getattr(checked, method)(*arguments)
