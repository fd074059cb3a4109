"""From bind to release: each socket is reported once, and released before its port is used again."""

from __future__ import annotations

import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from parasuite.judge.findings import find
from parasuite.model.causes import Cause
from parasuite.model.events import Bind, Listen, ProcessSeen, Release
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.filter import ARCHITECTURE
from parasuite.sensors.seccomp.foreign import Kernel

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.tracing import (
    SOCKETS,
    only,
    python,
    trace,
    tracer,
)

if TYPE_CHECKING:
    pass


class WithoutNotices(netlink.Destroyed):
    """As if the kernel's notices were late for ever."""

    def cookies(self) -> Iterator[int]:
        list(super().cookies())
        return iter(())


def test_a_listener_is_seen_from_its_bind_to_its_release() -> None:
    events = trace('s = socket.create_server(("127.0.0.1", 0)); s.close()')
    seen, bind, listen, release = events
    assert isinstance(seen, ProcessSeen)
    assert isinstance(bind, Bind)
    assert isinstance(listen, Listen)
    assert isinstance(release, Release)
    assert bind.asked.port == 0
    assert bind.got is not None
    assert bind.got == listen.got
    assert bind.got.address == "127.0.0.1"
    assert bind.options == ("reuseaddr",)
    assert bind.cookie == listen.cookie == release.cookie != 0
    assert bind.caller.process.pid == bind.caller.tid == seen.caller.process.pid
    assert (seen.name, seen.command.split()[0]) == (os.path.basename(sys.executable), sys.executable)


def test_a_port_that_the_kernel_assigns_again_was_released_although_the_notice_is_late() -> None:
    # Each socket may be assigned only this port (IP_LOCAL_PORT_RANGE, ip(7)). Exit status 75: another program has it.
    code = """
        import errno, struct
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
        for _ in range(3):
            with socket.socket() as sock:
                sock.setsockopt(socket.IPPROTO_IP, 51, struct.pack("@I", port << 16 | port))
                try:
                    sock.bind(("127.0.0.1", 0))
                except OSError as refusal:
                    os._exit(75 if refusal.errno == errno.EADDRINUSE else 1)
        """
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, 51, bytes(4))
        except OSError:
            pytest.skip("IP_LOCAL_PORT_RANGE is missing (Linux before 6.3)")
    for _ in range(16):
        with tracer(kernel=Kernel(destroyed=WithoutNotices)) as made:
            made.start(python(SOCKETS + textwrap.dedent(code)))
            status, events = made.run(), made.events
        if status != [75]:
            break
    assert status == [0]
    assert len(only(events, Bind)) == 4
    held: set[int] = set()
    for event in events:
        if isinstance(event, Bind):
            assert held == set()
            held.add(event.cookie)
        elif isinstance(event, Release):
            held.discard(event.cookie)


def test_one_socket_in_two_processes_is_released_with_its_last_reference() -> None:
    events = trace(
        """
        s = socket.create_server(("127.0.0.1", 0))
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(write); os.read(read, 1); os._exit(0)
        s.close()
        for _ in range(20):
            t = socket.create_server(("127.0.0.1", 0)); t.close()
        os.close(write); os.wait()
        """
    )
    # The kernel may tell of two ends in either order, but never of an end before it has come.
    binds = [number for number, event in enumerate(events) if isinstance(event, Bind)]
    shared = next(event.cookie for event in events if isinstance(event, Bind))
    released = [
        number for number, event in enumerate(events) if isinstance(event, Release) and event.cookie == shared
    ]
    assert len(binds) == 21
    assert len(released) == 1
    assert released[0] > binds[-1]


def test_a_port_that_was_closed_is_free_for_the_same_program_at_once(port_outside_the_ephemeral_range: int) -> None:
    trace(
        f"""
        for _ in range(600):
            s = socket.socket(); s.bind(("127.0.0.1", {port_outside_the_ephemeral_range})); s.close()
        """
    )


def test_a_port_that_is_bound_again_at_once_was_released_before() -> None:
    # Where another program is assigned the port in between, the next one is tried.
    events = trace(
        """
        rebound = 0
        for _ in range(2000):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
            with socket.socket() as t:
                try: t.bind(("127.0.0.1", port))
                except OSError: continue
            rebound += 1
            if rebound == 200: break
        assert rebound == 200
        """
    )
    (finding,) = find(sorted(events, key=lambda event: event.t_ns)).findings
    assert (finding.cause, finding.count) == (Cause.LOST_PORT, 200)


def test_every_listener_that_opens_and_closes_at_once_is_seen_with_its_release() -> None:
    count = 3000
    events = trace(f'for _ in range({count}):\n    s = socket.create_server(("127.0.0.1", 0)); s.close()')
    assert [len(only(events, kind)) for kind in (Bind, Listen, Release)] == [count] * 3


def test_multipath_tcp_is_released_under_the_cookie_that_the_tables_know() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError as error:
        pytest.skip(f"this kernel has no multipath TCP: {error}")
    events = trace(
        's = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); s.bind(("127.0.0.1", 0)); s.listen(); s.close()'
    )
    bind, listen, release = (only(events, kind)[0] for kind in (Bind, Listen, Release))
    assert isinstance(bind, Bind)
    assert isinstance(listen, Listen)
    assert isinstance(release, Release)
    assert bind.cookie == listen.cookie == release.cookie
