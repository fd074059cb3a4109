"""Families that only some kernels have work where they exist; tests of missing ones are skipped with the reason.

Source: vsock(7), packet(7), netlink(7), tipc(7), rds(7); the kernel's documentation of CAN and AF_ALG; RFC 9260.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from converted_tests.peers import SHORT_CONNECT_S, TIMEOUT_S
from netsupport import HOSTv4


@contextmanager
def _probed(family: str, kind: int, proto: int | str = 0) -> Iterator[socket.socket]:
    """A socket of a family that this kernel may lack; the test is skipped with the reason then."""
    missing = [name for name in (family, proto) if isinstance(name, str) and not hasattr(socket, name)]
    if missing:
        pytest.skip(f"this Python was built without {', '.join(missing)}")
    number = getattr(socket, proto) if isinstance(proto, str) else proto
    try:
        sock = socket.socket(getattr(socket, family), kind, number)
    except OSError as failure:
        pytest.skip(f"this kernel gives no socket of {family}: {failure.strerror}")
    with sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


@pytest.mark.parametrize(
    ("proto", "kind", "address"),
    [
        pytest.param("CAN_RAW", socket.SOCK_RAW, ("no-such-bus",), id="raw frames"),
        pytest.param("CAN_BCM", socket.SOCK_DGRAM, ("no-such-bus",), id="broadcast manager"),
        pytest.param("CAN_ISOTP", socket.SOCK_DGRAM, ("no-such-bus", 1, 2), id="transport protocol"),
        pytest.param("CAN_J1939", socket.SOCK_DGRAM, ("no-such-bus", 0, 0, 0), id="SAE J1939"),
    ],
)
def test_can_protocols_give_sockets_of_their_family(proto: str, kind: int, address: Any) -> None:
    with _probed("AF_CAN", kind, proto) as sock:
        assert (sock.family, sock.type, sock.proto) == (socket.AF_CAN, kind, getattr(socket, proto))
        with pytest.raises(OSError):
            sock.bind(address)


def test_a_raw_can_socket_may_hear_every_bus() -> None:
    with _probed("AF_CAN", socket.SOCK_RAW, "CAN_RAW") as sock:
        sock.bind(("",))
        assert sock.getsockname()[0] == ""


def test_can_options_are_kept() -> None:
    with _probed("AF_CAN", socket.SOCK_RAW, "CAN_RAW") as sock:
        for value in (0, 1):
            sock.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_LOOPBACK, value)
            assert sock.getsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_LOOPBACK) == value
        one_filter = struct.pack("=II", 0x200, 0x700)
        sock.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, one_filter)
        assert sock.getsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, len(one_filter)) == one_filter


def test_a_can_frame_reaches_the_other_sockets_of_its_bus() -> None:
    frame = struct.pack("=IB3x8s", 0x123, 3, b"abc")
    with _probed("AF_CAN", socket.SOCK_RAW, "CAN_RAW") as left:
        try:
            left.bind(("vcan0",))
        except OSError as failure:
            pytest.skip(f"no virtual CAN bus vcan0 here: {failure.strerror}")
        with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as right:
            right.settimeout(TIMEOUT_S)
            right.bind(("vcan0",))
            assert left.send(frame) == len(frame)
            data, address = right.recvfrom(len(frame))
            assert (data, address[0]) == (frame, "vcan0")


def test_rds_delivers_datagrams_between_bound_sockets() -> None:
    with _probed("AF_RDS", socket.SOCK_SEQPACKET) as left:
        with socket.socket(socket.AF_RDS, socket.SOCK_SEQPACKET) as right:
            right.settimeout(TIMEOUT_S)
            for sock in (left, right):
                sock.bind((HOSTv4, 0))
            left.sendto(b"datagram", right.getsockname())
            assert right.recvfrom(100) == (b"datagram", left.getsockname())


def test_a_qualcomm_router_socket_is_named_by_node_and_port() -> None:
    with _probed("AF_QIPCRTR", socket.SOCK_DGRAM) as sock:
        assert (sock.family, sock.type) == (socket.AF_QIPCRTR, socket.SOCK_DGRAM)
        assert [type(part) for part in sock.getsockname()] == [int, int]


@pytest.mark.parametrize(
    ("proto", "kind"),
    [
        ("BTPROTO_L2CAP", socket.SOCK_SEQPACKET),
        ("BTPROTO_RFCOMM", socket.SOCK_STREAM),
        ("BTPROTO_HCI", socket.SOCK_RAW),
    ],
)
def test_bluetooth_protocols_give_sockets_of_their_family(proto: str, kind: int) -> None:
    with _probed("AF_BLUETOOTH", kind, proto) as sock:
        assert (sock.family, sock.type) == (getattr(socket, "AF_BLUETOOTH"), kind)  # noqa: B009


def test_tipc_reaches_a_published_name() -> None:
    # A service type of this process alone, above those that TIPC reserves.
    service = 0x4000_0000 | os.getpid()
    with _probed("AF_TIPC", socket.SOCK_RDM) as server:
        with socket.socket(socket.AF_TIPC, socket.SOCK_RDM) as client:
            server.bind((socket.TIPC_ADDR_NAMESEQ, service, 1, 9, socket.TIPC_NODE_SCOPE))
            client.sendto(b"datagram", (socket.TIPC_ADDR_NAME, service, 5, 0))
            data, address = server.recvfrom(100)
            assert (data, address) == (b"datagram", client.getsockname())


@contextmanager
def _algorithm(kind: str, name: str) -> Iterator[socket.socket]:
    """A socket of the kernel's cryptography, bound to one algorithm."""
    with _probed("AF_ALG", socket.SOCK_SEQPACKET) as sock:
        # Its accept returns an operation at once, but poll never reports it, so a timeout would always expire.
        sock.settimeout(None)
        sock.bind((kind, name))
        yield sock


