"""pytest fixtures for ports; every name begins with `netsupport_`.

`netsupport_tcp_port`, `netsupport_udp_port` · `netsupport_tcp_port_factory`, `netsupport_udp_port_factory` (for the
whole session, no port twice) · `netsupport_listening_socket` · `netsupport_refused_port` ·
`netsupport_running_server`. They work with and without pytest-xdist: a reservation excludes all other processes.

With `netsupport_ecosystem_names = true` in the ini file this plug-in also provides the well-known fixtures of other
plug-ins: `unused_tcp_port`, `unused_udp_port`, `free_tcp_port`, each with its `_factory`. Off by default: if two
plug-ins define the same fixture, pytest silently takes the one that was registered last.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netsupport.leases import Guarantee, Kind, PortLease, refused_port, reserve_port
from netsupport.ports import HOST, listening_socket
from netsupport.running_server import RunningServer, running_server
from netsupport.server_command import Command

ECOSYSTEM_NAMES = "netsupport_ecosystem_names"


class PortFactory:
    """Call it for a port that it has not returned before. All its ports stay reserved until `close()`."""

    def __init__(self, kind: Kind, *, child_reuses_address: bool = True) -> None:
        self._kind: Kind = kind
        self._child_reuses_address = child_reuses_address
        self._leases: dict[int, PortLease] = {}

    def __call__(self, host: str = HOST, *, child_reuses_address: bool | None = None) -> int:
        """As `reserve_port`. *child_reuses_address*: None for the default of this factory."""
        reuses = self._child_reuses_address if child_reuses_address is None else child_reuses_address
        with contextlib.ExitStack() as repeats:
            while True:
                lease = reserve_port(host, kind=self._kind, child_reuses_address=reuses)
                if lease.port not in self._leases:
                    self._leases[lease.port] = lease
                    return lease.port
                # Keep this one until another port is found: the kernel might assign it again at once.
                repeats.enter_context(lease)

    @contextlib.contextmanager
    def for_one_test(self) -> Iterator[int]:
        """A port that is reserved within the body, and that this factory never returns again."""
        port = self()
        yield port
        self._leases[port].release()

    def guarantee(self, port: int) -> Guarantee:
        """How well *port*, which this factory returned, is kept."""
        return self._leases[port].guarantee

    def close(self) -> None:
        """Release all ports."""
        for lease in self._leases.values():
            lease.release()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini switch."""
    parser.addini(
        ECOSYSTEM_NAMES,
        "let netsupport provide the fixtures unused_tcp_port, unused_udp_port, free_tcp_port and their factories",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures of other plug-ins if the ini switch is on."""
    if config.getini(ECOSYSTEM_NAMES):
        config.pluginmanager.register(_EcosystemNames(), "netsupport-ecosystem-names")


@pytest.fixture(scope="session")
def netsupport_tcp_port_factory() -> Iterator[PortFactory]:
    """Call it for a TCP port that stays reserved until the end of the session; no port is returned twice."""
    with contextlib.closing(PortFactory("tcp")) as factory:
        yield factory


@pytest.fixture(scope="session")
def netsupport_udp_port_factory() -> Iterator[PortFactory]:
    """Call it for a UDP port that stays reserved until the end of the session; no port is returned twice."""
    with contextlib.closing(PortFactory("udp")) as factory:
        yield factory


@pytest.fixture
def netsupport_tcp_port(netsupport_tcp_port_factory: PortFactory) -> Iterator[int]:
    """A TCP port reserved for this test, for a server that sets SO_REUSEADDR. Source: `netsupport.reserve_port`."""
    with netsupport_tcp_port_factory.for_one_test() as port:
        yield port


@pytest.fixture
def netsupport_udp_port(netsupport_udp_port_factory: PortFactory) -> Iterator[int]:
    """A UDP port reserved for this test."""
    with netsupport_udp_port_factory.for_one_test() as port:
        yield port


@pytest.fixture
def netsupport_listening_socket() -> Iterator[socket.socket]:
    """A TCP socket that listens on HOST, on a port that the kernel assigned."""
    with listening_socket() as sock:
        yield sock


@pytest.fixture
def netsupport_refused_port() -> Iterator[int]:
    """A TCP port that refuses connections during the whole test."""
    with refused_port() as lease:
        yield lease.port


@pytest.fixture
def netsupport_running_server() -> Iterator[Callable[..., RunningServer]]:
    """Call it like `netsupport.running_server`; the server runs until the end of the test."""
    with contextlib.ExitStack() as servers:

        def start(command: Command, **options: Any) -> RunningServer:
            return servers.enter_context(running_server(command, **options))

        yield start


class _EcosystemNames:
    """The fixtures of pytest-asyncio and anyio. These ports are leases, so that any server can bind them."""

    @pytest.fixture(scope="session")
    def unused_tcp_port_factory(self) -> Iterator[PortFactory]:
        """As in pytest-asyncio, and reserved until the end of the session."""
        with contextlib.closing(PortFactory("tcp", child_reuses_address=False)) as factory:
            yield factory

    @pytest.fixture(scope="session")
    def unused_udp_port_factory(self) -> Iterator[PortFactory]:
        """As in pytest-asyncio, and reserved until the end of the session."""
        with contextlib.closing(PortFactory("udp")) as factory:
            yield factory

    @pytest.fixture(scope="session")
    def free_tcp_port_factory(self, unused_tcp_port_factory: PortFactory) -> PortFactory:
        """As in anyio, and reserved until the end of the session."""
        return unused_tcp_port_factory

    @pytest.fixture
    def unused_tcp_port(self, unused_tcp_port_factory: PortFactory) -> Iterator[int]:
        """As in pytest-asyncio, and reserved for this test."""
        with unused_tcp_port_factory.for_one_test() as port:
            yield port

    @pytest.fixture
    def unused_udp_port(self, unused_udp_port_factory: PortFactory) -> Iterator[int]:
        """As in pytest-asyncio, and reserved for this test."""
        with unused_udp_port_factory.for_one_test() as port:
            yield port

    @pytest.fixture
    def free_tcp_port(self, free_tcp_port_factory: PortFactory) -> Iterator[int]:
        """As in anyio, and reserved for this test."""
        with free_tcp_port_factory.for_one_test() as port:
            yield port
