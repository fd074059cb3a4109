"""Names, services and interfaces are looked up through the C library, and the results are enumerations.

Source: getaddrinfo(3), getnameinfo(3), getservbyname(3), if_nameindex(3); RFC 3493, RFC 4007 section 11.
"""

from __future__ import annotations

import _socket
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from netsupport import HOSTv4, HOSTv6

NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def _local_names() -> set[str]:
    """The names that /etc/hosts gives to HOSTv4: looking them up needs no server."""
    try:
        lines = Path("/etc/hosts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    rows = [line.partition("#")[0].split() for line in lines]
    return {name for row in rows if row and row[0] == HOSTv4 for name in row[1:]}


@pytest.fixture
def http_is_known() -> None:
    try:
        socket.getservbyname("http", "tcp")
    except OSError:
        pytest.skip("no service database here (/etc/services)")


@pytest.fixture
def loopback_index() -> int:
    try:
        return socket.if_nametoindex("lo")
    except (OSError, AttributeError):
        pytest.skip("the loop-back interface has another name here")


def test_the_host_name_is_the_systems_node_name() -> None:
    assert socket.gethostname() == os.uname().nodename


def test_a_name_in_the_hosts_file_makes_the_round_trip() -> None:
    names = _local_names()
    if "localhost" not in names:
        pytest.skip("localhost is not in /etc/hosts")
    assert socket.gethostbyname("localhost") == HOSTv4
    canonical, aliases, addresses = socket.gethostbyaddr(HOSTv4)
    assert {canonical, *aliases} <= names
    assert addresses == [HOSTv4]


def test_the_hosts_own_name_makes_the_round_trip() -> None:
    name = socket.gethostname()
    if name not in _local_names():
        pytest.skip("no name service that is sure to know this host: its name is not in /etc/hosts")
    canonical, aliases, addresses = socket.gethostbyname_ex(name)
    assert name in {canonical, *aliases}
    assert HOSTv4 in addresses


@pytest.mark.parametrize("address", ["0.0.0.0", HOSTv4, "255.255.255.255"])
def test_a_literal_address_resolves_to_itself(address: str) -> None:
    assert socket.gethostbyname(address) == address


def test_a_literal_address_has_no_aliases() -> None:
    assert socket.gethostbyname_ex(HOSTv4) == (HOSTv4, [], [HOSTv4])


@pytest.mark.parametrize("name", ["0.1.1.~1", "1+.1.1.1", "1.1.1", "::1q", "::1::2", "1:1:1:1:1:1:1:1:1", "a.b"])
def test_what_is_no_literal_address_is_refused_when_only_literals_count(name: str) -> None:
    if name == "1.1.1":
        assert socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)[0][4] == ("1.1.0.1", 0)
        return
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo(name, 0, flags=socket.AI_NUMERICHOST)
    assert caught.value.errno == socket.EAI_NONAME


@pytest.mark.parametrize("name", ["n" * 5000, b"n" * 5000], ids=["text", "bytes"])
def test_sethostname_hands_text_and_bytes_to_the_kernel(name: str | bytes) -> None:
    if not hasattr(socket, "sethostname"):
        pytest.skip("this system has no sethostname")
    # Far longer than any kernel takes: refused for root too, so no run can rename the machine.
    with pytest.raises(OSError):
        socket.sethostname(name)  # type: ignore[arg-type]


def test_sethostname_takes_no_other_type() -> None:
    if not hasattr(socket, "sethostname"):
        pytest.skip("this system has no sethostname")
    with pytest.raises(TypeError, match="expected str, bytes or os"):
        socket.sethostname(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("canonical", "aliases", "expected"),
    [
        pytest.param("mail.example.org", [], "mail.example.org", id="dotted name"),
        pytest.param("mail.example.org", ["a.example.net"], "mail.example.org", id="dotted name before dotted alias"),
        pytest.param("mail", ["post", "mail.example.org"], "mail.example.org", id="first dotted alias"),
        pytest.param("mail", ["a.example.net", "b.example.net"], "a.example.net", id="first of two"),
        pytest.param("mail", ["post"], "mail", id="nothing dotted: the host's name"),
        pytest.param("mail", [], "mail", id="no alias"),
    ],
)
def test_getfqdn_takes_the_first_name_with_a_dot(
    monkeypatch: pytest.MonkeyPatch, canonical: str, aliases: list[str], expected: str
) -> None:
    monkeypatch.setattr(socket, "gethostbyaddr", lambda _name: (canonical, list(aliases), [HOSTv4]))
    assert socket.getfqdn("asked") == expected


@pytest.mark.parametrize(
    ("given", "looked_up"),
    [
        pytest.param((), "own-name", id="no argument"),
        pytest.param(("",), "own-name", id="empty"),
        pytest.param((" \t",), "own-name", id="blank"),
        pytest.param(("0.0.0.0",), "own-name", id="any IPv4 address"),
        pytest.param(("::",), "own-name", id="any IPv6 address"),
        pytest.param((" asked ",), "asked", id="name between blanks"),
        pytest.param((HOSTv4,), HOSTv4, id="address"),
    ],
)
def test_getfqdn_looks_up_the_name_or_the_hosts_own(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], looked_up: str
) -> None:
    asked = []

    def unknown(name: str) -> None:
        asked.append(name)
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostname", lambda: "own-name")
    monkeypatch.setattr(socket, "gethostbyaddr", unknown)
    assert socket.getfqdn(*given) == looked_up
    assert asked == [looked_up]


