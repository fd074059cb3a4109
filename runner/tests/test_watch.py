"""The exact sensors on a real kernel: what a traced program did is what the events say."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import pytest
from parasuite.judge.findings import find
from parasuite.model.events import Bind, Connect, Event, Listen, ProcessSeen, Release, Send
from parasuite.model.location import Location
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.party import Party
from parasuite.sensors import netlink, proc
from parasuite.sensors.recorder import _parasuite_page as layout
from parasuite.sensors.seccomp import callers, calls, kernel
from parasuite.sensors.seccomp.calls import Calls
from parasuite.sensors.seccomp.socket_info import Networks

from netsupport.tests import namespaces

if sys.platform != "linux" or kernel.ARCHITECTURE is None:
    pytest.skip("seccomp is Linux's, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.recording import RECORDER, environment
from runner.tests.tracing import Tracer, python, tracer

if TYPE_CHECKING:
    import _socket

SOCKETS = "import os, socket\n"
BINDS = 's = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); assert s.getsockname()[1]'


def trace(code: str, *, expected: int = 0) -> list[Event]:
    """The events of one traced Python that runs *code*."""
    with tracer() as made:
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [expected]
        return made.events


Made = TypeVar("Made", bound=Event)


def only(events: list[Event], kind: type[Made]) -> list[Made]:
    return [event for event in events if isinstance(event, kind)]


def test_a_number_that_the_kernel_gives_again_was_released_although_it_has_not_told_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    received = netlink.Destroyed.cookies

    def none(destroyed: netlink.Destroyed) -> list[int]:
        list(received(destroyed))
        return []

    monkeypatch.setattr(netlink.Destroyed, "cookies", none)
    for _ in range(16):
        with tracer() as made:
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


def test_a_bind_of_what_is_no_socket_fails_as_ever() -> None:
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


ON_THE_LOOPBACK_DEVICE = """
    for device in (b"lo", b""):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        s.bind(("", 0)); s.listen(); s.close()
