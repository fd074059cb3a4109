"""The fixtures, alone, under the ecosystem's names, and in several pytest-xdist workers at once."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netsupport import HOST, Guarantee, RunningServer, leases, reserve_port, wildcards
from netsupport.pytest_plugin import PortFactory
from netsupport.tests.conftest import python
from netsupport.tests.scenes import NET_S

pytest_plugins = ("pytester",)


def test_a_tcp_port_is_an_int_that_is_reserved(
    netsupport_tcp_port: int, netsupport_tcp_port_factory: PortFactory
) -> None:
    assert type(netsupport_tcp_port) is int
    assert (
        netsupport_tcp_port_factory.guarantee(netsupport_tcp_port) == Guarantee.HOLD_THROUGH
        or sys.platform != "linux"
    )
    with socket.create_server((HOST, netsupport_tcp_port)):
        pass


def test_a_udp_port_is_an_int_that_can_be_bound(netsupport_udp_port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, netsupport_udp_port))


def test_factories_give_no_port_twice(
    netsupport_tcp_port_factory: PortFactory, netsupport_udp_port_factory: PortFactory
) -> None:
    for factory in (netsupport_tcp_port_factory, netsupport_udp_port_factory):
        assert len({factory() for _ in range(20)}) == 20


def test_a_factory_gives_a_lease_for_a_server_that_does_not_reuse_its_address(
    netsupport_tcp_port_factory: PortFactory,
) -> None:
    port = netsupport_tcp_port_factory(child_reuses_address=False)
    assert netsupport_tcp_port_factory.guarantee(port) == Guarantee.LEASE
    wildcards.close_all(wildcards.claim_everywhere(port, socket.SOCK_STREAM))


def test_a_port_whose_reservation_is_over_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(PortFactory("tcp")) as factory:
        with factory.for_one_test() as first:
            pass
        repeated = [leases.PortLease(first, HOST, Guarantee.PICK, "") for _ in range(2)]

        def reserve(*arguments: Any, **options: Any) -> leases.PortLease:
            return repeated.pop() if repeated else reserve_port(*arguments, **options)

        monkeypatch.setattr("netsupport.pytest_plugin.reserve_port", reserve)
        assert factory() != first
        assert repeated == []


def test_a_listening_socket_accepts(netsupport_listening_socket: socket.socket) -> None:
    with socket.create_connection(netsupport_listening_socket.getsockname(), NET_S):
        netsupport_listening_socket.accept()[0].close()


def test_a_refused_port_refuses(netsupport_refused_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, netsupport_refused_port))


def test_servers_run_until_the_end_of_the_test(netsupport_running_server: Callable[..., RunningServer]) -> None:
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "{host}", "{port}"]
    servers = [netsupport_running_server(command) for _ in range(2)]
    assert len({server.port for server in servers}) == 2
    for server in servers:
        socket.create_connection(server.address, NET_S).close()


def test_the_fixture_takes_a_function_of_the_port(
    netsupport_running_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    def command(port: int) -> list[str]:
        (tmp_path / "port").write_text(str(port))
        code = "import socket, sys; socket.create_server(('127.0.0.1', int(open('port').read()))).accept()"
        return [sys.executable, "-c", code]

    server = netsupport_running_server(command, cwd=tmp_path)
    socket.create_connection(server.address, NET_S).close()


ECOSYSTEM = """
    import socket

    def test_names(
        unused_tcp_port, unused_tcp_port_factory, unused_udp_port, unused_udp_port_factory, free_tcp_port,
        free_tcp_port_factory,
    ):
        ports = [unused_tcp_port, free_tcp_port, unused_tcp_port_factory(), free_tcp_port_factory()]
        assert len(set(ports)) == 4
        udp_ports = [unused_udp_port, unused_udp_port_factory()]
        for kind, numbers in ((socket.SOCK_STREAM, ports), (socket.SOCK_DGRAM, udp_ports)):
            for port in numbers:
                assert type(port) is int
                with socket.socket(type=kind) as sock:
                    sock.bind(("127.0.0.1", port))
"""


def test_the_ecosystems_names_are_served_when_the_ini_file_asks_for_them(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nnetsupport_ecosystem_names = true\n")
    pytester.makepyfile(ECOSYSTEM)
    pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_otherwise_the_ecosystems_names_are_left_to_other_plug_ins(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_name(unused_tcp_port): pass")
    outcome = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines(["*fixture 'unused_tcp_port' not found"])


def test_every_fixture_begins_with_the_packages_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("")
    outcome = pytester.runpytest_inprocess("--fixtures", "-v", "-p", "no:cacheprovider")
    named = [line.split()[0] for line in outcome.outlines if "netsupport/pytest_plugin.py" in line]
    assert len(named) == 7
    assert all(name.startswith("netsupport_") for name in named)


ONE_WORKER = """
    import os, socket

    def test_take_many(netsupport_tcp_port_factory, netsupport_udp_port_factory):
        ports = [netsupport_tcp_port_factory() for _ in range(40)]
        ports += [netsupport_udp_port_factory() for _ in range(40)]
        with socket.create_connection(("127.0.0.1", int(os.environ["MEETING"])), 30) as meeting:
            meeting.sendall(" ".join(map(str, ports)).encode() + b"\\n")
            # No worker goes on before all have arrived.
            assert meeting.recv(1) == b""
"""


def test_workers_of_xdist_that_run_at_once_never_share_a_port(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(ONE_WORKER)
    workers = 3
    with socket.create_server((HOST, 0)) as meeting:
        meeting.settimeout(4 * NET_S)
        monkeypatch.setenv("MEETING", str(meeting.getsockname()[1]))
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--dist=each", "-p", "no:cacheprovider"]
        with subprocess.Popen(
            command, cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as running:
            taken: list[int] = []
            with contextlib.ExitStack() as kept:
                for _ in range(workers):
                    guest = kept.enter_context(meeting.accept()[0])
                    guest.settimeout(NET_S)
                    with guest.makefile("rb") as lines:
                        taken += map(int, lines.readline().split())
            output, _ = running.communicate(timeout=4 * NET_S)
    assert running.returncode == 0, output.decode()
    assert (len(taken), len(set(taken))) == (workers * 80, workers * 80)


def test_the_plug_in_needs_no_xdist() -> None:
    code = "import sys; import netsupport.pytest_plugin; sys.exit('xdist' in sys.modules)"
    assert python("-c", code).returncode == 0