def test_every_kind_of_socket_is_listed_without_a_filter() -> None:
    found = socket.getaddrinfo(HOSTv4, 80)
    assert {(family, kind) for family, kind, *_ in found} >= {
        (socket.AF_INET, socket.SOCK_STREAM),
        (socket.AF_INET, socket.SOCK_DGRAM),
    }
    assert {(canonical, address) for *_, canonical, address in found} == {("", (HOSTv4, 80))}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param(HOSTv4, (socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOSTv4, 80)), id="ipv4"),
        pytest.param(HOSTv6, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (HOSTv6, 80, 0, 0)), id="ipv6"),
    ],
)
def test_one_kind_gives_one_five_tuple(host: str, expected: tuple[object, ...]) -> None:
    (found,) = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
    assert found == expected
    assert (type(found[0]), type(found[1])) == (socket.AddressFamily, socket.SocketKind)


def test_keywords_and_positions_mean_the_same() -> None:
    by_position = socket.getaddrinfo(HOSTv4, 80, socket.AF_INET, socket.SOCK_DGRAM, 17, socket.AI_NUMERICHOST)
    by_keyword = socket.getaddrinfo(
        host=HOSTv4, port=80, family=socket.AF_INET, type=socket.SOCK_DGRAM, proto=17, flags=socket.AI_NUMERICHOST
    )
    assert by_position == by_keyword == [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (HOSTv4, 80))]


def test_a_protocol_picks_its_kind() -> None:
    (found,) = socket.getaddrinfo(HOSTv4, 80, proto=socket.IPPROTO_UDP)
    assert found[1] is socket.SOCK_DGRAM


@pytest.mark.parametrize(
    ("flags", "addresses"),
    [(0, {HOSTv4, HOSTv6}), (socket.AI_PASSIVE, {"0.0.0.0", "::"})],
    ids=["to connect to", "to bind to"],
)
def test_no_host_means_loopback_or_any_address(flags: int, addresses: set[str]) -> None:
    found = {info[4][0] for info in socket.getaddrinfo(None, 80, type=socket.SOCK_STREAM, flags=flags)}
    assert found
    assert found <= addresses


def test_no_flag_is_set_unless_it_is_asked_for() -> None:
    (found,) = socket.getaddrinfo(None, 80, socket.AF_INET, socket.SOCK_STREAM)
    assert found[4] == (HOSTv4, 80)


def test_no_port_is_port_zero() -> None:
    assert {info[4] for info in socket.getaddrinfo(HOSTv4, None)} == {(HOSTv4, 0)}


@pytest.mark.usefixtures("http_is_known")
@pytest.mark.parametrize("service", ["http", b"http", "80", b"80"])
def test_a_service_may_be_named_or_numbered_in_text(service: str | bytes) -> None:
    (found,) = socket.getaddrinfo(HOSTv4, service, type=socket.SOCK_STREAM)
    assert found[4] == (HOSTv4, 80)


def test_the_canonical_name_comes_with_the_first_entry() -> None:
    (found,) = socket.getaddrinfo(HOSTv4, 80, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    assert found[3] == HOSTv4


def test_a_family_that_the_host_is_not_of_finds_nothing() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOSTv4, 80, socket.AF_INET6)


@pytest.mark.parametrize(
    ("flags", "service"),
    [pytest.param(socket.AI_NUMERICSERV, "http", id="numeric service"), pytest.param(0x7FFF, "80", id="every bit")],
)
def test_odd_flags_raise_gaierror_at_worst(flags: int, service: str) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOSTv4, service, flags=flags)