"""


def test_a_wildcard_on_the_loopback_device_is_told_from_one_on_every_device() -> None:
    events = trace(ON_THE_LOOPBACK_DEVICE)
    told = [(type(event), event.options) for event in events if isinstance(event, Bind | Listen)]
    device = ("loopback-device",)
    assert told == [(Bind, device), (Listen, device), (Bind, ()), (Listen, ())]


def test_a_listen_without_a_bind_names_the_port_that_the_kernel_chose() -> None:
    (listen,) = only(trace("s = socket.socket(); s.listen()"), Listen)
    assert isinstance(listen, Listen)
    assert listen.got is not None
    assert listen.got.port > 0


def test_a_refused_bind_names_the_holder_that_stood_there(port_outside_the_ephemeral_range: int) -> None:
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


def test_a_bind_refused_by_a_connection_that_its_process_has_closed_is_laid_to_nobody() -> None:
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
    assert find(events).findings == ()


def test_a_connection_and_a_datagram_to_this_host_are_told_with_where_they_went() -> None:
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


def test_unix_sockets_are_told_as_attempts_with_their_full_path(tmp_path: Path) -> None:
    with tracer() as made:
        code = (
            's = socket.socket(socket.AF_UNIX); s.bind("s"); t = socket.socket(socket.AF_UNIX); t.bind("\\0a-name")'
        )
        made.start(python(SOCKETS + code), before=lambda: os.chdir(tmp_path))
        assert made.run() == [0]
        told = [(e.asked.protocol, e.asked.address, e.errno) for e in made.events if isinstance(e, Bind)]
        assert told == [("unix", str(tmp_path / "s"), "?"), ("unix", "@a-name", "?")]


def test_a_vsock_port_is_told_as_an_attempt() -> None:
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


def test_a_port_below_1024_is_left_to_the_callers_own_privilege() -> None:
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


def test_one_socket_in_two_processes_is_released_with_its_last_reference() -> None:
    events = trace(
        """
        s = socket.create_server(("127.0.0.1", 0))
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(write); os.read(read, 1); os._exit(0)
        s.close()
        t = socket.create_server(("127.0.0.1", 0)); t.close()
        os.close(write); os.wait()
        """
    )
    binds = [event.cookie for event in events if isinstance(event, Bind)]
    releases = [event.cookie for event in events if isinstance(event, Release)]
    assert releases == [binds[1], binds[0]]


def test_a_port_that_was_closed_is_free_for_the_same_program_at_once(port_outside_the_ephemeral_range: int) -> None:
    trace(
        f"""
        for _ in range(600):
            s = socket.socket(); s.bind(("127.0.0.1", {port_outside_the_ephemeral_range})); s.close()
        """
    )


def test_a_number_that_is_bound_again_at_once_was_released_before() -> None:
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
    rebinds = [finding for finding in find(sorted(events, key=lambda e: e.t_ns)).findings if finding.kind == "rebind"]
    assert sum(finding.count for finding in rebinds) == 200


def test_every_listener_that_opens_and_closes_at_once_is_seen_with_its_release() -> None:
    count = 3000
    events = trace(f'for _ in range({count}):\n    s = socket.create_server(("127.0.0.1", 0)); s.close()')
    assert [len(only(events, kind)) for kind in (Bind, Listen, Release)] == [count] * 3


def test_calls_of_all_threads_are_told_apart() -> None:
    events = trace(
        """
        import threading
        threads = [threading.Thread(target=lambda: socket.create_server(("127.0.0.1", 0)).close()) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    binds = only(events, Bind)
    assert len({event.caller.process.pid for event in binds}) == 1
    assert len(binds) == 8


def test_a_daemon_that_left_its_session_and_its_parent_is_still_its_copys() -> None:
    events = trace(
        """
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                socket.create_server(("127.0.0.1", 0)).close()
                os.write(write, b"x")
            os._exit(0)
        os.wait(); os.read(read, 1)
        """
    )
    assert [event.party for event in only(events, Bind)] == [Party(0)]


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


def test_a_child_that_is_killed_in_a_call_holds_nobody_up() -> None:
    with tracer() as made:
        child = made.start(
            python(SOCKETS + "while True:\n    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()")
        )
        other = made.start(python(SOCKETS + 'socket.create_server(("127.0.0.1", 0))'), copy=1)
        killer = subprocess.Popen([sys.executable, "-c", f"import os; os.kill({child.pid}, {int(signal.SIGKILL)})"])
        assert made.run() == [-signal.SIGKILL, 0]
        assert other.copy == 1
        killer.wait()


def test_a_filter_within_a_filter_is_refused_by_name() -> None:
    code = f"""
        import sys, errno
        sys.path.insert(0, {str(Path(kernel.__file__).parents[3])!r})
        from parasuite.sensors.seccomp import kernel
        try:
            kernel.install()
        except kernel.SeccompError as error:
            sys.exit(error.errno)
        """
    trace(code, expected=errno.EBUSY)


def test_a_root_that_may_do_without_keeps_the_privilege_of_setuid_programs() -> None:
    status = 0 if os.geteuid() == 0 else 1
    code = """
        import re
        raise SystemExit(int(re.search("NoNewPrivs:.(.)", open("/proc/self/status").read())[1]))
        """
    trace(code, expected=status)


def test_where_duplicates_are_refused_what_happened_is_told_as_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError(errno.EPERM, "refused as a container profile does")

    monkeypatch.setattr(kernel, "duplicate", refuse)
    events = trace(
        """
        s = socket.create_server(("127.0.0.1", 0)); port = s.getsockname()[1]
        t = socket.socket()
        try: t.bind(("127.0.0.1", port))
        except OSError: pass
        s.close()
        """
    )
    bind, second = (event for event in events if isinstance(event, Bind))
    listen, release = only(events, Listen)[0], only(events, Release)[0]
    assert isinstance(listen, Listen)
    assert isinstance(release, Release)
    assert (bind.errno, bind.got) == ("?", listen.got)
    assert listen.errno == "?"
    assert bind.cookie == listen.cookie == release.cookie
    assert (second.errno, second.got) == ("?", None)


def test_where_duplicates_are_refused_the_table_tells_of_the_loopback_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError(errno.EPERM, "refused as a container profile does")

    monkeypatch.setattr(kernel, "duplicate", refuse)
    events = trace(ON_THE_LOOPBACK_DEVICE)
    assert [event.options for event in events if isinstance(event, Bind)] == [("loopback-device",), ()]


def test_the_filter_passes_what_is_nobodys_business() -> None:
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


def test_tracing_leaves_no_descriptor_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    trace('socket.create_server(("127.0.0.1", 0))')
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tracer_can_be_made_more_than_once() -> None:
    for _ in range(3):
        Tracer().close()


ENTER = "from netsupport.tests import namespaces; namespaces.enter()"
ROOT = Path(namespaces.__file__).parents[2]


@pytest.mark.parametrize("duplicates", ["had", "refused"])
def test_an_attempt_in_a_network_of_ones_own_meets_nobody_outside_it(
    monkeypatch: pytest.MonkeyPatch, duplicates: str
) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError(errno.EPERM, "refused as a container profile does")

    if subprocess.run([sys.executable, "-c", ENTER], capture_output=True, cwd=ROOT, check=False).returncode:
        pytest.skip("user and network namespaces are refused here")
    if duplicates == "refused":
        monkeypatch.setattr(kernel, "duplicate", refuse)
    else:
        # As before Linux 5.19: nothing is carried out for the caller.
        monkeypatch.setattr(Calls, "_performs", lambda *_: False)
    with tracer() as made, socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        code = f"""
            for end in ("bind", "connect_ex"):
                getattr(socket.socket(), end)(("127.0.0.1", {port}))
            """
        made.start(python(SOCKETS + textwrap.dedent(code)), before=namespaces.enter)
        assert made.run() == [0]
        (bind,) = only(made.events, Bind)
        assert isinstance(bind, Bind)
        assert (bind.errno, bind.holders, bind.asked.network.is_ours) == ("?", (), False)


def test_a_namespace_with_the_inode_of_one_that_ended_is_another_one() -> None:
    class InNamespace:
        """A fake of a socket, since the kernel gives an inode again when it likes."""

        def __init__(self, number: int) -> None:
            self._number = number

        def getsockopt(self, *_: int) -> bytes:
            return self._number.to_bytes(8, sys.byteorder)

    networks = Networks()
    first, second = (cast("_socket.socket", InNamespace(number)) for number in (1 << 40, (1 << 40) + 1))
    seen = [networks.of(sock, os.getpid()) for sock in (first, second, first)]
    assert seen[0] == seen[2] == Network(os.stat("/proc/self/ns/net").st_ino)
    assert seen[1] not in (OUR_NETWORK, seen[0])


@pytest.mark.parametrize(("flags", "unrecorded"), [((), False), (("-I",), True)])
def test_a_python_that_a_recorded_one_executes_is_told_from_it(
    tmp_path: Path, flags: tuple[str, ...], unrecorded: bool
) -> None:
    script = tmp_path / "suite.py"
    script.write_text("import socket\nsocket.create_server(('127.0.0.1', 0)).close()\n")
    code = f"import os, sys; os.execv(sys.executable, [sys.executable, *{flags!r}, {str(script)!r}])"
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, "-c", code], env=environment(tmp_path, "pages"))
        assert made.run() == [0]
        (bind,) = [event for event in made.events if isinstance(event, Bind)]
        line = "" if unrecorded else f"{script}:2:<module>"
        assert (str(bind.caller.location or ""), bool(made.watch.notes())) == (line, unrecorded)


