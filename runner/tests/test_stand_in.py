"""The stand-in's sockets: who is refused because of them, who is let in, and who gets what is sent."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest
from parasuite.model.causes import Cause
from parasuite.model.events import PortTaken, PortVisited
from parasuite.model.suspect import Suspect
from parasuite.model.words import Protocol
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)

from runner.tests.tracing import SOCKETS, only, python, tracer

NOBODY = 65534
KINDS = {Protocol.TCP: "SOCK_STREAM", Protocol.UDP: "SOCK_DGRAM"}
CLIENTS = 20
VISITED = f"""
    address = s.getsockname()
    for _ in range({CLIENTS}):
        c = socket.socket(type=kind); c.connect(address); c.send(b"x")
    """


def provoked(suspect: Suspect, code: str, *, uid: int = 0) -> tuple[list[PortTaken], int]:
    """What was taken while the Python *code* ran, and how many came there. *uid*: of the process, if we are root."""
    with tracer() as made:
        made.watch.provoke(suspect)
        kind = f"kind = socket.{KINDS[suspect.protocol]}\n"
        become = f"os.setuid({uid})\n" if uid else ""
        made.start(python(SOCKETS + become + kind + textwrap.dedent(code)))
        assert made.run() == [0]
        made.watch.finish()
        visits = sum(event.visits for event in only(made.events, PortVisited))
        return only(made.events, PortTaken), visits


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["same user", "another user"])
@pytest.mark.parametrize("option", ["SO_REUSEPORT", "SO_REUSEADDR"])
@pytest.mark.parametrize("protocol", KINDS)
def test_a_fixed_port_is_refused_or_the_stand_in_gets_all_that_is_sent(
    protocol: Protocol, option: str, uid: int
) -> None:
    if uid and os.geteuid() != 0:
        pytest.skip("only root can be another user")
    is_let_in = option == "SO_REUSEPORT" or protocol is Protocol.UDP
    with reserve_port(child_reuses_address=False) as lease:
        port = lease.port
    code = f"""
    s = socket.socket(type=kind)
    s.setsockopt(socket.SOL_SOCKET, socket.{option}, 1)
    try:
        s.bind(("127.0.0.1", {port}))
        if kind == socket.SOCK_STREAM: s.listen({CLIENTS})
    except OSError:
        os._exit({int(is_let_in)})
    """
    taken, visits = provoked(
        Suspect(cause=Cause.HARD_CODED, protocol=protocol, port=port), code + (VISITED if is_let_in else ""), uid=uid
    )
    assert [(each.endpoint.address, each.endpoint.port, each.errno) for each in taken] == [("127.0.0.1", port, "")]
    assert visits == (CLIENTS if is_let_in else 0)


@pytest.mark.parametrize("option", ["SO_REUSEPORT", "SO_REUSEADDR"])
def test_a_second_owner_of_an_assigned_datagram_port_gets_all_that_is_sent(option: str) -> None:
    code = f"""
    s = socket.socket(type=kind)
    s.setsockopt(socket.SOL_SOCKET, socket.{option}, 1)
    s.bind(("127.0.0.1", 0))
    """
    taken, visits = provoked(Suspect(cause=Cause.REUSE, protocol=Protocol.UDP, port=0), code + VISITED)
    assert ([each.errno for each in taken], visits) == ([""], CLIENTS)


def test_a_port_that_its_owner_keeps_bound_for_its_server_is_not_taken() -> None:
    code = """
    held = socket.socket(); held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(held.getsockname()); s.listen()
    """
    assert provoked(Suspect(cause=Cause.LOST_PORT, protocol=Protocol.TCP, port=0), code) == ([], 0)


def test_a_bind_of_a_wildcard_address_is_refused_because_of_a_loopback_address() -> None:
    with reserve_port(child_reuses_address=False) as lease:
        port = lease.port
    code = f"""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        s = socket.socket(family)
        try:
            s.bind((address, {port}))
        except OSError:
            continue
        os._exit(1)
    """
    taken, _ = provoked(Suspect(cause=Cause.HARD_CODED, protocol=Protocol.TCP, port=port), code)
    assert {(each.endpoint.address, each.errno) for each in taken} == {("127.0.0.1", ""), ("::1", "")}


def test_an_address_that_other_hosts_reach_is_not_taken_and_that_is_recorded() -> None:
    with reserve_port(child_reuses_address=False) as lease:
        port = lease.port
    code = f"""
    s = socket.socket()
    try:
        s.bind(("192.0.2.1", {port}))
    except OSError:
        pass
    """
    (taken,), _ = provoked(Suspect(cause=Cause.HARD_CODED, protocol=Protocol.TCP, port=port), code)
    assert taken.errno == "EADDRNOTAVAIL"
