"""A socket object knows and shows its family, kind and protocol, and is closed exactly once, however it is released.

Source: the library reference, "Socket Objects"; socket(2), dup(2), close(2).
"""

from __future__ import annotations

import _socket
import copy
import errno
import os
import pickle
import re
import socket
import weakref
from pathlib import Path

import pytest

from converted_tests.peers import TIMEOUT_S, Peer, TakeAll, listening
from converted_tests.test_socket.support import loaded_again, tcp_pair, unix_pair
from netsupport import HOSTv4, bind_port


class Counting(socket.socket):
    """Counts how often it is closed."""

    closes = 0

    def close(self) -> None:
        self.closes += 1
        super().close()


def _description(sock: socket.socket) -> str:
    return f"fd={sock.fileno()}, family={int(sock.family)}, type={int(sock.type)}, proto={sock.proto}"


def test_repr_before_and_after_bind_and_after_close() -> None:
    with socket.socket() as sock:
        assert repr(sock) == f"<socket.socket {_description(sock)}, laddr=('0.0.0.0', 0)>"
        port = bind_port(sock)
        assert repr(sock) == f"<socket.socket {_description(sock)}, laddr=('{HOSTv4}', {port})>"
    assert repr(sock) == "<socket.socket [closed] fd=-1, family=2, type=1, proto=0>"


def test_repr_of_a_connected_socket_names_both_ends() -> None:
    with tcp_pair() as (client, server):
        assert repr(client) == (
            f"<socket.socket {_description(client)}, laddr={server.getpeername()}, raddr={server.getsockname()}>"
        )


def test_repr_of_a_connected_datagram_socket_names_the_peer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as right:
        bind_port(right)
        left.connect(right.getsockname())
        assert repr(left).endswith(f", raddr={right.getsockname()}>")
        assert "raddr" not in repr(right)


def test_repr_leaves_out_the_empty_names_of_a_pair() -> None:
    with unix_pair() as (left, _):
        assert repr(left) == f"<socket.socket {_description(left)}>"


def test_repr_names_the_class_and_its_module() -> None:
    with Counting() as sock:
        assert repr(sock).startswith(f"<{__name__}.Counting fd=")


def test_repr_of_a_socket_that_was_never_initialised_has_no_descriptor() -> None:
    assert repr(socket.socket.__new__(socket.socket)) == "<socket.socket fd=-1, family=0, type=0, proto=0>"


def test_repr_survives_a_descriptor_that_was_closed_elsewhere() -> None:
    with socket.socket() as sock:
        os.close(sock.fileno())
        assert repr(sock) == f"<socket.socket {_description(sock)}>"
        sock.detach()


def test_repr_of_the_extensions_own_type() -> None:
    sock = _socket.socket()
    descriptor = sock.fileno()
    assert repr(sock) == f"<socket object, fd={descriptor}, family=2, type=1, proto=0>"
    sock.close()
    assert repr(sock) == "<socket object, fd=-1, family=2, type=1, proto=0>"


def test_a_weak_reference_lives_as_long_as_the_socket() -> None:
    sock = socket.socket()
    reference = weakref.ref(sock)
    assert reference() is sock
    sock.close()
    del sock
    assert reference() is None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_socket_cannot_be_pickled(protocol: int) -> None:
    # The first two protocols try to rebuild the base class before they ask the object itself.
    text = "cannot pickle 'Counting' object" if protocol >= 2 else "Counting"
    with Counting() as sock, pytest.raises(TypeError, match=text):
        pickle.dumps(sock, protocol)


def test_a_socket_cannot_be_copied() -> None:
    with socket.socket() as sock, pytest.raises(TypeError, match="cannot pickle 'socket' object"):
        copy.copy(sock)


def test_an_open_socket_that_is_dropped_is_reported_with_its_repr() -> None:
    sock = socket.socket()
    text = repr(sock)
    with pytest.warns(ResourceWarning, match=re.escape(f"unclosed {text}")):
        del sock


