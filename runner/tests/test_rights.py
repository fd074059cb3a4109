"""A traced program may do exactly what it may do untraced: its own rights decide about its binds."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the exact sensors are Linux only", allow_module_level=True)

from parasuite.model.events import Bind, Listen
from parasuite.model.party import Party
from parasuite.sensors.seccomp import rights

from runner.tests.tracing import python, tracer

BECOME = "import os; os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})\n"
LANDLOCK = """
import ctypes, os, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def restrict():
    # No TCP port may be bound: LANDLOCK_ACCESS_NET_BIND_TCP without a rule. Source: landlock(7).
    attributes = struct.pack("=QQ", 0, 1)
    ruleset = libc.syscall(444, attributes, len(attributes), 0)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.syscall(446, ruleset, 0) == 0
    os.close(ruleset)

def refused():
    # Landlock has no rules for UDP.
    socket.socket(type=socket.SOCK_DGRAM).bind(("127.0.0.1", 0))
    try:
        socket.socket().bind(("127.0.0.1", 0))
    except PermissionError:
        return True
    return False
"""


def _has_landlock_for_tcp() -> bool:
    version = 1
    return bool(ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, version) >= 4)


landlock = pytest.mark.skipif(not _has_landlock_for_tcp(), reason="Landlock rules for TCP are Linux 6.7 and newer")

CONFINED = {
    "the process": "restrict(); sys.exit(not refused())",
    "a thread": """
        ends = []
        thread = threading.Thread(target=lambda: (restrict(), ends.append(refused())))
        thread.start(); thread.join()
        sys.exit(not ends[0])
        """,
    "a thread that another one starts": """
        ends = []
        def first():
            restrict()
            second = threading.Thread(target=lambda: ends.append(refused()))
            second.start(); second.join()
        thread = threading.Thread(target=first)
        thread.start(); thread.join()
        sys.exit(not ends[0])
        """,
    "a child": """
        if (child := os.fork()) == 0:
            restrict()
            os._exit(not refused())
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    "a grandchild that lost its parents": """
        read, write = os.pipe()
        if os.fork() == 0:
            restrict()
            parent, lives = os.pipe()
            if os.fork() == 0:
                os.close(lives)
                os.read(parent, 1)
                os.write(write, bytes([not refused()]))
            os._exit(0)
        os.wait()
        sys.exit(os.read(read, 1)[0])
        """,
    "a program that it executes": """
        if sys.argv[1:]:
            sys.exit(not refused())
        restrict()
        code = open("/proc/self/cmdline").read().split("\\0")[4]
        program = os.path.realpath(sys.executable)
        os.execv(program, [program, "-I", "-S", "-c", code, "x"])
        """,
}


@landlock
@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("name", CONFINED)
def test_what_landlock_forbids_is_refused(name: str, uid: int) -> None:
    if uid != os.geteuid() and os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    if uid and name == "a program that it executes":
        pytest.skip("another user may not be able to start this Python")
    code = LANDLOCK + BECOME.format(uid=uid) + textwrap.dedent(CONFINED[name])
    assert subprocess.run(python(code), check=False).returncode == 0
    with tracer() as made:
        made.start(python(code))
        assert made.run() == [0]
        assert made.watch.notes() == []


@landlock
def test_a_process_that_is_older_than_the_first_confined_one_is_still_seen_exactly() -> None:
    code = LANDLOCK + textwrap.dedent(
        """
        # The kernel counts the age of a process in ticks.
        started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
        while time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") < started + 1:
            pass
        if os.fork() == 0:
            restrict()
            os._exit(0)
        os.wait()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0)); sock.listen()
        """
    )
    with tracer() as made:
        made.start(python(code))
        assert made.run() == [0]
        events = [event for event in made.events if isinstance(event, Bind | Listen)]
        # Its options are known only of a call that was performed here.
        seen = [(type(event), event.errno, event.options) for event in events]
        assert seen == [(Bind, "", ("reuseaddr",)), (Listen, "", ("reuseaddr",))]


@landlock
def test_another_copy_is_not_affected() -> None:
    with tracer() as made:
        made.start(python(LANDLOCK + "restrict(); sys.exit(not refused())"), copy=0)
        made.start(python("import socket; socket.socket().bind(('127.0.0.1', 0))"), copy=1)
        assert made.run() == [0, 0]
        (bind,) = [event for event in made.events if isinstance(event, Bind) and event.party == Party(1)]
        assert bind.errno == ""


def test_a_caller_with_another_label_is_left_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    # This kernel has no labels: the name of a thread stands for one, which the thread may change as well.
    monkeypatch.setattr(rights, "_LABEL", "/proc/{}/comm")
    code = """
        import ctypes, socket
        first, second = socket.socket(), socket.socket()
        for name, sock in ((b"{same}", first), (b"other", second)):
            ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
            sock.bind(("127.0.0.1", 0))
        socket.socket().bind(("127.0.0.1", 0))
        """
    same = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    performed = []
    real = rights.Rights.is_confined

    def confined(self: rights.Rights, *caller: object) -> bool:
        performed.append(not real(self, *caller))  # type: ignore[arg-type]
        return not performed[-1]

    monkeypatch.setattr(rights.Rights, "is_confined", confined)
    with tracer() as made:
        made.start(python(code.replace("{same}", same)))
        assert made.run() == [0]
        assert performed == [True, False, False]
        assert [event.errno for event in made.events if isinstance(event, Bind)][:2] == ["", ""]


BIND_3000 = """
import os, socket, sys
os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})
try:
    socket.socket().bind(("127.0.0.1", 3000))
except PermissionError:
    sys.exit(1)
"""


@pytest.mark.parametrize(("start", "uid", "expected"), [(5000, 65534, 1), (5000, 0, 0), (3000, 65534, 0)])
def test_the_sysctl_decides_which_ports_are_privileged(start: int, uid: int, expected: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to drop its rights")
    code = f"""
        import ctypes, fcntl, os, socket, struct, sys
        sys.path[:0] = {[str(Path(rights.__file__).parents[2]), str(Path(__file__).parents[2])]!r}
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x40000000):  # CLONE_NEWNET
            sys.exit(77)
        with socket.socket() as sock:
            fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
        open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w").write("{start}")
        from runner.tests.tracing import python, tracer
        from parasuite.model.events import Bind
        with tracer() as made:
            made.start(python({BIND_3000.format(uid=uid)!r}))
            codes = made.run()
            assert made.watch.notes() == [], made.watch.notes()
        print(codes[0])
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("network namespaces are refused here")
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")
