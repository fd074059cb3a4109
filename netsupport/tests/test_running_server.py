"""running_server with servers that have every bad habit: which process answers, what is ended, what errors say."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from netsupport import (
    HOST,
    Guarantee,
    HOSTv6,
    ServerError,
    process_tree,
    reserve_port,
    running_server,
    server_attempt,
)
from netsupport.tests.conftest import python
from netsupport.tests.scenes import NET_S

TINY = str(Path(__file__).with_name("tiny_server.py"))

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the tiny server forks, and is ended by signals")


def tiny(*options: str) -> list[str]:
    return [sys.executable, "-I", "-S", TINY, "{port}", *options]


def pid_that_answers(address: tuple[str, int], say: bytes = b"thanks") -> int:
    with socket.create_connection(address, NET_S) as client, client.makefile("rb") as lines:
        pid = int(lines.readline())
        client.sendall(say)
        assert lines.read() == b""
    return pid


def wait_for_end(pid: int) -> None:
    """Wait until process *pid* has ended: a pidfd is readable then."""
    descriptor = os.pidfd_open(pid)
    try:
        assert select.select([descriptor], [], [], NET_S)[0]
    finally:
        os.close(descriptor)


def failure_of(command: list[str], **options: Any) -> ServerError:
    with pytest.raises(ServerError) as failure, running_server(command, **options):
        pass
    return failure.value


@pytest.mark.parametrize(
    ("command", "options", "guarantee"),
    [
        (tiny("--reuse"), {}, Guarantee.HOLD_THROUGH),
        (tiny(), {"child_reuses_address": False}, Guarantee.LEASE),
        (tiny("--fd", "{fd}"), {"pass_fd": True}, Guarantee.PASSED),
        (tiny(), {"read_port": True}, Guarantee.READ_BACK),
        (tiny("--say", "on PORT"), {"read_port": r"^on (\d+)$"}, Guarantee.READ_BACK),
        (tiny("--say", "on PORT"), {"read_port": re.compile(r"on (\d+)")}, Guarantee.READ_BACK),
        (tiny("--udp"), {"kind": "both"}, Guarantee.LEASE),
    ],
    ids=["hold", "lease", "fd", "read from the table", "read from the output", "compiled", "both"],
)
def test_the_server_that_answers_is_the_one_that_was_started(
    command: list[str], options: dict[str, Any], guarantee: Guarantee
) -> None:
    with running_server(command, **options) as server:
        assert pid_that_answers(server.address) == server.pid
        assert server.guarantee == guarantee or sys.platform != "linux"


def test_a_udp_server_is_ready_when_it_has_bound() -> None:
    with running_server(tiny("--only-udp"), kind="udp") as server:
        with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="in use"):
            sock.bind(server.address)


def test_a_server_on_the_ipv6_loopback_is_found_there() -> None:
    with running_server(tiny("--reuse", "--host", "{host}"), host=HOSTv6) as server:
        assert pid_that_answers(server.address) == server.pid


@pytest.mark.parametrize("habit", ["--fork", "--daemonize"])
def test_a_descendant_that_listens_is_the_server_and_is_ended_with_it(habit: str) -> None:
    with running_server(tiny("--reuse", habit)) as server:
        listening = pid_that_answers(server.address)
        assert listening != server.pid
        assert server.output() == ""
    assert process_tree.process(listening) is None


@pytest.mark.parametrize("habit", ["--fork", "--daemonize"])
def test_a_port_is_read_back_from_a_descendant(habit: str) -> None:
    with running_server(tiny(habit), read_port=True) as server:
        assert pid_that_answers(server.address) != server.pid


def test_a_server_that_ignores_sigterm_is_killed() -> None:
    with running_server(tiny("--reuse", "--ignore-term"), grace_s=0.01, check=False) as server:
        pass
    assert server.process.returncode == -signal.SIGKILL


def test_a_server_that_does_not_reuse_its_address_gets_a_lease_at_the_second_attempt() -> None:
    with running_server(tiny()) as server:
        assert server.guarantee == Guarantee.LEASE
    assert len(server.lost) == 1
    assert re.match(r"port \d+ \(hold-through\): .* ended with status 1 before it listened", server.lost[0])


CONFIGURED = """
import runpy, sys
program, configuration = sys.argv[1:]
sys.argv[1:] = open(configuration).read().split()
runpy.run_path(program, run_name="__main__")
"""


def configured(folder: Path, *options: str) -> tuple[Callable[[int], list[str | Path]], list[int]]:
    """A function of the port that writes it into the configuration file of a tiny server; and the ports it got."""
    file = folder / "tiny.conf"
    ports: list[int] = []

    def command(port: int) -> list[str | Path]:
        ports.append(port)
        file.write_text(" ".join([str(port), *options]))
        return [sys.executable, "-I", "-S", "-c", CONFIGURED, TINY, file]

    return command, ports


def test_a_server_that_reads_its_port_from_a_file_is_started_by_a_function_of_the_port(tmp_path: Path) -> None:
    command, ports = configured(tmp_path, "--reuse")
    with running_server(command) as server:
        assert pid_that_answers(server.address) == server.pid
        assert str(server.port) not in server.command
        assert server.guarantee == Guarantee.HOLD_THROUGH or sys.platform != "linux"
    assert ports == [server.port]


def test_after_a_lost_port_the_function_is_called_with_the_next_one(tmp_path: Path) -> None:
    with gate(tmp_path, reusing_listener) as options:
        command, ports = configured(tmp_path, "--reuse", *options)
        with running_server(command) as server:
            assert pid_that_answers(server.address) == server.pid
    assert (len(ports), ports[1:]) == (2, [server.port])
    assert server.lost[0].startswith(f"port {ports[0]} ")


def test_a_function_gets_port_0_when_the_port_is_read_back(tmp_path: Path) -> None:
    command, ports = configured(tmp_path, "--say", "PORT")
    with running_server(command, read_port=r"(\d+)") as server:
        assert pid_that_answers(server.address) == server.pid
    assert ports == [0]


def test_a_function_gets_the_port_of_the_socket_that_is_passed() -> None:
    ports: list[int] = []

    def command(port: int) -> list[str]:
        ports.append(port)
        return tiny("--fd", "{fd}")

    with running_server(command, pass_fd=True) as server:
        assert pid_that_answers(server.address) == server.pid
    assert ports == [server.port]


def test_what_the_function_raises_is_raised_and_its_port_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = []

    def reserve(*arguments: Any, **options: Any) -> Any:
        reserved.append(reserve_port(*arguments, **options))
        return reserved[-1]

    def command(port: int) -> list[str]:
        assert [(lease.port, lease.released) for lease in reserved] == [(port, False)]
        raise KeyError("no template")

    monkeypatch.setattr(sys.modules[running_server.__module__], "reserve_port", reserve)
    with pytest.raises(KeyError, match="no template"), running_server(command):
        pass
    assert [lease.released for lease in reserved] == [True]


@contextlib.contextmanager
def gate(folder: Path, squat: Callable[[int], contextlib.AbstractContextManager[Any]]) -> Iterator[list[str]]:
    """Options for a tiny server that stops before it binds, while *squat* takes its port."""
    there, back = folder / "there", folder / "back"
    for path in (there, back):
        os.mkfifo(path)
    ended = threading.Event()

    def squatter() -> None:
        port = int(there.read_text())
        there.unlink()
        with squat(port):
            back.write_text("go on")
            ended.wait(NET_S)

    thread = threading.Thread(target=squatter)
    thread.start()
    try:
        yield ["--gate", str(there), "--gate-back", str(back)]
    finally:
        ended.set()
        thread.join(NET_S)


def reusing_listener(port: int) -> socket.socket:
    """Another process that binds exactly the held port with SO_REUSEADDR, which nothing can prevent."""
    return socket.create_server((HOST, port))


def test_after_losing_its_port_to_another_process_a_server_gets_a_second_port(tmp_path: Path) -> None:
    with gate(tmp_path, reusing_listener) as options, running_server(tiny("--reuse", *options)) as server:
        assert pid_that_answers(server.address) == server.pid
        assert server.guarantee == Guarantee.HOLD_THROUGH
    assert len(server.lost) == 1


def test_attempts_are_limited_and_the_error_names_the_process_that_has_the_port(tmp_path: Path) -> None:
    with gate(tmp_path, reusing_listener) as options:
        failure = failure_of(tiny("--reuse", *options), attempts=1)
    strangers = [holder for holder in failure.holders if holder.socket.serves]
    assert [holder.pid for holder in strangers] == [os.getpid()]
    assert f"{strangers[0].socket}: pid {os.getpid()}, " in str(failure)
    assert "gave up after 1 attempts" in str(failure)
    assert "Address already in use" in failure.output
    assert failure.exit_status == 1


def test_another_process_that_answers_in_place_of_a_silent_server_is_named() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "{port}"]
    squatters: list[socket.socket] = []
    with contextlib.ExitStack() as kept:

        def reserve_and_squat(*arguments: Any, **options: Any) -> Any:
            lease = reserve_port(*arguments, **options)
            squatters.append(kept.enter_context(reusing_listener(lease.port)))
            return lease

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys.modules[running_server.__module__], "reserve_port", reserve_and_squat)
            failure = failure_of(command, timeout_s=0.05, attempts=2)
        socket.create_connection(squatters[-1].getsockname(), NET_S).close()
    assert re.search(
        rf"did not listen in 0.05 s on .*\n +tcp 127.0.0.1:\d+ listening: pid {os.getpid()}, ", str(failure)
    )
    assert len(failure.lost) == 1


def test_a_server_that_shares_its_port_with_another_process_is_a_failure() -> None:
    with reserve_port(child_reuses_address=False) as lease, socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind((HOST, lease.port))
        stranger.listen()
        command = [sys.executable, TINY, str(lease), "--share", "--say", f"on {lease}"]
        failure = failure_of(command, read_port=r"on (\d+)")
    assert "shares its port with another process" in str(failure)
    assert {holder.pid for holder in failure.holders} > {os.getpid()}


@pytest.fixture
def looked_at_once_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A FIFO: running_server looks at the server's sockets only once the server has opened and closed it."""
    gate = tmp_path / "ready"
    os.mkfifo(gate)

    def pauses() -> Iterator[None]:
        gate.read_bytes()
        yield

    monkeypatch.setattr(server_attempt, "pauses", pauses)
    return str(gate)