@pytest.mark.parametrize(("flags", "unrecorded"), [((), False), (("-S",), True)])
def test_a_python_without_a_recorder_is_named_and_no_other(
    tmp_path: Path, flags: tuple[str, ...], unrecorded: bool
) -> None:
    # Its one call, a datagram socket's to another host, sends nothing and is worth no event.
    code = 'import socket; socket.socket(type=socket.SOCK_DGRAM).connect_ex(("192.0.2.1", 9))'
    env = environment(tmp_path, mode="pages")
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, *flags, "-c", code], env=env)
        assert made.run() == [0]
        assert bool(made.watch.notes()) is unrecorded


REMEMBERED = 4
# A process that binds in turn with children of its own, more of them than may be remembered.
BETWEEN_OTHERS = textwrap.dedent(
    f"""
    for _ in range({3 * REMEMBERED}):
        if os.fork() == 0:
            socket.socket().bind(("127.0.0.1", 0))
            os._exit(0)
        os.wait()
        socket.socket().bind(("127.0.0.1", 0))
    """
)


def test_a_process_is_told_with_its_lines_however_many_others_call_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "_THREADS_MAX", REMEMBERED)
    suite = tmp_path / "suite.py"
    with tracer({0: str(tmp_path / "pages")}) as made:
        suite.write_text("import os, socket\n" + BETWEEN_OTHERS)
        made.start([sys.executable, str(suite)], env=environment(tmp_path, mode="pages"))
        assert made.run() == [0]
        binds = [event for event in made.events if isinstance(event, Bind)]
        assert (made.watch.failure, len(binds)) == ("", 6 * REMEMBERED)
        assert {str(event.caller.location or "").rpartition(":")[2] for event in binds} == {"<module>"}


