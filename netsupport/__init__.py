"""Ports for tests that other tests cannot take: the helpers, the held ports, the fixtures."""

from netsupport.ports import (
    HOST,
    HOSTv4,
    HOSTv6,
    PortGuardError,
    bind_port,
    bind_unix_socket,
    find_unused_port,
)

__all__ = [
    "HOST",
    "HOSTv4",
    "HOSTv6",
    "PortGuardError",
    "bind_port",
    "bind_unix_socket",
    "find_unused_port",
]
