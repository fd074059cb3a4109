"""What is read from /proc about processes that chose their names with care."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("/proc is Linux only", allow_module_level=True)

import parasuite
from parasuite.model.events import Bind, ProcessSeen
from parasuite.run.supervisor import process_tree
from parasuite.sensors import proc
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel, open_process_of

from runner.tests.tracing import python, tracer

NAMES = [b"Tgid:1", b"Tgid:0", b"Tgid:x", b"Tgid:9999999999", b"x\nTgid:\t1\n", b") Z 1 1 1 (", b"\xff) \n\\\x1b" * 3]
RENAME = "import ctypes, socket; ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\n"


@contextmanager
def waiting_process(name: bytes) -> Iterator[int]:
    """The pid of a child of this process that has taken *name* and waits."""
    code = RENAME.format(name=name) + "print(flush=True); input()"
    with subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid


@pytest.mark.parametrize("name", NAMES)
def test_a_process_is_known_by_its_fields_whatever_its_name_is(name: bytes) -> None:
    with waiting_process(name) as pid:
        stat = proc.stat(pid)
        assert proc.process_of(pid) == pid
        assert (stat.name, stat.parent) == (name[:15].decode("utf-8", "backslashreplace"), os.getpid())
        assert stat.start_ticks >= proc.stat(os.getpid()).start_ticks
        assert pid in process_tree.tree_of(os.getpid())


@pytest.mark.parametrize("has_thread_pidfds", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_bind_is_the_callers_own_whatever_its_name_is(name: bytes, has_thread_pidfds: bool) -> None:
    # Before Linux 6.9 the descriptor is taken from the process that the thread is said to belong to.
    kernel = THIS_KERNEL if has_thread_pidfds else Kernel(open_thread=open_process_of)
    with tracer(kernel=kernel) as made:
        code = RENAME.format(name=name) + 's = socket.socket(); s.bind(("127.0.0.1", 0)); assert s.getsockname()[1]'
        child = made.start(python(code))
        assert made.run() == [0]
        assert made.watch.notes() == []
        assert [event.caller.process.pid for event in made.events if isinstance(event, Bind | ProcessSeen)] == [
            child.pid
        ] * 2


def test_a_thread_belongs_to_its_process() -> None:
    code = (
        "import os, threading; threading.Thread(target=input).start()\n"
        "print(*os.listdir('/proc/self/task'), flush=True)"
    )
    with subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        tids = [int(tid) for tid in child.stdout.readline().split()]
        assert [proc.process_of(tid) for tid in tids] == [child.pid] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts /proc with hidepid=1")
def test_a_process_that_is_hidden_is_taken_for_alive() -> None:
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(parasuite.__file__).parents[1])!r})
        from parasuite.run.supervisor import process_tree
        parent = os.getppid()
        os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        print(process_tree.state_of(parent))
        """
    mount = "mount -t proc -o hidepid=1 proc /proc && "
    command = ["unshare", "-m", "sh", "-c", mount + '"$@" && :', "sh", *python(textwrap.dedent(code))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"mounts are refused here: {done.stderr}")
    assert (done.stdout, done.stderr) == ("('?', 0)\n", "")


def test_a_command_line_is_read_up_to_a_bound() -> None:
    with subprocess.Popen(["cat", "-", "x" * 100_000], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"\n"  # It runs its program now.
        assert proc.command(child.pid, 10) == "cat - xxxx"
        child.kill()


def test_only_pages_that_have_been_touched_are_present() -> None:
    page = mmap.PAGESIZE
    with mmap.mmap(-1, 64 * page) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        area[20 * page] = area[21 * page] = 1
        with closing(proc.AddressSpace(os.getpid())) as space:
            for asked_before in (False, True):
                # What was learned of other pages a moment ago makes no difference.
                if asked_before:
                    assert not space.has_ended
                asked = ((20, 1), (20, 2), (21, 1), (19, 2), (21, 2), (40, 1), (20, 60))
                present = [space.has_at_once(start + first * page, count * page) for first, count in asked]
                assert present == [True, True, True, False, False, False, False]
            assert not space.has_at_once((1 << 64) - 1, 1)
            assert not space.has_at_once((1 << 63) - 8, 16)


def test_a_memory_has_ended_with_its_process() -> None:
    with waiting_process(b"any") as pid, closing(proc.AddressSpace(pid)) as space:
        assert not space.has_ended
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert space.has_ended
        assert not space.has_at_once(mmap.PAGESIZE, 1)


def test_a_variable_that_is_longer_than_a_path_can_be_is_cut_off() -> None:
    env = {"PYTEST_CURRENT_TEST": "t" * 100_000, "OTHER": "x"}
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        process.stdout.readline()  # Until it runs, it may not have its environment yet.
        found = proc.variables(process.pid, {b"PYTEST_CURRENT_TEST"})
        process.communicate(b"\n")
    assert found == {"PYTEST_CURRENT_TEST": "t" * 4096}