@pytest.mark.parametrize(
    ("host", "service", "error"),
    [
        pytest.param(HOSTv4, "\ud800", UnicodeEncodeError, id="surrogate in the service"),
        pytest.param("\ud800", 80, UnicodeError, id="surrogate in the host"),
        pytest.param(5, 80, TypeError, id="number for a host"),
        pytest.param(HOSTv4, 1.5, OSError, id="fraction for a service"),
    ],
)
def test_an_argument_of_no_use_is_refused(host: Any, service: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        socket.getaddrinfo(host, service)


def test_families_and_kinds_without_a_name_stay_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(*arguments: object) -> list[tuple[object, ...]]:
        asked.append(arguments)
        return [(7777, 8888, 9, "canonical", ("address",)), (int(socket.AF_INET), 1, 6, "", ("next",))]

    monkeypatch.setattr(_socket, "getaddrinfo", answer)
    found: list[Any] = socket.getaddrinfo("host", "service")
    assert found == [
        (7777, 8888, 9, "canonical", ("address",)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("next",)),
    ]
    assert [type(found[0][0]), type(found[0][1])] == [int, int]
    assert [type(found[1][0]), type(found[1][1])] == [socket.AddressFamily, socket.SocketKind]
    assert asked == [("host", "service", 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param((HOSTv4, 80), (HOSTv4, "80"), id="ipv4"),
        pytest.param((HOSTv6, 80), (HOSTv6, "80"), id="ipv6"),
        pytest.param((HOSTv6, 80, 0xFFFFF, 0), (HOSTv6, "80"), id="largest flow label"),
    ],
)
def test_an_address_is_written_in_numbers(address: tuple[str, int], expected: tuple[str, str]) -> None:
    assert socket.getnameinfo(address, NUMERIC) == expected


@pytest.mark.usefixtures("http_is_known")
def test_a_port_is_written_as_its_service() -> None:
    assert socket.getnameinfo((HOSTv4, 80), socket.NI_NUMERICHOST) == (HOSTv4, "http")


def test_a_host_name_is_no_address() -> None:
    with pytest.raises(socket.gaierror):
        socket.getnameinfo(("host.example", 80), 0)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        pytest.param((HOSTv4,), TypeError, id="no port"),
        pytest.param((HOSTv4, 80, 0), OSError, id="ipv4 with a flow label"),
        pytest.param((HOSTv4, "80"), TypeError, id="port in text"),
        pytest.param((b"\x7f\0\0\x01", 80), TypeError, id="host in bytes"),
        pytest.param(HOSTv4, TypeError, id="no tuple"),
        pytest.param(((None,), 80), TypeError, id="tuple for a host"),
    ],
)
def test_a_malformed_address_is_refused(address: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        socket.getnameinfo(address, NUMERIC)


def test_a_refused_address_keeps_its_references() -> None:
    # Made here, so that no constant table of the interpreter holds it too.
    host = "".join([HOSTv4, ".", "example"])
    before = sys.getrefcount(host)
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            socket.getnameinfo((host, 80), NUMERIC)
    assert sys.getrefcount(host) == before


@pytest.mark.parametrize("flow_label", [-1, 2**20, 2**32 - 1])
def test_a_flow_label_of_more_than_20_bits_overflows(flow_label: int) -> None:
    address: Any = (HOSTv6, 80, flow_label)
    with pytest.raises(OverflowError):
        socket.getnameinfo(address, NUMERIC)


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("flow_label", [-10, 2**20])
def test_bind_refuses_such_a_flow_label_too(flow_label: int) -> None:
    with socket.socket(socket.AF_INET6) as sock, pytest.raises(OverflowError):
        sock.bind((HOSTv6, 0, flow_label))


@pytest.mark.parametrize("scope", ["name", "number"])
def test_a_scope_is_resolved_to_its_number_and_the_address_is_lower_cased(loopback_index: int, scope: str) -> None:
    zone = "lo" if scope == "name" else str(loopback_index)
    (found,) = socket.getaddrinfo(
        f"ff02::1DE:c0:face:8D%{zone}", 80, socket.AF_INET6, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
    )
    assert found[4] == ("ff02::1de:c0:face:8d", 80, 0, loopback_index)


def test_an_address_of_a_scope_is_written_with_its_interface(loopback_index: int) -> None:
    assert socket.getnameinfo(("fe80::ab", 80, 0, loopback_index), NUMERIC) == ("fe80::ab%lo", "80")


def test_a_scope_that_does_not_exist_is_refused() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("fe80::1%no-such-interface", 80, flags=socket.AI_NUMERICHOST)


@pytest.mark.usefixtures("http_is_known")
def test_a_service_and_its_port_agree() -> None:
    assert socket.getservbyname("http") == socket.getservbyname("http", "tcp") == 80
    assert socket.getservbyport(80, "tcp") == "http"
    assert socket.getservbyport(80) in {"http", "www"}


@pytest.mark.usefixtures("http_is_known")
def test_an_unknown_service_or_protocol_is_an_error() -> None:
    with pytest.raises(OSError, match="service/proto not found"):
        socket.getservbyname("no such service")
    with pytest.raises(OSError, match="service/proto not found"):
        socket.getservbyname("http", "no such protocol")


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_has_sixteen_bits(port: int) -> None:
    with pytest.raises(OverflowError, match="port must be 0-65535"):
        socket.getservbyport(port)


def test_names_and_numbers_agree() -> None:
    interfaces = socket.if_nameindex()
    assert interfaces
    assert [(socket.if_nametoindex(name), name) for _, name in interfaces] == interfaces
    assert [(index, socket.if_indextoname(index)) for index, _ in interfaces] == interfaces


def test_an_unknown_interface_is_an_error() -> None:
    with pytest.raises(OSError):
        socket.if_nametoindex("no-such-interface")
    with pytest.raises(OSError):
        socket.if_indextoname(0)


@pytest.mark.parametrize(
    ("call", "argument", "error"),
    [
        pytest.param("if_indextoname", "1", TypeError, id="text for a number"),
        pytest.param("if_indextoname", -1, OverflowError, id="negative number"),
        pytest.param("if_indextoname", 2**70, OverflowError, id="huge number"),
        pytest.param("if_nametoindex", 1, TypeError, id="number for a name"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused(call: str, argument: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(socket, call)(argument)
