"""A signal that comes while a call waits to be received changes nothing in a Python, and is counted."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from parasuite.model.events import Bind, Event
from parasuite.sensors.seccomp.filter import ARCHITECTURE

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux's, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.recording import environment
from runner.tests.tracing import PATIENCE_S, Traced, Tracer, python, tracer

# The handler says when it has run. Then the call that waited has been interrupted.
HEAD = """
import asyncio, errno, os, signal, socket, sys, traceback
handled, port = map(int, sys.argv[1:])
address = ("127.0.0.1", port)
signal.signal(signal.SIGUSR1, lambda *_: os.write(handled, b"."))
"""


@dataclass
class Program:
    """One Python under the sensor, whose calls are interrupted as a test says."""

    folder: Path
    address: tuple[str, int]
    pipe: tuple[int, int] = field(default_factory=os.pipe)

    def start(self, made: Tracer, code: str, mode: str = "pages") -> Traced:
        os.set_inheritable(self.pipe[1], True)
        path = self.folder / "program.py"
        path.write_text(HEAD + textwrap.dedent(code))
        arguments = [str(path), str(self.pipe[1]), str(self.address[1])]
        return made.start([sys.executable, *arguments], env=environment(self.folder / "copy", mode))

    def interrupt(self, child: Traced) -> None:
        """Signal the child while its next call waits; the call has been interrupted then."""
        await_call(child)
        os.kill(child.pid, signal.SIGUSR1)
        ready, _, _ = select.select([self.pipe[0]], [], [], PATIENCE_S)
        assert ready
        os.read(self.pipe[0], 1)

    def run(self, code: str, served: int = 0, mode: str = "pages") -> Tracer:
        """Run *code*, whose call after the first *served* ones is interrupted, and must end well."""
        with tracer() as made:
            child = self.start(made, code, mode)
            while made.watch.calls < served:
                made.watch.serve(made.poll.poll(PATIENCE_S * 1000))
            self.interrupt(child)
            assert made.run() == [0]
            return made


def await_call(child: Traced) -> None:
    poll = select.poll()
    poll.register(child.channel, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Beside it a listener that accepts by its backlog alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Program(tmp_path, server.getsockname())
        yield made
        for end in made.pipe:
            os.close(end)


@pytest.mark.parametrize("timeout", ["None", "60"])
def test_a_connect_that_a_signal_interrupts_is_connected_when_it_returns(program: Program, timeout: str) -> None:
    program.run(f"s = socket.socket(); s.settimeout({timeout}); s.connect(address); s.getpeername()")


def test_a_connect_of_a_socket_that_was_bound_is_connected_when_it_returns(program: Program) -> None:
    program.run('s = socket.socket(); s.bind(("127.0.0.1", 0)); s.connect(address); s.getpeername()', served=1)


def test_connect_ex_is_connected_when_it_returns_zero(program: Program) -> None:
    program.run("s = socket.socket(); assert s.connect_ex(address) == 0; s.getpeername()")


def test_a_non_blocking_connect_that_a_signal_interrupts_is_in_progress(program: Program) -> None:
    program.run(
        """
        s = socket.socket(); s.setblocking(False)
        try:
            s.connect(address)
        except BlockingIOError:
            s.setblocking(True)
            s.send(b"x")
        else:
            raise AssertionError
        """
    )


def test_a_non_blocking_connect_ex_that_a_signal_interrupts_is_in_progress(program: Program) -> None:
    program.run("s = socket.socket(); s.setblocking(False); assert s.connect_ex(address) == errno.EINPROGRESS")


def test_a_client_of_asyncio_that_a_signal_interrupts_is_connected(program: Program) -> None:
    program.run(
        """
        async def main():
            _, writer = await asyncio.open_connection(*address)
            assert writer.get_extra_info("peername") == address
            writer.close()
        asyncio.run(main())
        """
    )


def test_a_udp_socket_has_its_peer_after_a_connect_that_a_signal_interrupts(program: Program) -> None:
    program.run("s = socket.socket(type=socket.SOCK_DGRAM); s.connect(address); assert s.getpeername() == address")


def test_a_udp_socket_has_its_new_peer_after_a_connect_that_a_signal_interrupts(program: Program) -> None:
    code = """
        s = socket.socket(type=socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", 9)); s.connect(address)
        assert s.getpeername() == address
        """
    program.run(code, served=1)


def test_a_udp_socket_is_connected_once_to_the_peer_that_it_has_already(program: Program) -> None:
    code = 's = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.1", 9)); s.connect(("127.0.0.1", 9))'
    assert program.run(code).watch.calls == 2


def test_a_udp_socket_may_be_connected_to_port_0(program: Program) -> None:
    program.run('s = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.1", 0))')


@pytest.mark.parametrize("mode", ["pages", "events"])
def test_bind_and_listen_succeed_although_a_signal_interrupts_them(program: Program, mode: str) -> None:
    made = program.run('s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); s.getsockname()', 0, mode)
    assert len([event for event in made.events if isinstance(event, Bind)]) == 1
    program.run('s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); s.getsockname()', 1, mode)


def test_a_connect_that_is_refused_after_a_signal_says_so_once(program: Program) -> None:
    program.run(
        """
        try:
            with socket.socket() as s, socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                s.connect(nobody.getsockname())
        except ConnectionRefusedError as error:
            assert error.__context__ is None
        else:
            raise AssertionError
        """,
        served=1,
    )


def test_a_connection_that_is_reset_at_once_is_not_made_again(program: Program) -> None:
    program.run(
        """
        import struct, threading
        server = socket.create_server(("127.0.0.1", 0))
        def reset():
            with server.accept()[0] as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        thread = threading.Thread(target=reset)
        thread.start()
        # connect returns when the connection has been reset: success is told a moment late.
        connect = socket._socket.socket.connect
        s = socket.socket()
        import _parasuite_restart
        def late(*arguments):
            connect(*arguments)
            thread.join()
        _parasuite_restart._connect = late
        s.connect(server.getsockname())
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        """,
    )


def test_what_a_signal_handler_raises_is_the_programs_and_leaves_no_trace_of_the_recorder(program: Program) -> None:
    program.run(
        """
        class Mine(Exception): pass
        def handler(*_):
            os.write(handled, b".")
            raise Mine
        signal.signal(signal.SIGUSR1, handler)
        def attempt(name, *arguments):
            try:
                getattr(socket.socket(), name)(*arguments)
            except (Mine, OSError) as error:
                return error, [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        error, names = attempt("bind", ("127.0.0.1", 0))
        assert isinstance(error, Mine) and error.__context__ is None, error
        if sys.version_info >= (3, 11):
            assert names == ["attempt", "handler"], names
        """
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python shows every function that an exception passes through")
@pytest.mark.parametrize("mode", ["pages", "events"])
def test_a_call_that_fails_leaves_no_trace_of_the_recorder(program: Program, mode: str) -> None:
    program.run(
        """
        def attempt(sock, name, *arguments):
            try:
                getattr(sock, name)(*arguments)
            except (OSError, TypeError) as error:
                return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        nobody, closed = socket.socket(), socket.socket()
        nobody.bind(("127.0.0.1", 0))
        closed.close()
        assert attempt(nobody, "bind", address) == ["attempt"]
        assert attempt(nobody, "bind", 1, 2) == ["attempt"]
        assert attempt(socket.socket(), "connect", nobody.getsockname()) == ["attempt"]
        assert attempt(socket.socket(), "connect") == ["attempt"]
        assert attempt(closed, "listen") == ["attempt"]
        """,
        mode=mode,
    )


INTERRUPTED_BINDS = """
import os, signal, socket, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
with socket.socket() as first:
    first.bind(("127.0.0.1", 0))
for _ in range(int(sys.argv[2])):
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", 0))
        except InterruptedError:
            os.write(int(sys.argv[1]), b".")
with socket.socket() as last:
    last.bind(("127.0.0.1", 0))
"""


def test_each_call_that_a_signal_interrupts_before_it_is_received_is_counted(program: Program) -> None:
    times = 5
    os.set_inheritable(program.pipe[1], True)
    with tracer() as made:
        child = made.start([*python(INTERRUPTED_BINDS), str(program.pipe[1]), str(times)])
        while made.watch.calls < 1:
            made.watch.serve(made.poll.poll(PATIENCE_S * 1000))
        for _ in range(times):
            program.interrupt(child)
        assert made.run() == [0]
        assert made.watch.calls == 2
        (note,) = made.watch.notes()
        assert note.startswith("signals interrupted 5 of 7 calls before parasuite received them"), note


class _Looking(list[Event]):
    """Looks, when the first bind has been served, whether further calls wait to be received."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Traced] = []
        self.waits: bool | None = None

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, Bind) and self.waits is None:
            poll = select.poll()
            for child in self.children:
                poll.register(child.channel, select.POLLIN)
            # The first child may have ended by now, which the poll reports as well.
            self.waits = any(flags & select.POLLIN for _, flags in poll.poll(0))


def test_every_call_that_waits_is_received_before_one_is_served() -> None:
    events = _Looking()
    made = Tracer(events=events)
    try:
        code = 'import socket; socket.socket().bind(("127.0.0.1", 0))'
        events.children = [made.start(python(code), copy=copy) for copy in range(3)]
        for child in events.children:
            await_call(child)
        assert made.run() == [0, 0, 0]
    finally:
        made.close()
    assert events.waits is False