def failure_of_one_that_listens(made: str, gate: str) -> ServerError:
    """How a server fails whose listener, an expression of `port`, is *made* elsewhere than was asked."""
    code = (
        f"import socket, sys; port = int(sys.argv[1]); kept = {made};open(sys.argv[2], 'w').close(); sys.stdin.read()"
    )
    return failure_of([sys.executable, "-c", code, "{port}", gate], timeout_s=0.0)


def test_a_server_that_listens_on_the_wrong_address_is_named_with_that_address(looked_at_once_ready: str) -> None:
    failure = failure_of_one_that_listens("socket.create_server(('127.0.0.2', port))", looked_at_once_ready)
    assert re.search(r"tcp 127.0.0.2:\d+ listening: pid \d+, .* \(the server itself\)", str(failure))
    assert failure.exit_status is None


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not say which socket is IPv6's alone")
def test_a_server_on_ipv6_alone_is_not_ready_for_an_ipv4_host(looked_at_once_ready: str) -> None:
    made = "socket.create_server(('::', port), family=socket.AF_INET6)"
    failure = failure_of_one_that_listens(made, looked_at_once_ready)
    assert re.search(r"did not listen in 0 s on 127.0.0.1 .*\n +tcp \[::\]:\d+ listening: .*itself", str(failure))


