"""The addresses of this host: a connection to one of them stays within the host."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

import psutil


def host_addresses() -> tuple[frozenset[str], str]:
    """The addresses of every interface; none, and why, if they are not known.

    psutil asks the kernel over a netlink socket, which a sandbox may refuse (systemd's RestrictAddressFamilies, a
    container's seccomp profile). Then Linux's tables in /proc are read.
    """
    try:
        return frozenset(
            address.address.partition("%")[0]
            for interface in psutil.net_if_addrs().values()
            for address in interface
            if address.family in (socket.AF_INET, socket.AF_INET6)
        ), ""
    except OSError as error:
        found = _in_proc()
        if found:
            return found, ""
        why = f"the addresses of this host are not known: {error.strerror}"
        return frozenset(), why


def _in_proc() -> frozenset[str]:
    """What the kernel's tables list, empty if they cannot be read. Source: proc_pid_net(5)."""
    found = set()
    with contextlib.suppress(OSError):
        address = ""
        for line in Path("/proc/net/fib_trie").read_text().splitlines():
            # An address, and below it how it is routed: "|-- 127.0.0.1", then "/32 host LOCAL".
            if line.strip().startswith("|-- "):
                address = line.split()[1]
            elif line.split() == ["/32", "host", "LOCAL"]:
                found.add(address)
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))))
    return frozenset(found)
