"""Ports that other tests and programs cannot take: helpers, reserved ports, pytest fixtures."""

from netsupport.leases import (
    Guarantee,
    LeaseError,
    PortLease,
    PortLeases,
    refused_port,
    reserve_port,
    reserve_ports,
)
from netsupport.ports import (
    HOST,
    HOSTv4,
    HOSTv6,
    PortGuardError,
    bind_port,
    bind_unix_socket,
    bound_socket,
    find_unused_port,
    listening_socket,
)
from netsupport.running_server import RunningServer, ServerError, running_server

__all__ = [
    "HOST",
    "Guarantee",
    "HOSTv4",
    "HOSTv6",
    "LeaseError",
    "PortGuardError",
    "PortLease",
    "PortLeases",
    "RunningServer",
    "ServerError",
    "bind_port",
    "bind_unix_socket",
    "bound_socket",
    "find_unused_port",
    "listening_socket",
    "refused_port",
    "reserve_port",
    "reserve_ports",
    "running_server",
]