def test_a_server_whose_descriptors_are_hidden_is_still_recognised(scene: Any) -> None:
    assert scene("a_server_that_hides") == {"hidden": True, "lost": False}


@pytest.mark.skipif(sys.platform != "linux", reason="private networks need Linux namespaces")
def test_a_server_that_ends_with_a_connection_in_time_wait_is_reported_once(scene: Any) -> None:
    failure = scene("a_server_that_ends_with_a_connection_in_time_wait")
    assert "closed by all processes" in failure["said"]
    assert (failure["status"], failure["lost"]) == (3, [])


def test_a_server_that_ends_before_it_listens_is_reported_once_with_its_last_output() -> None:
    code = "import sys; print('cannot read my certificate'); sys.exit(3)"
    failure = failure_of([sys.executable, "-c", code, "{port}"])
    assert (failure.exit_status, failure.output, failure.lost) == (3, "cannot read my certificate\n", ())
    assert "ended with status 3 before it listened" in str(failure)
    assert str(failure).endswith("    cannot read my certificate")


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, r"signal 9 \(SIGKILL\)"), (signal.SIGRTMIN + 1, r"signal \d+ ")]
)
def test_a_server_that_was_killed_is_reported_with_the_signal(number: int, words: str) -> None:
    code = f"import os, signal; os.kill(os.getpid(), {int(number)}); signal.pause()"
    failure = failure_of([sys.executable, "-c", code, "{port}"])
    assert failure.exit_status == -number
    assert re.search(f"ended with {words}", str(failure))
    assert str(failure).endswith("(nothing)")


