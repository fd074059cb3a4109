"""What a traced program did on a real kernel is what the events say, and it gets what it would get untraced."""

from __future__ import annotations

import errno
import os
import socket
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from parasuite.judge.findings import find
from parasuite.model.events import Bind, Connect, Listen, ProcessSeen, Send
from parasuite.sensors.seccomp.filter import ARCHITECTURE

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.tracing import (
    ON_THE_LOOPBACK_DEVICE,
    SOCKETS,
    only,
    python,
    trace,
    tracer,
)

if TYPE_CHECKING:
    pass


def test_the_caller_gets_what_the_kernel_would_have_given() -> None:
    trace(
        """
        import errno
        s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
        port = s.getsockname()[1]
        t = socket.socket()
        for address, wanted in (("127.0.0.1", errno.EADDRINUSE), ("192.0.2.7", errno.EADDRNOTAVAIL)):
            assert t.connect_ex(("127.0.0.1", port)) == 0 and t.close() is None
            t = socket.socket()
            try:
                t.bind((address, port))
            except OSError as error:
                assert error.errno == wanted, error
            else:
                raise AssertionError
        """
    )


def test_a_bind_of_a_descriptor_that_is_not_a_socket_fails_as_it_would_untraced() -> None:
    events = trace(
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.bind(0, bytes(16), 16) == -1 and ctypes.get_errno() == 88
        assert libc.bind(999, bytes(16), 16) == -1 and ctypes.get_errno() == 9
        assert libc.listen(999, 1) == -1 and ctypes.get_errno() == 9
        """
    )
    assert [type(event) for event in events] == [ProcessSeen]


def test_a_wildcard_on_the_loopback_device_is_distinguished_from_one_on_every_device() -> None:
    events = trace(ON_THE_LOOPBACK_DEVICE)
    reported = [(type(event), event.options) for event in events if isinstance(event, Bind | Listen)]
    device = ("loopback-device",)
    assert reported == [(Bind, device), (Listen, device), (Bind, ()), (Listen, ())]


def test_a_listen_without_a_bind_names_the_port_that_the_kernel_chose() -> None:
    (listen,) = only(trace("s = socket.socket(); s.listen()"), Listen)
    assert isinstance(listen, Listen)
    assert listen.got is not None
    assert listen.got.port > 0


def test_a_refused_bind_names_the_holder_of_the_port(port_outside_the_ephemeral_range: int) -> None:
    port = port_outside_the_ephemeral_range
    with tracer() as made, socket.create_server(("127.0.0.1", port)):
        made.start(python(SOCKETS + f's = socket.socket()\ntry: s.bind(("0.0.0.0", {port}))\nexcept OSError: pass'))
        assert made.run() == [0]
        (bind,) = only(made.events, Bind)
        assert isinstance(bind, Bind)
        assert (bind.errno, bind.got) == ("EADDRINUSE", None)
        assert [(holder.party, holder.pid, holder.state) for holder in bind.holders] == [
            (None, os.getpid(), "listen")
        ]


def test_a_bind_refused_by_a_connection_that_its_process_has_closed_has_no_effect() -> None:
    # Closed on one side only, it is not in TIME_WAIT yet: no process has it, and no table names an owner.
    events = trace(
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            port = client.getsockname()[1]
            accepted, _ = server.accept()
        client.close()
        with socket.socket() as late:
            try:
                late.bind(("127.0.0.1", port))
            except OSError:
                pass
        accepted.close()
        """
    )
    refused = only(events, Bind)[-1]
    assert isinstance(refused, Bind)
    assert refused.errno == "EADDRINUSE"
    # Earlier connections with the same number may be in TIME_WAIT: the kernel gives it for another destination again.
    holders = {(holder.party, holder.pid, holder.state) for holder in refused.holders}
    assert holders - {(None, 0, "time-wait")} == {(None, 0, "gone")}
    # A port that was bound by number, and nothing more.
    assert [(found.severity, found.effects) for found in find(events).findings] == [("note", ())]


def test_a_connection_and_a_datagram_to_this_host_are_reported_with_their_destination() -> None:
    events = trace(
        """
        s = socket.create_server(("127.0.0.1", 0)); port = s.getsockname()[1]
        c = socket.create_connection(("127.0.0.1", port))
        u = socket.socket(type=socket.SOCK_DGRAM)
        for _ in range(3): u.sendto(b"x", ("127.0.0.1", port))
        """
    )
    (bind,) = only(events, Bind)
    assert isinstance(bind, Bind)
    assert bind.got is not None
    (connect,), (send,) = only(events, Connect), only(events, Send)
    assert isinstance(connect, Connect)
    assert isinstance(send, Send)
    assert connect.destination == bind.got
    assert (send.destination.protocol, send.destination.port) == ("udp", bind.got.port)


def test_a_vsock_port_is_reported_as_an_attempt() -> None:
    events = trace(
        """
        try:
            socket.socket(socket.AF_VSOCK).bind((socket.VMADDR_CID_ANY, 1234))
        except OSError:
            pass
        """
    )
    assert [(e.asked.protocol, e.asked.port, e.errno) for e in events if isinstance(e, Bind)] in (
        [("vsock", 1234, "?")],
        [],  # A kernel without AF_VSOCK refuses the socket itself.
    )


def test_a_unix_socket_is_made_with_the_callers_own_owner_and_umask(tmp_path: Path) -> None:
    with tracer() as made:
        code = 's = socket.socket(socket.AF_UNIX); s.bind("s")'

        def before() -> None:
            os.chdir(tmp_path)
            os.umask(0o177)

        made.start(python(SOCKETS + code), before=before)
        assert made.run() == [0]
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_a_bind_of_a_port_below_1024_depends_on_the_callers_own_privilege() -> None:
    code = """
        import ctypes
        if os.getuid() == 0:
            os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        start = int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read())
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", 1))
        except PermissionError:
            assert start > 1
        else:
            assert start <= 1
        """
    (bind,) = only(trace(code), Bind)
    assert isinstance(bind, Bind)
    assert bind.asked.port == 1


@pytest.mark.parametrize(
    ("address", "length", "refused"),
    [
        ("here", 129, errno.EINVAL),
        ("here", -1, errno.EINVAL),
        ("None", 0, errno.EINVAL),
        ("None", 16, errno.EFAULT),
    ],
)
def test_an_address_that_the_kernel_does_not_accept_is_refused_as_it_would_be_untraced(
    address: str, length: int, refused: int
) -> None:
    code = f"""
        import ctypes, struct
        libc = ctypes.CDLL(None, use_errno=True)
        here = ctypes.create_string_buffer(struct.pack("=HH4B", socket.AF_INET, 0, 127, 0, 0, 1), 256)
        s = socket.socket()
        assert libc.bind(s.fileno(), {address}, {length}) == -1
        raise SystemExit(ctypes.get_errno())
        """
    with tracer() as made:
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [refused]
        assert (made.watch.notes(), [event for event in made.events if isinstance(event, Bind)]) == ([], [])


def test_the_filter_does_not_trap_calls_without_an_internet_address() -> None:
    with tracer() as made:
        code = """
        a, b = socket.socketpair(); a.send(b"x")
        s = socket.socket(socket.AF_UNIX)
        try: s.connect("/nonexistent/and/long/enough")
        except OSError: pass
        """
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [0]
        assert made.watch.calls == 0