def test_a_process_that_calls_more_often_than_others_is_introduced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_THREADS_MAX", REMEMBERED)
    events = trace(BETWEEN_OTHERS)
    seen = [event.caller.process.pid for event in only(events, ProcessSeen)]
    assert sorted(seen) == sorted(set(seen))


@contextlib.contextmanager
def room_for_descriptors(count: int) -> Iterator[None]:
    """This process may open *count* more descriptors, and no others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(map(int, os.listdir("/proc/self/fd")))
    with contextlib.ExitStack() as filled:
        # The numbers below the last one that are free.
        while (filler := os.open(os.devnull, os.O_RDONLY)) < last:
            filled.callback(os.close, filler)
        os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (filler + count, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_call_that_there_is_no_room_to_look_at_goes_on_and_is_counted() -> None:
    with tracer() as made:
        made.start(python(SOCKETS + BINDS))
        with room_for_descriptors(0):
            assert made.run() == [0]
        why = "OSError: [Errno 24] Too many open files"
        assert made.watch.failure.startswith(why)
        assert [note.partition(why)[0] for note in made.watch.notes()] == [
            "it failed 2 times, and each time what it looked at went on unseen: "
        ]


def test_a_call_for_whose_duplicate_there_is_no_room_is_not_taken_for_one_that_the_kernel_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_room(*_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(kernel, "duplicate", without_room)
    with tracer() as made:
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert (made.watch.failure, made.events) == ("OSError: [Errno 24] Too many open files", [])


def test_a_call_of_a_process_that_is_hidden_in_proc_goes_on_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_: int) -> int:
        raise PermissionError(errno.EPERM, "as hidepid=1 does")

    monkeypatch.setattr(proc, "process_of", hidden)
    with tracer() as made:
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert (made.watch.failure, made.watch.notes()) == (
            "",
            ["2 calls of processes that may not be looked at (hidden in /proc)"],
        )


def test_more_callers_than_there_are_descriptors_for_are_all_seen(tmp_path: Path) -> None:
    count = 120
    suite = tmp_path / "suite.py"
    suite.write_text(
        textwrap.dedent(
            f"""
            import os, socket
            for _ in range({count}):
                if os.fork() == 0:
                    socket.socket().bind(("127.0.0.1", 0))
                    os._exit(0)
                os.wait()
            """
        )
    )
    # Each takes two: a pidfd and its page.
    with room_for_descriptors(2 * count - 40), tracer({0: str(tmp_path / "pages")}) as made:
        made.start([sys.executable, str(suite)], env=environment(tmp_path, mode="pages"))
        assert made.run() == [0]
        binds = [event for event in made.events if isinstance(event, Bind)]
        assert (made.watch.failure, len(binds)) == ("", count)
        assert {str(event.caller.location or "").rpartition(":")[2] for event in binds} == {"<module>"}


@pytest.mark.parametrize("step", ["socket_info", "canonical"])
def test_a_call_that_was_carried_out_is_answered_although_what_follows_fails(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "a fault")

    monkeypatch.setattr(calls, step, fail)
    with tracer() as made:
        # Carried out once more, the bind would be refused: EINVAL.
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert made.watch.failure == "OSError: [Errno 5] a fault"


@pytest.fixture
def two_processes() -> Iterator[tuple[int, int]]:
    """The pids of two processes that wait."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as second:
            yield first.pid, second.pid