def test_a_server_that_never_prints_its_port_is_reported_after_the_timeout() -> None:
    failure = failure_of(tiny(), read_port=r"never said (\d+)", timeout_s=0.05)
    assert "did not listen in 0.05 s on 127.0.0.1" in str(failure)


def test_a_server_on_several_ports_needs_a_pattern(looked_at_once_ready: str) -> None:
    code = (
        "import socket, sys; kept = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)];"
        "open(sys.argv[1], 'w').close(); sys.stdin.read()"
    )
    failure = failure_of([sys.executable, "-c", code, looked_at_once_ready], read_port=True)
    assert re.search(r"listens on several ports \(\d+, \d+; give read_port a pattern\)", str(failure))


def test_a_failure_of_the_body_gets_the_servers_last_output_as_a_note() -> None:
    command = tiny("--reuse", "--say", "careful now")
    with pytest.raises(KeyError) as failure, running_server(command):
        raise KeyError("body")
    assert any("careful now" in note for note in failure.value.__notes__)


@pytest.mark.parametrize("check", [True, False])
def test_a_server_that_fails_in_the_body_fails_the_test_unless_check_is_false(check: bool) -> None:
    expected = pytest.raises(ServerError, match="ended with status 7 before it was stopped") if check else None
    with expected or contextlib.nullcontext(), running_server(tiny("--reuse"), check=check) as server:
        pid_that_answers(server.address, b"quit 7")
        wait_for_end(server.pid)


def test_a_server_that_ends_with_status_0_in_the_body_is_not_a_failure() -> None:
    with running_server(tiny("--reuse")) as server:
        pid_that_answers(server.address, b"quit 0")
        wait_for_end(server.pid)
    assert server.process.returncode == 0


def test_placeholders_are_filled_in_the_environment_and_other_braces_left_alone(tmp_path: Path) -> None:
    code = (
        "import os, socket; s = socket.create_server((os.environ['AT'], int(os.environ['PORT'])));"
        "print({}, os.getcwd(), flush=True); s.accept()"
    )
    environment = {"PORT": "{port}", "AT": "{host}"}
    with running_server([sys.executable, "-c", code], env=environment, cwd=tmp_path) as server:
        with socket.create_connection(server.address):
            wait_for_end(server.pid)
    assert server.output() == f"{{}} {tmp_path}\n"