def test_a_file_of_a_dropped_socket_keeps_it_and_both_are_reported_together() -> None:
    sock = socket.socket()
    text = repr(sock)
    file = sock.makefile("rb")
    del sock
    assert not file.closed
    with pytest.warns(ResourceWarning, match=re.escape(f"unclosed {text}")):
        del file


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, (socket.AF_INET, socket.SOCK_STREAM, 0), id="defaults"),
        pytest.param({"type": socket.SOCK_DGRAM}, (socket.AF_INET, socket.SOCK_DGRAM, 0), id="kind alone"),
        pytest.param({"proto": socket.IPPROTO_TCP}, (socket.AF_INET, socket.SOCK_STREAM, 6), id="protocol alone"),
        pytest.param({"family": socket.AF_UNIX}, (socket.AF_UNIX, socket.SOCK_STREAM, 0), id="family alone"),
        pytest.param(
            {"family": -1, "type": -1, "proto": -1},
            (socket.AF_INET, socket.SOCK_STREAM, 0),
            id="minus one is default",
        ),
    ],
)
def test_family_kind_and_protocol_are_what_was_asked_for(
    arguments: dict[str, int], expected: tuple[int, int, int]
) -> None:
    with socket.socket(**arguments) as sock:
        assert (sock.family, sock.type, sock.proto) == expected
        assert (type(sock.family), type(sock.type)) == (socket.AddressFamily, socket.SocketKind)


@pytest.mark.parametrize("attribute", ["family", "type", "proto"])
def test_they_are_read_only(attribute: str) -> None:
    with socket.socket() as sock, pytest.raises(AttributeError):
        setattr(sock, attribute, 2)


def test_numbers_without_a_name_stay_plain_integers() -> None:
    with socket.socket() as owner, socket.socket(4242, 4243, 4244, fileno=owner.detach()) as sock:
        assert (sock.family, sock.type, sock.proto) == (4242, 4243, 4244)
        assert (type(sock.family), type(sock.type)) == (int, int)


def test_a_family_that_does_not_exist_is_refused() -> None:
    with pytest.raises(OSError) as caught:
        socket.socket(4242)
    assert caught.value.errno == errno.EAFNOSUPPORT


def test_a_protocol_that_the_kind_has_not_is_refused() -> None:
    with pytest.raises(OSError) as caught:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_ICMP)
    assert caught.value.errno in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}


@pytest.mark.skipif(not hasattr(socket, "SOCK_CLOEXEC"), reason="no kind flags at creation here")
def test_the_kind_hides_the_flags_of_creation() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        assert sock.type is socket.SOCK_STREAM


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, id="tcp"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, id="udp"),
        pytest.param(socket.AF_UNIX, socket.SOCK_STREAM, id="unix stream"),
        pytest.param(socket.AF_UNIX, socket.SOCK_DGRAM, id="unix datagram"),
    ],
)
def test_family_and_kind_are_found_out_from_the_descriptor(family: int, kind: int) -> None:
    with socket.socket(family, kind) as owner:
        descriptor = owner.detach()
        with socket.socket(fileno=descriptor) as sock:
            assert (sock.fileno(), sock.family, sock.type) == (descriptor, family, kind)


@pytest.mark.usefixtures("ipv6")
def test_an_ipv6_descriptor_is_recognised() -> None:
    with socket.socket(socket.AF_INET6) as owner, socket.socket(fileno=owner.detach()) as sock:
        assert sock.family is socket.AF_INET6


@pytest.mark.skipif(not hasattr(socket, "SO_PROTOCOL"), reason="the kernel does not tell a socket's protocol")
def test_the_protocol_is_looked_up_if_the_kernel_knows_it() -> None:
    with socket.socket() as owner, socket.socket(fileno=owner.detach()) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_what_the_caller_passes_is_not_looked_up_again() -> None:
    with socket.socket() as owner, socket.socket(socket.AF_UNIX, fileno=owner.detach()) as sock:
        assert (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM)


