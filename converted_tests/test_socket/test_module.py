"""The module exports what `_socket` has, with families, kinds and flags as enumerations and errors as OSError.

Source: the library reference, "socket: Low-level networking interface"; IANA, "Protocol Numbers"; RFC 3542.
"""

from __future__ import annotations

import _socket
import enum
import errno
import os
import pickle
import socket
import sys

import pytest

from converted_tests.test_socket.support import loaded_again

OWN_NAMES = {
    "fromfd",
    "getfqdn",
    "create_connection",
    "create_server",
    "has_dualstack_ipv6",
    "AddressFamily",
    "SocketKind",
    "send_fds",
    "recv_fds",
}


@pytest.mark.parametrize(
    "name",
    ["AF_INET", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM", "SOCK_SEQPACKET", "SOL_SOCKET", "SO_REUSEADDR"],
)
def test_the_constants_of_every_system_are_there(name: str) -> None:
    assert isinstance(getattr(socket, name), int)


@pytest.mark.parametrize(
    ("name", "number"),
    [("IP", 0), ("ICMP", 1), ("TCP", 6), ("UDP", 17), ("IPV6", 41), ("ICMPV6", 58), ("RAW", 255)],
)
def test_protocol_constants_have_the_numbers_that_iana_gave(name: str, number: int) -> None:
    assert getattr(socket, f"IPPROTO_{name}") == number


@pytest.mark.parametrize(
    "name",
    ["getpeername", "recvmsg", "recvmsg_into", "sendmsg", "share", "sendmsg_afalg", "ioctl"],
)
def test_an_optional_method_is_there_exactly_where_the_system_has_it(name: str) -> None:
    assert hasattr(socket.socket, name) == hasattr(_socket.socket, name)


@pytest.mark.skipif(sys.platform != "linux", reason="the options of RFC 3542 have these names on Linux")
@pytest.mark.parametrize(
    "name",
    ["RECVHOPLIMIT", "HOPLIMIT", "RECVTCLASS", "TCLASS", "RECVPKTINFO", "PKTINFO", "RECVRTHDR", "RTHDR_TYPE_0"],
)
def test_the_options_of_rfc_3542_are_there(name: str) -> None:
    assert isinstance(getattr(socket, f"IPV6_{name}"), int)


@pytest.mark.parametrize("method", ["getpeername", "sendmsg", "recvmsg", "recvmsg_into"])
def test_linux_has_the_optional_methods(method: str) -> None:
    if sys.platform != "linux":
        pytest.skip("which optional methods exist is this system's choice")
    assert callable(getattr(socket.socket, method))


def test_the_public_names_are_those_of_the_extension_and_the_modules_own() -> None:
    share = {"fromshare"} if hasattr(_socket.socket, "share") else set()
    windows = {"errorTab"} if sys.platform == "win32" else set()
    extension = {name for name in dir(_socket) if not name.startswith("_")}
    assert set(socket.__all__) == extension | OWN_NAMES | share | windows


def test_no_public_name_is_missing() -> None:
    assert [name for name in socket.__all__ if not hasattr(socket, name)] == []


@pytest.mark.parametrize(
    ("group", "prefix", "base"),
    [
        pytest.param("AddressFamily", "AF_", enum.IntEnum, id="families"),
        pytest.param("SocketKind", "SOCK_", enum.IntEnum, id="kinds"),
        pytest.param("MsgFlag", "MSG_", enum.IntFlag, id="message flags"),
        pytest.param("AddressInfo", "AI_", enum.IntFlag, id="address information flags"),
    ],
)
def test_an_enumeration_holds_every_constant_of_its_prefix_and_no_other(
    group: str, prefix: str, base: type[enum.Enum]
) -> None:
    members = getattr(socket, group).__members__
    expected = {name: getattr(_socket, name) for name in dir(_socket) if name.isupper() and name.startswith(prefix)}
    assert issubclass(getattr(socket, group), base)
    assert {name: int(member) for name, member in members.items()} == expected
    assert all(getattr(socket, name) is member for name, member in members.items())


def test_an_enumeration_takes_no_lower_case_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AF_lower", "SOCK_lower", "MSG_lower", "AI_lower"):
        monkeypatch.setattr(_socket, name, 77_000, raising=False)
    again = loaded_again()
    groups = (again.AddressFamily, again.SocketKind, again.MsgFlag, again.AddressInfo)
    assert [name for group in groups for name in group.__members__ if "lower" in name] == []


@pytest.mark.parametrize(
    ("member", "text"),
    [
        pytest.param(socket.AF_INET, "<AddressFamily.AF_INET: 2>", id="family"),
        pytest.param(socket.SOCK_STREAM, "<SocketKind.SOCK_STREAM: 1>", id="kind"),
        pytest.param(socket.MSG_OOB, "<MsgFlag.MSG_OOB: 1>", id="message flag"),
        pytest.param(socket.AI_PASSIVE, "<AddressInfo.AI_PASSIVE: 1>", id="address information flag"),
    ],
)
def test_a_member_shows_its_name_and_its_number(member: enum.Enum, text: str) -> None:
    assert repr(member) == text


def test_a_family_and_a_kind_print_as_their_numbers() -> None:
    assert (str(socket.AF_INET), str(socket.SOCK_STREAM)) == ("2", "1")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_families_and_kinds_survive_pickling_as_the_same_member(protocol: int) -> None:
    pair = (socket.AF_INET, socket.SOCK_DGRAM)
    left, right = pickle.loads(pickle.dumps(pair, protocol))
    assert left is socket.AF_INET
    assert right is socket.SOCK_DGRAM


def test_the_old_names_of_errors_are_the_builtin_errors() -> None:
    assert socket.error is OSError
    assert socket.timeout is TimeoutError
    assert (socket.herror.__mro__[1], socket.gaierror.__mro__[1]) == (OSError, OSError)


@pytest.mark.parametrize("kind", [OSError, socket.error, socket.herror, socket.gaierror, socket.timeout])
def test_every_error_of_the_module_is_caught_as_oserror(kind: type[OSError]) -> None:
    with pytest.raises(OSError, match="told by the test") as caught:
        raise kind(errno.EIO, "told by the test")
    assert (type(caught.value), caught.value.errno) == (kind, errno.EIO)


def test_the_type_of_the_extension_is_the_base_of_every_socket() -> None:
    assert socket.SocketType is _socket.socket
    with socket.socket() as sock:
        assert isinstance(sock, socket.SocketType)
        assert type(sock) is not socket.SocketType


def test_the_error_numbers_that_the_module_uses_are_the_systems() -> None:
    names = ("EBADF", "EAGAIN", "EWOULDBLOCK")
    assert [getattr(socket, name) for name in names] == [getattr(errno, name) for name in names]


def test_without_the_errno_module_linux_numbers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "errno", None)
    again = loaded_again()
    assert (again.errno, again.EBADF, again.EAGAIN, again.EWOULDBLOCK) == (None, 9, 11, 11)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has the table")
def test_elsewhere_there_is_no_table_of_winsock_errors() -> None:
    assert not hasattr(socket, "errorTab")


def test_the_inheritable_flag_is_the_handles_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    flags: dict[int, bool] = {}
    monkeypatch.setattr(os, "name", "nt")
    monkeypatch.setattr(os, "get_handle_inheritable", flags.__getitem__, raising=False)
    monkeypatch.setattr(os, "set_handle_inheritable", flags.__setitem__, raising=False)
    again = loaded_again()
    with again.socket() as sock:
        sock.set_inheritable(True)
        assert flags == {sock.fileno(): True}
        assert sock.get_inheritable() is True