def test_a_number_that_is_a_thread_s_of_another_process_by_now_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, two_processes: tuple[int, int]
) -> None:
    first, second = two_processes
    # As before Linux 6.9, which has no pidfds of threads.
    monkeypatch.setattr(kernel, "_PIDFD_OPEN_THREAD", 1 << 30)
    with contextlib.closing(callers.Callers({})) as known:
        with monkeypatch.context() as earlier:
            earlier.setattr(proc, "process_of", lambda _: first)
            assert known.thread(second, 0).process.pid == first
        assert known.thread(second, 0).process.pid == second


@pytest.mark.parametrize("recorded", [True, False])
def test_a_program_is_told_by_its_own_name_and_line_although_another_called_before_it_in_its_process(
    tmp_path: Path, recorded: bool
) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(
            "import os, socket, sys\n"
            's = socket.socket(); s.bind(("127.0.0.1", 0))\n'
            "if sys.argv[1:]: os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        )
    second = [*([] if recorded else ["-S"]), str(tmp_path / "second.py")]
    with tracer({0: str(tmp_path / "pages")}) as made:
        made.start(
            [sys.executable, str(tmp_path / "first.py"), *second],
            env=environment(tmp_path, mode="pages"),
            before=lambda: os.chdir(tmp_path),
        )
        assert made.run() == [0]
        lines = [str(event.caller.location or "") for event in made.events if isinstance(event, Bind)]
        seen = [event.command.partition(" ")[2] for event in made.events if isinstance(event, ProcessSeen)]
    assert lines == ["first.py:2:<module>", "second.py:2:<module>" if recorded else ""]
    assert seen == [" ".join([str(tmp_path / "first.py"), *second]), " ".join(second)]


def test_a_page_that_its_process_has_declared_void_is_not_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RECORDER)
    written = layout.Page(str(tmp_path))
    written.publish(os.getpid(), layout.BIND, 3, "a test", "a line", layout.BY_THREAD)
    with contextlib.closing(callers.Callers({0: str(tmp_path)})) as known:
        process = known.thread(os.getpid(), 0).process
        assert process.attribution_of(os.getpid(), layout.BIND, 3).location == Location("a line", 0, "")
        with (tmp_path / str(os.getpid())).open("r+b") as stream:
            stream.write(bytes(len(layout.MAGIC)))
        assert process.attribution_of(os.getpid(), layout.BIND, 3).location is None


@pytest.mark.parametrize(
    ("address", "length", "refused"),
    [
        ("here", 129, errno.EINVAL),
        ("here", -1, errno.EINVAL),
        ("None", 0, errno.EINVAL),
        ("None", 16, errno.EFAULT),
    ],
)
def test_an_address_that_the_kernel_does_not_take_is_refused_as_ever(address: str, length: int, refused: int) -> None:
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