def test_standard_input_is_an_open_pipe_that_only_the_test_writes_to() -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
        "print(sys.stdin.readline(), flush=True); s.accept()"
    )
    with running_server([sys.executable, "-c", code, "{port}"]) as server:
        assert server.process.stdin is not None
        server.process.stdin.write(b"hello\n")
        server.process.stdin.flush()
        with socket.create_connection(server.address):
            wait_for_end(server.pid)
        # The server has ended: what is written now cannot be delivered, and that is not an error.
        server.process.stdin.write(b"too late")
    assert server.output() == "hello\n\n"


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ([], {}, "command is an empty list"),
        (["server"], {}, "nothing tells the server its port"),
        (["server"], {"read_port": True, "host": "localhost"}, "host is 'localhost'; it must be an address"),
        (["server", "{port}"], {"attempts": 0}, "attempts is 0"),
        (["server", "{port}"], {"pass_fd": True}, "pass_fd needs {fd}"),
        (["server", "{fd}"], {"pass_fd": True, "read_port": True}, "no read_port"),
        (["server", "{fd}"], {"pass_fd": True, "kind": "udp"}, "kind='tcp'"),
        (["server"], {"read_port": True, "kind": "both"}, "reads one port and kind='both' has two"),
    ],
)
def test_arguments_that_cannot_work_are_an_error_before_anything_starts(
    command: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message), running_server(command, **options):
        pass


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("server {port}", r"command is 'server {port}' \(str\); it must be a list of the program and its arguments"),
        (b"server", r"command is b'server' \(bytes\);"),
        (Path("server"), r"command is PosixPath\('server'\) \(PosixPath\);"),
        (None, r"command is None; it must be a list"),
        (["server", "--port", 8080], r"its words must be text or paths: write 8080 \(int\) as text"),
        (lambda port: f"server {port}", r"<lambda>\(\) returned 'server \d+' \(str\); it must be a list"),
        (lambda _port: None, r"<lambda>\(\) returned None; it must be a list"),
        (lambda port: port, r"<lambda>\(\) returned \d+ \(int\);"),
        (lambda port: ["server", port], r"<lambda>\(\) returned \['server', (\d+)\]; .* write \1 \(int\) as text"),
    ],
    ids=["text", "bytes", "path", "None", "a number", "f: text", "f: None", "f: the port", "f: a number"],
)
def test_a_command_that_is_not_a_list_of_text_and_paths_is_an_error_that_shows_it(command: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message), running_server(command):
        pass


def test_a_function_that_returns_no_words_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"<lambda>\(\) returned an empty list"):
        with running_server(lambda _port: []):
            pass


def test_a_function_that_leaves_the_passed_descriptor_out_is_an_error() -> None:
    with (
        pytest.raises(ValueError, match=r"pass_fd needs \{fd\}"),
        running_server(lambda _port: ["server"], pass_fd=True),
    ):
        pass


def test_a_program_that_does_not_exist_raises_the_systems_error() -> None:
    with (
        pytest.raises(FileNotFoundError, match="/nonexistent/server"),
        running_server(["/nonexistent/server", "{port}"]),
    ):
        pass


def test_a_process_that_outlives_sigkill_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real process does: the kernel's answer is made up."""
    real_end = process_tree.Tree.end

    def end(tree: process_tree.Tree, grace_s: float) -> list[process_tree.Process]:
        real_end(tree, grace_s)
        return [process_tree.Process(os.getpid(), 1, 1, 1)]

    monkeypatch.setattr(process_tree.Tree, "end", end)
    with pytest.raises(ServerError, match=f"SIGKILL did not end pid {os.getpid()} .*; end it manually"):
        with running_server(tiny("--reuse")):
            pass