def test_the_kernel_hashes() -> None:
    with _algorithm("hash", "sha256") as algorithm:
        operation, _ = algorithm.accept()
        with operation:
            operation.sendall(b"abc")
            assert operation.recv(100) == hashlib.sha256(b"abc").digest()
            operation.send(b"a", socket.MSG_MORE)
            operation.send(b"bc")
            assert operation.recv(100) == hashlib.sha256(b"abc").digest()


def test_the_kernel_authenticates_with_a_key() -> None:
    with _algorithm("hash", "hmac(sha1)") as algorithm:
        algorithm.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, b"Jefe")
        operation, _ = algorithm.accept()
        with operation:
            operation.sendall(b"what do ya want for nothing?")
            expected = hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha1")
            assert operation.recv(100) == expected


def test_the_kernel_encrypts_and_decrypts_a_block_of_fips_197() -> None:
    key, plain = bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")
    secret = bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
    with _algorithm("skcipher", "ecb(aes)") as algorithm:
        algorithm.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
        for direction, given, expected in (
            (socket.ALG_OP_ENCRYPT, plain, secret),
            (socket.ALG_OP_DECRYPT, secret, plain),
        ):
            operation, _ = algorithm.accept()
            with operation:
                operation.sendmsg_afalg([given], op=direction)
                assert operation.recv(16) == expected


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({}, TypeError, id="no operation"),
        pytest.param({"op": None}, TypeError, id="nothing for an operation"),
        pytest.param({"op": 0, "assoclen": None}, TypeError, id="nothing for a length"),
        pytest.param({"op": 0, "assoclen": -1}, TypeError, id="negative length"),
    ],
)
def test_an_encryption_request_is_checked(arguments: dict[str, Any], error: type[Exception]) -> None:
    with _probed("AF_ALG", socket.SOCK_SEQPACKET) as sock, pytest.raises(error):
        sock.sendmsg_afalg(**arguments)


def test_an_algorithm_that_the_kernel_lacks_is_not_found() -> None:
    with _probed("AF_ALG", socket.SOCK_SEQPACKET) as sock, pytest.raises(FileNotFoundError):
        sock.bind(("hash", "no-such-algorithm"))


def test_sctp_carries_a_stream_over_the_loop() -> None:
    with _probed("AF_INET", socket.SOCK_STREAM, "IPPROTO_SCTP") as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
            listener.bind((HOSTv4, 0))
            listener.listen()
            client.settimeout(TIMEOUT_S)
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"over SCTP")
                assert accepted.recv(100) == b"over SCTP"


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux' own")
def test_netlink_names_a_socket_by_a_number_of_the_kernels_choice() -> None:
    with _probed("AF_NETLINK", socket.SOCK_RAW) as first, _probed("AF_NETLINK", socket.SOCK_RAW) as second:
        for sock in (first, second):
            sock.bind((0, 0))
        names = [sock.getsockname() for sock in (first, second)]
        assert len(set(names)) == 2
        assert [groups for _, groups in names] == [0, 0]


