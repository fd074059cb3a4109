"""What the network that this process is in is like, for a new one to take over. Linux."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from parasuite.model.network_plan import PORT_RANGE_SETTING, NetworkPlan

SYS_NET = Path("/proc/sys/net")
# Settings of a network that decide what a bind, a listen or a connection may do. Those of the whole machine (tcp_mem,
# udp_mem) are the same inside anyway. ping_group_range is left out: it names groups that a user namespace lacks.
SETTINGS = (
    "core/optmem_max",
    "core/rmem_default",
    "core/rmem_max",
    "core/somaxconn",
    "core/wmem_default",
    "core/wmem_max",
    "ipv4/ip_autobind_reuse",
    "ipv4/ip_default_ttl",
    "ipv4/ip_local_reserved_ports",
    "ipv4/ip_nonlocal_bind",
    "ipv4/ip_unprivileged_port_start",
    PORT_RANGE_SETTING,
    "ipv4/tcp_abort_on_overflow",
    "ipv4/tcp_fastopen",
    "ipv4/tcp_fin_timeout",
    "ipv4/tcp_keepalive_intvl",
    "ipv4/tcp_keepalive_probes",
    "ipv4/tcp_keepalive_time",
    "ipv4/tcp_max_syn_backlog",
    "ipv4/tcp_max_tw_buckets",
    "ipv4/tcp_retries1",
    "ipv4/tcp_retries2",
    "ipv4/tcp_rmem",
    "ipv4/tcp_syn_retries",
    "ipv4/tcp_synack_retries",
    "ipv4/tcp_syncookies",
    "ipv4/tcp_tw_reuse",
    "ipv4/tcp_wmem",
    "ipv4/udp_rmem_min",
    "ipv4/udp_wmem_min",
    "ipv6/bindv6only",
    "ipv6/conf/all/disable_ipv6",
    "ipv6/conf/default/disable_ipv6",
    "ipv6/conf/lo/disable_ipv6",
    "ipv6/ip_nonlocal_bind",
    "unix/max_dgram_qlen",
)
_FIRST_PORT_MIN = 1024


def plan_network(addresses: Iterable[str], ports: int | None = None) -> NetworkPlan:
    """A network like the one around this process. *addresses*: this host's own. *ports*: how many of the ephemeral
    ports it is to have; None for as many as here.
    """
    settings = {}
    for name in SETTINGS:
        with contextlib.suppress(OSError):
            settings[name] = (SYS_NET / name).read_text()
    return NetworkPlan(
        addresses=tuple(sorted(filter(_is_copied, addresses))),
        settings=settings,
        port_range=None if ports is None else _narrowed(settings.get(PORT_RANGE_SETTING, ""), ports),
    )


def _narrowed(range_here: str, ports: int) -> tuple[int, int]:
    """The first *ports* ports of *range_here*; earlier ones as well if there are not so many from there on."""
    first = int(range_here.split()[0]) if range_here.split() else 32768
    first = max(_FIRST_PORT_MIN, min(first, 65536 - ports))
    return first, first + ports - 1


def _is_copied(address: str) -> bool:
    """Whether it is an address that `lo` can have: no loopback address, and none that means something on one link."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)