@pytest.mark.parametrize("polled", [False, True])
def test_the_exit_status_is_read_before_and_after_the_process_is_reaped(polled: bool) -> None:
    with running_server(tiny("--reuse"), check=False) as server:
        pid_that_answers(server.address, b"quit 7")
        wait_for_end(server.pid)
        if polled:
            server.process.wait(NET_S)
        assert server_attempt.exit_status_of(server.process) == 7


def test_a_server_that_outlives_sigkill_itself_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real_end = process_tree.Tree.end

    def end(tree: process_tree.Tree, grace_s: float) -> list[process_tree.Process]:
        real_end(tree, grace_s)
        return [process_tree.Process(tree.root, 1, 1, 1)]

    monkeypatch.setattr(process_tree.Tree, "end", end)
    servers = []

    def outlived() -> None:
        with running_server(tiny("--reuse"), check=False) as server:
            servers.append(server)

    with pytest.raises(ServerError, match="SIGKILL did not end"):
        outlived()
    servers[0].process.wait(NET_S)


def test_a_server_started_by_a_server_carries_both_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(process_tree.MARK, "outer")
    with running_server(tiny("--reuse", "--daemonize")) as server:
        listening = pid_that_answers(server.address)
        assert listening in {each.pid for each in process_tree.Tree(server.pid, "outer").members()}
    assert process_tree.process(listening) is None


def test_a_server_is_ended_when_the_test_is_interrupted() -> None:
    listening = []

    def interrupted() -> None:
        with running_server(tiny("--reuse", "--fork")) as server:
            listening.append(pid_that_answers(server.address))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert process_tree.process(listening[0]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process table")
def test_a_forked_child_that_leaves_the_body_ends_neither_the_server_nor_its_watchdog() -> None:
    code = (
        "import os, sys; from netsupport import process_tree, running_server\n"
        "with running_server(sys.argv[1:]) as server:\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        status = os.waitpid(child, 0)[1]\n"
        "        mine = [each for each in process_tree.process_table().values() if each.parent == os.getpid()]\n"
        "        print(status, len(mine))\n"
    )
    outcome = python("-W", "error", "-c", code, *tiny("--reuse"))
    assert (outcome.stdout, outcome.stderr) == ("0 2\n", "")


def test_another_process_than_the_starter_ends_nothing() -> None:
    with running_server(tiny("--reuse")) as server:
        tree, watchdog = process_tree.Tree(server.pid, "a-mark"), server_attempt._Watchdog(server.process)
        server_attempt._end(server.process, tree, 0.0, watchdog, starter=os.getpid() + 1)
        assert pid_that_answers(server.address) == server.pid


def test_the_watchdog_ends_what_an_interrupted_end_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a signal handler that calls sys.exit."""

    def interrupted(_tree: process_tree.Tree, _grace_s: float) -> NoReturn:
        raise SystemExit

    monkeypatch.setattr(process_tree.Tree, "end", interrupted)
    servers = []

    def left() -> None:
        with running_server(tiny("--reuse")) as server:
            servers.append(server)

    with pytest.raises(SystemExit):
        left()
    assert servers[0].process.wait(NET_S) == -signal.SIGTERM


def test_a_server_that_cannot_be_waited_for_is_still_reported_when_it_ends() -> None:
    """SIGCHLD is ignored: the kernel forgets a child as it ends, and its status with it."""
    code = (
        "import signal, sys; from netsupport import ServerError, running_server\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "try:\n"
        "    with running_server([sys.executable, '-c', 'raise SystemExit(3)', '{port}']): pass\n"
        "except ServerError as failure: print(failure.exit_status)\n"
        "with running_server(sys.argv[1:]) as server: print(server.guarantee)\n"
    )
    outcome = python("-W", "error", "-c", code, *tiny())
    assert (outcome.stdout.split()[0], outcome.stderr) == ("0", "")