def test_a_packet_socket_is_named_by_its_interface() -> None:
    with _probed("AF_PACKET", socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("lo", 0))
        except OSError as failure:
            pytest.skip(f"no interface lo here: {failure.strerror}")
        interface, protocol, _, hardware, address = sock.getsockname()
        assert (interface, protocol) == ("lo", 0)
        # 772 is ARPHRD_LOOPBACK; the loop has an address of six zero bytes.
        assert (hardware, address) == (772, bytes(6))


def test_the_constants_of_vsock_are_there() -> None:
    if not hasattr(socket, "AF_VSOCK"):
        pytest.skip("this Python was built without AF_VSOCK")
    assert (socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY, socket.VMADDR_CID_HOST) == (2**32 - 1, 2**32 - 1, 2)
    names = ["SIZE", "MIN_SIZE", "MAX_SIZE"]
    assert [getattr(socket, f"SO_VM_SOCKETS_BUFFER_{name}") for name in names] == [0, 1, 2]


def test_a_vsock_socket_has_its_family_and_no_address() -> None:
    with _probed("AF_VSOCK", socket.SOCK_STREAM) as sock:
        assert (sock.family, sock.type, sock.proto) == (socket.AF_VSOCK, socket.SOCK_STREAM, 0)
        assert sock.getsockname() == (socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY)
        assert sock.get_inheritable() is False


def test_the_buffer_of_a_vsock_socket_stays_between_its_limits() -> None:
    with _probed("AF_VSOCK", socket.SOCK_STREAM) as sock:

        def size(option: int) -> int:
            return sock.getsockopt(socket.AF_VSOCK, option)

        largest = size(socket.SO_VM_SOCKETS_BUFFER_MAX_SIZE)
        sock.setsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_MAX_SIZE, largest // 2)
        sock.setsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_SIZE, largest)
        assert size(socket.SO_VM_SOCKETS_BUFFER_MAX_SIZE) == largest // 2
        assert size(socket.SO_VM_SOCKETS_BUFFER_SIZE) == largest // 2


def test_a_vsock_stream_reaches_its_own_machine() -> None:
    # VMADDR_CID_LOCAL; the port is the kernel's choice, and nothing here waits without a limit.
    local = getattr(socket, "VMADDR_CID_LOCAL", 1)
    with _probed("AF_VSOCK", socket.SOCK_STREAM) as listener, _probed("AF_VSOCK", socket.SOCK_STREAM) as client:
        try:
            listener.bind((local, socket.VMADDR_PORT_ANY))
            listener.listen()
            client.settimeout(SHORT_CONNECT_S)
            client.connect(listener.getsockname())
        except OSError as failure:
            pytest.skip(f"no VSOCK loop-back here: {failure}")
        client.settimeout(TIMEOUT_S)
        accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()
            client.sendall(b"over VSOCK")
            assert accepted.recv(100) == b"over VSOCK"


@pytest.mark.skipif(sys.platform != "win32", reason="sockets are shared between processes like this on Windows alone")
def test_a_shared_socket_of_windows_is_the_same_socket() -> None:
    with socket.socket() as sock:
        shared: Any = getattr(sock, "share")(os.getpid())  # noqa: B009
        with getattr(socket, "fromshare")(shared) as twin:  # noqa: B009
            assert (twin.family, twin.type, twin.proto) == (sock.family, sock.type, sock.proto)
        with pytest.raises(ValueError):
            getattr(socket, "fromshare")(b"nothing shared")  # noqa: B009


@pytest.mark.skipif(sys.platform != "win32", reason="which TCP options exist depends on the release of Windows")
def test_the_tcp_options_of_windows_are_there() -> None:
    names = {name for name in dir(socket) if name.startswith("TCP_")}
    assert names >= {"TCP_MAXSEG", "TCP_NODELAY"}


@pytest.mark.skipif(sys.platform != "darwin", reason="macOS has options of its own")
def test_the_tcp_options_of_macos_are_there() -> None:
    assert {"TCP_KEEPALIVE", "TCP_KEEPINTVL", "TCP_KEEPCNT"} <= set(dir(socket))
