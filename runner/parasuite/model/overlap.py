"""Which endpoints are in each other's way: pure rules, per operating system.

Two sockets overlap when some client could mean either: the same number on 127.0.0.1 and on 0.0.0.0 does, on
127.0.0.1 and on ::1 it does not. Whether the kernel then refuses the second bind depends on options and on the order
(on Linux: refused unless both set SO_REUSEPORT, or SO_REUSEADDR on UDP and on sockets that do not listen); macOS and
Windows let many overlapping pairs coexist without any option, which is why an overlap and a refusal are two findings.
"""

from __future__ import annotations

import ipaddress
import sys
from functools import lru_cache

from parasuite.model.events import Endpoint
from parasuite.model.words import Protocol, SocketOption

HOST_OS = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
V4_WILDCARD = "0.0.0.0"
V6_WILDCARD = "::"
VSOCK_ANY = "4294967295"  # VMADDR_CID_ANY, as an unsigned number


@lru_cache(maxsize=4096)
def canonical_address(address: str) -> str:
    """*address* in the one spelling that equal addresses share.

    A v4-mapped address (::ffff:127.0.0.1, what Java binds) is the v4 address; a scope ("%eth0") stays; what is not
    an internet address (a path, a name) comes back unchanged.
    """
    bare, percent, scope = address.partition("%")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{parsed}{percent}{scope}"


def canonical(endpoint: Endpoint) -> Endpoint:
    """*endpoint* with its address canonical; the v4-mapped wildcard ::ffff:0.0.0.0 is 0.0.0.0."""
    address = canonical_address(endpoint.address)
    if address == endpoint.address:
        return endpoint
    return endpoint._replace(address=address)


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Whether only this host can reach *address*. A wildcard is not loopback."""
    try:
        return ipaddress.ip_address(canonical_address(address).partition("%")[0]).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def is_multicast(address: str) -> bool:
    """Whether *address* is a group's: many sockets are meant to be bound to it at once."""
    try:
        return ipaddress.ip_address(canonical_address(address).partition("%")[0]).is_multicast
    except ValueError:
        return False


def is_wildcard(address: str) -> bool:
    """Whether a socket bound to *address* is reached by every address of its family."""
    return canonical_address(address) in (V4_WILDCARD, V6_WILDCARD)


def takes_v4(endpoint: Endpoint, os: str = HOST_OS) -> bool:
    """Whether a socket bound to *endpoint* is reached by v4 addresses: a v4 one, or a dual-stack `::`.

    Where the sensor could not tell whether `::` is v6-only, the default of *os* counts: dual-stack except on Windows.
    (On Linux that makes an overlap with an unknown `::` a possible one, never a missed one.)
    """
    if ":" not in endpoint.address:
        return True
    if endpoint.address != V6_WILDCARD:
        return False
    if endpoint.v6only is None:
        return os != "windows"
    return not endpoint.v6only


def overlaps(first: Endpoint, second: Endpoint, os: str = HOST_OS) -> bool:
    """Whether one client could reach either of two sockets bound to *first* and *second*.

    *os*: "linux", "macos" or "windows". Symmetric; true of an endpoint and itself. Addresses of groups (multicast)
    overlap nothing: to share them is their purpose. Internet endpoints of different network namespaces and of
    different protocols never overlap, nor do abstract Unix names of different namespaces; Unix paths do.
    """
    if first.protocol != second.protocol or first.port != second.port:
        return False
    if first.protocol == Protocol.UNIX:
        in_one_network = first.network == second.network
        return first.address == second.address and (in_one_network or not first.address.startswith("@"))
    if first.protocol == Protocol.VSOCK:
        return first.address == second.address or VSOCK_ANY in (first.address, second.address)
    if first.network != second.network:
        return False
    return _addresses_overlap(canonical(first), canonical(second), os)


def _addresses_overlap(first: Endpoint, second: Endpoint, os: str) -> bool:
    if is_multicast(first.address) or is_multicast(second.address):
        return False
    if first.address == second.address:
        return True
    for one, other in ((first, second), (second, first)):
        if one.address == V4_WILDCARD and takes_v4(other, os):
            return True
        if one.address == V6_WILDCARD and (":" in other.address or takes_v4(one, os)):
            return True
    return False


def may_coexist(
    first: Endpoint,
    first_options: tuple[SocketOption, ...],
    first_listens: bool,
    second: Endpoint,
    second_options: tuple[SocketOption, ...],
    os: str = HOST_OS,
) -> bool:
    """Whether *os* lets *second* be bound while *first*, which overlaps it, is held by the same user.

    Where it does not, a second bind that succeeded proves that the first socket had gone by then. Linux as measured;
    macOS and Windows as their source and their vendor's table say, not measured.
    """
    both = set(first_options) & set(second_options)
    exact = canonical(first).address == canonical(second).address
    if os == "windows":
        return not exact or SocketOption.REUSEADDR in both
    if os == "linux":
        excludes = first_listens and first.protocol != Protocol.UDP
        return SocketOption.REUSEPORT in both or (SocketOption.REUSEADDR in both and not excludes)
    if SocketOption.REUSEPORT in both:
        return True
    if exact:
        return False
    return (
        bool({SocketOption.REUSEADDR, SocketOption.REUSEPORT} & set(second_options)) or first.address == V4_WILDCARD
    )


def reaches(destination: Endpoint, listener: Endpoint, os: str = HOST_OS) -> bool:
    """Whether a client of *destination* can end at a socket bound to *listener*.

    A destination of 0.0.0.0 or `::` means this host (ip(7)): its loopback address.
    """
    address = canonical_address(destination.address)
    meant = {V4_WILDCARD: "127.0.0.1", V6_WILDCARD: "::1"}.get(address, address)
    return overlaps(
        Endpoint(destination.protocol, meant, destination.port, destination.network), canonical(listener), os
    )
