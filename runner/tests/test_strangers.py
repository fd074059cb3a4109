"""Processes outside the run: they are named where they refuse a bind or a client reaches them, with their own run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, OtherRun, Release, Send
from parasuite.model.party import Party
from parasuite.model.words import Protocol, SocketState
from parasuite.sensors.seccomp.filter import ARCHITECTURE

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from parasuite.sensors import netlink, proc
from parasuite.sensors.seccomp.owners import Owners

from runner.tests.recording import environment
from runner.tests.tracing import SOCKETS, python, tracer

LISTENS = """
    import socket, sys
    kind = getattr(socket, sys.argv[1])
    with socket.socket(type=kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        print(sock.getsockname()[1], flush=True)
        sys.stdin.read()
    """


@contextlib.contextmanager
def stranger(
    code: str = LISTENS, *arguments: str, kind: str = "SOCK_STREAM", env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process outside the run, and the port that it prints. It runs until the end of the body."""
    command = (
        [*python(code), kind, *arguments] if env is None else [sys.executable, "-c", textwrap.dedent(code), kind]
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.communicate()


def traced(code: str) -> list[Event]:
    """The events of one traced Python that runs *code*."""
    with tracer() as made:
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [0]
        return made.events


def refusers(port: int) -> tuple[Holder, ...]:
    """Who is in the way of a bind of *port*, which is refused."""
    events = traced(f's = socket.socket()\ntry: s.bind(("127.0.0.1", {port}))\nexcept OSError: pass')
    (bind,) = (event for event in events if isinstance(event, Bind))
    assert bind.errno == "EADDRINUSE"
    return bind.holders


def servers(events: list[Event]) -> list[tuple[Holder, ...]]:
    """Who serves the destinations of the connects and datagrams, in their order."""
    return [event.holders for event in events if isinstance(event, Connect | Send)]


def test_a_stranger_that_refuses_a_bind_is_named_with_its_command_and_user() -> None:
    with stranger(LISTENS, "a word of its command") as (process, port):
        (holder,) = refusers(port)
        stat = proc.stat(process.pid)
    assert (holder.party, holder.pid, holder.state) == (None, process.pid, SocketState.LISTEN)
    assert (holder.name, holder.uid, holder.peer, holder.other_run) == (stat.name, os.getuid(), None, None)
    assert holder.command.endswith("a word of its command")
    assert holder.start_s == proc.boot_s() + stat.start_ticks / os.sysconf("SC_CLK_TCK")


def test_a_strangers_connection_that_refuses_a_bind_is_one_and_says_with_whom() -> None:
    code = """
        import socket, sys
        with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as sock:
            print(sock.getsockname()[1], flush=True)
            sys.stdin.read()
        """
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = server.getsockname()[1]
        with stranger(code, str(wanted)) as (process, port):
            (holder,) = refusers(port)
    assert (holder.pid, holder.state) == (process.pid, SocketState.ESTABLISHED)
    assert holder.peer == Endpoint(Protocol.TCP, "127.0.0.1", wanted)


def variables(run_folder: Path, **more: str) -> dict[str, str]:
    """What the environment of a process of copy 3 of a run in *run_folder* says."""
    folder = run_folder / "copies" / "003"
    return {
        **environment(folder, "pages"),
        "PARASUITE_RUN_ID": "20261122T095746Z-k3f9",
        "PARASUITE_COPY": "3",
        **more,
    }


def test_a_stranger_under_another_parasuite_is_named_with_its_run_and_the_test_that_started_it(
    tmp_path: Path,
) -> None:
    env = variables(tmp_path, PYTEST_CURRENT_TEST="test_a.py::test_one[(x)] (setup)")
    with stranger(env=env) as (_, port):
        (holder,) = refusers(port)
    assert holder.other_run == OtherRun("20261122T095746Z-k3f9", 3, str(tmp_path), "test_a.py::test_one[(x)]")


IN_A_TEST = """
    import socket, sys, unittest
    class Suite(unittest.TestCase):
        def test_that_serves(self):
            with socket.create_server(("127.0.0.1", 0)) as server:
                print(server.getsockname()[1], flush=True)
                sys.stdin.read()
    unittest.main(argv=["suite"])
    """


def test_the_test_that_a_process_of_another_run_runs_is_read_from_its_page(tmp_path: Path) -> None:
    with stranger(IN_A_TEST, env=variables(tmp_path)) as (_, port):
        (holder,) = refusers(port)
    assert holder.other_run is not None
    assert holder.other_run.test == "__main__.Suite.test_that_serves"


STARTS_A_SERVER = """
    import subprocess, sys, unittest
    class Suite(unittest.TestCase):
        def test_that_starts_a_server(self):
            server = "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
            server += "print(s.getsockname()[1], flush=True); sys.stdin.read()"
            subprocess.run([sys.executable, "-I", "-S", "-c", server], env={})
    unittest.main(argv=["suite"])
    """


def test_a_process_with_an_empty_environment_belongs_to_the_run_and_test_of_its_parent(tmp_path: Path) -> None:
    with stranger(STARTS_A_SERVER, env=variables(tmp_path)) as (process, port):
        (holder,) = refusers(port)
    assert holder.pid != process.pid
    assert holder.other_run == OtherRun(
        "20261122T095746Z-k3f9", 3, str(tmp_path), "__main__.Suite.test_that_starts_a_server"
    )


@pytest.mark.parametrize("what", ["missing", "a FIFO", "relative"])
def test_a_folder_of_another_run_that_cannot_be_used_leaves_the_test_out(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "copies" / "003"
    env = {**variables(tmp_path), "PARASUITE_RECORDER": "", "PARASUITE_COPY_DIR": str(folder)}
    (folder / "pages").rmdir()
    if what == "a FIFO":
        os.mkfifo(folder / "pages")
    if what == "relative":
        env["PARASUITE_COPY_DIR"] = "copies/003"
    with stranger(env=env) as (_, port):
        (holder,) = refusers(port)
    assert holder.other_run is not None
    assert (holder.other_run.copy, holder.other_run.test) == (3, "")


@pytest.mark.parametrize("copy", ["", "-1", "three", "9" * 400])
def test_an_environment_without_a_number_of_a_copy_names_no_run(tmp_path: Path, copy: str) -> None:
    with stranger(env=variables(tmp_path, PARASUITE_COPY=copy)) as (_, port):
        (holder,) = refusers(port)
    assert holder.other_run is None


def test_a_process_of_this_very_run_is_no_stranger_wherever_it_went(tmp_path: Path) -> None:
    with stranger(env=variables(tmp_path)) as (process, port), netlink.Table() as table:
        owners = Owners(table, lambda _pid: None, str(tmp_path))
        (holder,) = owners.holders(Endpoint(Protocol.TCP, "127.0.0.1", port))
        assert owners.strangers_serving(Endpoint(Protocol.TCP, "127.0.0.1", port), 0) == ()
    assert (holder.party, holder.pid, holder.other_run) == (Party(3), process.pid, None)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("SOCK_STREAM", 'socket.create_connection(("127.0.0.1", {port}))'),
        ("SOCK_STREAM", 'socket.create_connection(("0.0.0.0", {port}))'),
        ("SOCK_DGRAM", 's = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.1", {port}))'),
        ("SOCK_DGRAM", 's = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b"x", ("127.0.0.1", {port}))'),
    ],
    ids=["connect", "connect to the wildcard", "connect of a datagram socket", "sendto"],
)
def test_a_stranger_that_a_client_is_about_to_reach_is_named(kind: str, call: str) -> None:
    with stranger(kind=kind) as (process, port):
        ((holder,),) = servers(traced(call.format(port=port)))
    assert (holder.party, holder.pid) == (None, process.pid)
    assert holder.name
    assert holder.command


def test_a_client_of_a_server_of_its_own_run_meets_no_stranger() -> None:
    code = """
        s = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(s.getsockname())
        u = socket.socket(type=socket.SOCK_DGRAM)
        u.bind(("127.0.0.1", 0)); u.sendto(b"x", u.getsockname())
        """
    assert servers(traced(code)) == [(), ()]


def test_a_port_of_the_other_protocol_or_of_another_address_is_not_the_one_that_a_client_reaches() -> None:
    with stranger() as (_, port):
        code = f"""
            for address in ("127.0.0.2", {port}), ("::1", {port}):
                try: socket.create_connection(address)
                except OSError: pass
            socket.socket(type=socket.SOCK_DGRAM).connect(("127.0.0.1", {port}))
            """
        found = servers(traced(code))
    assert set(found) == {()}
    assert len(found) >= 2  # A host without IPv6 has no third.


def test_a_connection_to_a_closed_port_meets_no_one(port_outside_the_ephemeral_range: int) -> None:
    code = f"""
        for _ in range(2):
            try: socket.create_connection(("127.0.0.1", {port_outside_the_ephemeral_range}))
            except OSError: pass
        """
    assert servers(traced(code)) == [(), ()]


def test_a_stranger_that_left_a_port_is_not_named_once_the_run_has_had_the_port(
    port_outside_the_ephemeral_range: int,
) -> None:
    """Within the second for which the sensor remembers who serves a port."""
    port = port_outside_the_ephemeral_range
    read, write = os.pipe()
    os.set_inheritable(read, True)
    code = f"""
        socket.create_connection(("127.0.0.1", {port})).close()
        os.read({read}, 1)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", {port}))
        os.read({read}, 1)
        s = socket.socket(); s.connect_ex(("127.0.0.1", {port}))
        """
    with tracer() as made:
        listener = socket.create_server(("127.0.0.1", port))
        emit = made.events.append

        def leaves(event: Event) -> None:
            emit(event)
            if isinstance(event, Connect):
                listener.close()
            if isinstance(event, Connect | Release):
                os.write(write, b"+")

        made.watch._emit = leaves
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [0]
        first, second = servers(made.events)
    os.close(read)
    os.close(write)
    assert ([holder.pid for holder in first], second) == ([os.getpid()], ())


def test_the_kernel_is_asked_once_for_many_connects_to_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Endpoint] = []
    serving = Owners._serving

    def counted(owners: Owners, destination: Endpoint) -> tuple[Holder, ...]:
        asked.append(destination)
        return serving(owners, destination)

    monkeypatch.setattr(Owners, "_serving", counted)
    monkeypatch.setattr(f"{Owners.__module__}._SERVED_AGAIN_NS", 10**15)  # However long the connects take.
    with stranger(kind="SOCK_DGRAM") as (process, port):
        connect = f'socket.socket(type=socket.SOCK_DGRAM).connect(("127.0.0.1", {port}))'
        found = servers(traced(f"for _ in range(20): {connect}"))
    assert [holder.pid for holders in found for holder in holders] == [process.pid] * 20
    assert len(asked) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_without_root_another_users_process_is_unknown_and_its_user_is_named() -> None:
    with stranger() as (_, port), netlink.Table() as table:
        owners = Owners(table, lambda _pid: None)
        at = Endpoint(Protocol.TCP, "127.0.0.1", port)
        os.seteuid(65534)
        try:
            refused_by, (served_by,) = owners.holders(at), owners.strangers_serving(at, 0)
        finally:
            os.seteuid(0)
    assert refused_by == (served_by,)
    assert (served_by.party, served_by.pid, served_by.name, served_by.command) == (None, 0, "", "")
    assert served_by.uid == 0


def test_a_socket_whose_process_is_not_found_is_not_taken_for_a_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "pids", list)
    with socket.create_server(("127.0.0.1", 0)) as listener, netlink.Table() as table:
        owners = Owners(table, lambda _pid: None)
        at = Endpoint(Protocol.TCP, *listener.getsockname())
        assert owners.strangers_serving(at, 0) == ()
