"""Which processes belong to a started one, how all of them are ended, and the watchdog that does it."""

from __future__ import annotations

import errno
import io
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from netsupport import process_tree
from netsupport.process_tree import MARK, Process, Tree, process, process_table, send_signal
from netsupport.tests.scenes import NET_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sends signals by pidfd")

SLEEPER = [sys.executable, "-I", "-S", "-c", "import sys; print(flush=True); sys.stdin.read()"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, marked `a-mark`, that ends with its standard input."""
    streams: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(SLEEPER, **streams, start_new_session=True, env=os.environ | {MARK: "a-mark"}) as child:
        # Popen returns in the middle of the exec, when /proc/PID/environ is still empty.
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


def seen(pid: int) -> Process:
    found = process(pid)
    assert found is not None
    return found


def test_a_process_is_known_by_its_parent_and_its_session(sleeper: subprocess.Popen[bytes]) -> None:
    found = seen(sleeper.pid)
    assert (found.pid, found.parent, found.session) == (sleeper.pid, os.getpid(), sleeper.pid)
    assert process_table()[sleeper.pid] == found


def test_a_process_name_may_contain_brackets_and_spaces(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as child:
        assert seen(child.pid).parent == os.getpid()


def test_a_process_that_has_ended_is_not_seen_even_before_it_is_reaped(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process(sleeper.pid) is None
    assert sleeper.pid not in process_table()
    assert process(2**30) is None


def test_the_list_of_ps_is_read_without_its_zombies() -> None:
    listing = b"    1     0     1 Ss\n  20    1   20 S+\n  21   20   20 Z+\n"
    assert process_tree.parse_ps(listing) == {1: Process(1, 0, 1, 0), 20: Process(20, 1, 20, 0)}


@pytest.mark.parametrize(
    ("root_known", "mark"), [(True, "another"), (False, "a-mark")], ids=["by the session", "by the mark alone"]
)
def test_a_member_is_found(sleeper: subprocess.Popen[bytes], root_known: bool, mark: str) -> None:
    root = sleeper.pid if root_known else 2**30
    assert [each.pid for each in Tree(root, mark).members()] == [sleeper.pid]


def test_a_process_that_got_the_id_of_a_reaped_root_is_not_a_member(sleeper: subprocess.Popen[bytes]) -> None:
    started = process_tree.started_at(sleeper.pid)
    assert [each.pid for each in Tree(sleeper.pid, "another", started).members()] == [sleeper.pid]
    assert Tree(sleeper.pid, "another", started - 1).members() == []


def test_the_start_time_of_a_process_can_be_read_until_it_is_reaped(
    sleeper: subprocess.Popen[bytes],
) -> None:
    started = seen(sleeper.pid).started
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process_tree.started_at(sleeper.pid) == started
    assert process_tree.started_at(2**30) == 0


def test_an_unrelated_process_is_not_a_member(sleeper: subprocess.Popen[bytes]) -> None:
    assert Tree(2**30, "a-mar").members() == []
    assert sleeper.poll() is None


def test_a_tree_ends_by_sigterm_and_then_has_no_members(sleeper: subprocess.Popen[bytes]) -> None:
    tree = Tree(sleeper.pid, "a-mark")
    assert tree.end(NET_S) == []
    assert sleeper.wait(NET_S) == -signal.SIGTERM
    assert tree.end(NET_S) == []


def test_each_process_gets_a_signal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, late = Process(2**30, 1, 1, 1), Process(2**30 + 1, 1, 1, 1)
    scans = iter([[slow], [slow], [slow, late], []])
    signalled: list[Process] = []
    monkeypatch.setattr(Tree, "members", lambda _tree: next(scans))
    monkeypatch.setattr(process_tree, "send_signal", lambda target, _number: signalled.append(target))
    assert Tree(2**30, "a-mark").end(NET_S) == []
    assert signalled == [slow, late]


def test_what_survives_every_signal_is_returned(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's process does: the signals are not sent, and the patience is shortened."""
    monkeypatch.setattr(process_tree, "send_signal", lambda *_: None)
    monkeypatch.setattr(process_tree, "KILL_PATIENCE_S", 0.0)
    assert Tree(sleeper.pid, "a-mark").end(0.0) == [seen(sleeper.pid)]


def refused_with(number: int) -> Callable[[int], NoReturn]:
    """A pidfd_open(2) that fails with errno *number*."""

    def refuse(_pid: int) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture(params=["here", "absent", errno.ENOSYS, errno.EPERM, errno.EMFILE])
def pidfds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As this host has them; then those of a Python, a kernel, a sandbox, a process that has none to give."""
    if request.param == "absent":
        monkeypatch.delattr(os, "pidfd_open")
    elif request.param != "here":
        monkeypatch.setattr(os, "pidfd_open", refused_with(request.param))


@pytest.mark.usefixtures("pidfds")
def test_a_signal_reaches_its_process(sleeper: subprocess.Popen[bytes]) -> None:
    send_signal(seen(sleeper.pid), signal.SIGKILL)
    assert sleeper.wait(NET_S) == -signal.SIGKILL


@pytest.mark.usefixtures("pidfds")
def test_a_signal_is_not_sent_to_another_user_of_the_same_id(sleeper: subprocess.Popen[bytes]) -> None:
    found = seen(sleeper.pid)
    send_signal(Process(found.pid, found.parent, found.session, found.started - 1), signal.SIGKILL)
    assert sleeper.stdin is not None
    sleeper.stdin.close()
    assert sleeper.wait(NET_S) == 0


def test_a_process_that_proc_hides_is_passed_over(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /proc mounted with hidepid=1 answers for another user's process: the refusal is made up."""

    def hiding(path: str, mode: str) -> Any:
        if path == f"/proc/{os.getpid()}/stat":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return open(path, mode)

    monkeypatch.setattr(process_tree, "open", hiding, raising=False)
    assert process(os.getpid()) is None
    assert sleeper.pid in process_table()


def test_a_signal_reaches_a_process_whose_parent_died_meanwhile(sleeper: subprocess.Popen[bytes]) -> None:
    found = seen(sleeper.pid)
    send_signal(Process(found.pid, found.parent + 1, found.session, found.started), signal.SIGKILL)
    assert sleeper.wait(NET_S) == -signal.SIGKILL


def test_a_signal_to_a_process_that_has_ended_is_not_an_error(sleeper: subprocess.Popen[bytes]) -> None:
    found = seen(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    send_signal(found, signal.SIGTERM)
    send_signal(Process(2**30, 1, 1, 1), signal.SIGTERM)


@pytest.mark.parametrize(
    ("said", "mark", "ends"),
    [
        ("{pid} {started}", "another", True),
        ("", "a-mark", True),
        ("{pid} 1", "another", False),
        ("", "another", False),
    ],
    ids=["by its root", "by its mark if no root was given", "another process with the root's id", "another process"],
)
def test_the_watchdog_ends_its_own_tree_when_its_input_ends(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, said: str, mark: str, ends: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said.format(pid=sleeper.pid, started=seen(sleeper.pid).started)))
    monkeypatch.setattr(sys, "argv", ["process_tree.py", mark])
    runpy.run_path(process_tree.__file__, run_name="__main__")
    descriptor = os.pidfd_open(sleeper.pid)
    assert bool(select.select([descriptor], [], [], NET_S if ends else 0)[0]) == ends
    os.close(descriptor)