@pytest.mark.parametrize(
    ("descriptor", "error"),
    [
        pytest.param(1.5, TypeError, id="fraction"),
        pytest.param("3", TypeError, id="text"),
        pytest.param([3], TypeError, id="list"),
        pytest.param(-1, ValueError, id="minus one"),
        pytest.param(-2, ValueError, id="minus two"),
    ],
)
def test_what_is_no_descriptor_is_refused(descriptor: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        socket.socket(fileno=descriptor)  # type: ignore[arg-type]


def test_a_closed_descriptor_is_refused() -> None:
    with socket.socket() as sock:
        descriptor = sock.fileno()
    with pytest.raises(OSError) as caught:
        socket.socket(fileno=descriptor)
    assert caught.value.errno == errno.EBADF


def test_a_regular_file_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        with pytest.raises(OSError) as caught:
            socket.socket(fileno=file.fileno())
        assert caught.value.errno == errno.ENOTSOCK


def test_a_closed_socket_does_nothing_more() -> None:
    with tcp_pair() as (client, _):
        client.close()
        assert client.fileno() == -1
        with pytest.raises(OSError) as caught:
            client.send(b"late")
        assert caught.value.errno == errno.EBADF
        client.close()


def test_a_descriptor_that_was_closed_elsewhere_is_reported_once() -> None:
    sock = socket.socket()
    os.close(sock.fileno())
    with pytest.raises(OSError) as caught:
        sock.close()
    assert caught.value.errno == errno.EBADF
    sock.close()


def test_leaving_the_with_closes() -> None:
    with Counting() as sock:
        assert sock.closes == 0
    assert (sock.closes, sock.fileno()) == (1, -1)


def test_closing_inside_the_with_is_enough() -> None:
    with Counting() as sock:
        sock.close()
    assert sock.closes == 1


def test_an_exception_passes_through_the_with_and_the_socket_is_closed() -> None:
    with pytest.raises(ZeroDivisionError), socket.socket() as sock:
        raise ZeroDivisionError
    assert sock.fileno() == -1


def test_a_created_connection_closes_with_its_with() -> None:
    def hearing() -> Peer:
        yield TakeAll()

    with listening(hearing()) as server:
        with socket.create_connection((server.host, server.port), TIMEOUT_S) as sock:
            sock.sendall(b"inside")
        with pytest.raises(OSError) as caught:
            sock.sendall(b"outside")
    assert caught.value.errno == errno.EBADF


def test_the_close_function_closes_a_descriptor() -> None:
    with tcp_pair() as (client, server):
        socket.close(client.detach())
        assert server.recv(1) == b""


@pytest.mark.parametrize(
    ("descriptor", "error"),
    [
        pytest.param(None, TypeError, id="nothing"),
        pytest.param("3", TypeError, id="text"),
        pytest.param(1.5, TypeError, id="fraction"),
        pytest.param(-1, OSError, id="minus one"),
    ],
)
def test_the_close_function_refuses_what_is_no_descriptor(descriptor: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        socket.close(descriptor)  # type: ignore[arg-type]


def test_the_close_function_fails_on_a_closed_descriptor() -> None:
    with socket.socket() as sock:
        descriptor = sock.detach()
    socket.close(descriptor)
    with pytest.raises(OSError) as caught:
        socket.close(descriptor)
    assert caught.value.errno == errno.EBADF


def test_detach_gives_the_descriptor_up_and_leaves_it_open() -> None:
    with tcp_pair() as (client, server):
        before = client.fileno()
        descriptor = client.detach()
        assert descriptor == before
        assert repr(client).startswith("<socket.socket [closed] fd=-1,")
        with socket.socket(fileno=descriptor) as heir:
            server.sendall(b"still here")
            assert heir.recv(100) == b"still here"


def test_a_detached_socket_has_nothing_to_give_or_to_do() -> None:
    with socket.socket() as sock:
        socket.close(sock.detach())
        assert sock.detach() == -1
        with pytest.raises(OSError):
            sock.recv(1)


def test_leaving_the_with_after_detach_does_not_close_again() -> None:
    with Counting() as sock:
        socket.close(sock.detach())
    assert sock.closes == 0


def test_dup_is_an_independent_object_on_the_same_connection() -> None:
    with tcp_pair() as (client, server):
        with client.dup() as twin:
            assert twin.fileno() != client.fileno()
            assert twin.getpeername() == server.getsockname()
            client.close()
            twin.sendall(b"by the twin")
            assert server.recv(100) == b"by the twin"
        assert server.recv(1) == b""


@pytest.mark.parametrize("timeout", [None, 0.0, 2.5])
def test_dup_keeps_class_kind_and_timeout(timeout: float | None) -> None:
    with Counting(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as sock:
        sock.settimeout(timeout)
        with sock.dup() as twin:
            assert type(twin) is Counting
            assert (twin.family, twin.type, twin.proto) == (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
            assert twin.gettimeout() == timeout


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, id="tcp"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, id="udp"),
        pytest.param(socket.AF_UNIX, socket.SOCK_STREAM, id="unix stream"),
        pytest.param(socket.AF_UNIX, socket.SOCK_DGRAM, id="unix datagram"),
    ],
)
def test_fromfd_duplicates_a_descriptor_of_any_family(family: int, kind: int) -> None:
    with socket.socket(family, kind) as sock, socket.fromfd(sock.fileno(), family, kind) as twin:
        assert (twin.family, twin.type, twin.proto) == (family, kind, 0)
        assert twin.fileno() not in {sock.fileno(), -1}
        assert os.path.sameopenfile(twin.fileno(), sock.fileno())


def test_fromfd_carries_the_connection_and_the_protocol() -> None:
    with tcp_pair() as (client, server):
        with socket.fromfd(client.fileno(), socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as twin:
            twin.sendall(b"by the copy")
            assert (twin.proto, server.recv(100)) == (socket.IPPROTO_TCP, b"by the copy")
        client.sendall(b"by the first")
        assert server.recv(100) == b"by the first"


def test_an_accepted_socket_has_the_kind_of_its_listener() -> None:
    with tcp_pair() as (client, server):
        assert type(server) is socket.socket
        assert (server.family, server.type, server.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
        assert server.getpeername() == client.getsockname()


@pytest.mark.parametrize("flags", [0, getattr(socket, "SOCK_CLOEXEC", 0)], ids=["plain", "close-on-exec"])
def test_a_new_socket_is_not_inheritable(flags: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | flags) as sock:
        assert sock.get_inheritable() is False


def test_neither_are_duplicates_pairs_and_accepted_sockets() -> None:
    with unix_pair() as (left, right), left.dup() as twin, tcp_pair() as (_, server):
        assert [sock.get_inheritable() for sock in (left, right, twin, server)] == [False] * 4


def test_the_flag_is_the_descriptors() -> None:
    fcntl = pytest.importorskip("fcntl")
    with socket.socket() as sock:
        for inheritable in (True, False, True):
            sock.set_inheritable(inheritable)
            assert sock.get_inheritable() is inheritable
            assert bool(fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC) is not inheritable
        fcntl.fcntl(sock, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        assert sock.get_inheritable() is False


def test_both_methods_explain_themselves() -> None:
    assert socket.socket.get_inheritable.__doc__ == "Get the inheritable flag of the socket"
    assert socket.socket.set_inheritable.__doc__ == "Set the inheritable flag of the socket"


def test_fromshare_rebuilds_a_shared_socket() -> None:
    if not hasattr(socket.socket, "share"):
        pytest.skip("sockets are shared between processes like this on Windows alone")
    with socket.socket() as sock:
        port = bind_port(sock)
        shared = getattr(sock, "share")(os.getpid())  # noqa: B009 - typeshed knows share on Windows alone
        with getattr(socket, "fromshare")(shared) as twin:  # noqa: B009
            assert twin.getsockname() == (HOSTv4, port)


def test_fromshare_hands_the_information_to_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sharing(_socket.socket):
        """Like the extension's type on Windows, with a descriptor as the shared information."""

        __slots__ = ()

        def __init__(
            self, family: int = -1, kind: int = -1, proto: int = -1, fileno: int | bytes | None = None
        ) -> None:
            if isinstance(fileno, bytes):
                assert (family, kind, proto) == (0, 0, 0)
                fileno = os.dup(int(fileno))
                family = kind = proto = -1
            super().__init__(family, kind, proto, fileno)

        def share(self, _process: int) -> bytes:
            return b"%d" % self.fileno()

    monkeypatch.setattr(_socket, "socket", Sharing)
    again = loaded_again()
    with again.socket() as sock, again.fromshare(sock.share(os.getpid())) as twin:
        assert type(twin) is again.socket
        assert os.path.sameopenfile(twin.fileno(), sock.fileno())
        assert (twin.family, twin.type) == (socket.AF_INET, socket.SOCK_STREAM)
    assert again.__all__.count("fromshare") == 1
