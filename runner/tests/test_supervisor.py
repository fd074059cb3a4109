"""The environment in which the supervisor starts a copy."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the supervisor is Linux only", allow_module_level=True)

import resource
import signal
import subprocess
import textwrap

from parasuite.model.events import CopyState
from parasuite.plan.launch import Launch
from parasuite.run.copies import Copies
from parasuite.run.starters.descriptors import inherited_descriptors
from parasuite.run.starters.direct import Direct
from parasuite.run.starters.starter import Starter
from parasuite.run.starters.supervised import Supervised

from runner.tests.conftest import Parasuite

STARTERS: list[type[Starter]] = [Direct, Supervised]
PATIENCE_S = 60  # A safety net only.


@pytest.fixture
def few_descriptors() -> Iterator[tuple[int, int]]:
    """This process, and what it starts, has half of the open files that its hard limit allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fewer = (before[1] // 2, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, fewer)
    yield fewer
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def run_copy(folder: Path, *argv: str, starter: Starter | None = None) -> list[CopyState]:
    """The events of a copy that runs *argv* in *folder*; its output is in output.log."""
    starter = starter or Supervised()
    launch = Launch(copy=0, argv=argv, env=dict(os.environ), cwd=folder, folder=folder, scratch=folder)
    copies = Copies([launch], starter, PATIENCE_S)
    copies.start()
    events = []
    while not copies.are_done:
        events += copies.step(PATIENCE_S)
    starter.close()
    return events


RECYCLED = """
import os
main = os.getpid()
if os.fork() == 0:
    os.setsid()
    while os.getppid() == main:
        pass
    for _ in range(1000):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(main - 1))
        child = os.fork()
        if child == 0:
            os._exit(7 if os.getpid() == main else 0)
        if child == main:
            open("recycled", "w").close()
            break
        os.waitpid(child, 0)
    os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose the next pid")
def test_an_orphan_that_gets_the_main_processs_pid_does_not_change_the_status(tmp_path: Path) -> None:
    events = run_copy(tmp_path, sys.executable, "-I", "-S", "-c", RECYCLED)
    if not (tmp_path / "recycled").exists():
        pytest.skip("other processes took the pid")
    assert [(event.state, event.status) for event in events if event.status is not None] == [("exited", 0)]


def test_a_copy_does_not_inherit_the_signals_that_python_ignores(tmp_path: Path) -> None:
    run_copy(tmp_path, "grep", "SigIgn", "/proc/self/status")
    (ignored,) = (tmp_path / "output.log").read_text().split()[1:]
    assert int(ignored, 16) & (1 << signal.SIGXFSZ - 1 | 1 << signal.SIGPIPE - 1) == 0


def test_why_a_program_could_not_start_is_reported_even_if_its_name_is_not_utf_8(tmp_path: Path) -> None:
    program = tmp_path / os.fsdecode(b"caf\xe9")
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    (event,) = run_copy(tmp_path, str(program))
    assert (event.state, event.why) == ("failed", f"{tmp_path}/caf\\xe9: No such file or directory")


OPEN = """
import contextlib, json, os
found = []
for name in os.listdir("/proc/self/fd"):
    with contextlib.suppress(OSError):
        os.fstat(int(name))  # The descriptor of the folder itself is closed by now.
        found.append(int(name))
print(json.dumps(sorted(found)))
"""


@pytest.mark.parametrize("start", STARTERS)
def test_a_copy_gets_the_descriptors_that_parasuite_inherited_and_no_others(
    tmp_path: Path, start: type[Starter]
) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    run_copy(tmp_path, sys.executable, "-I", "-S", "-c", OPEN, starter=start())
    inherited = inherited_descriptors()
    os.close(reader)
    os.close(writer)
    assert reader in inherited
    assert json.loads((tmp_path / "output.log").read_text()) == sorted([0, 1, 2, *inherited])


def test_the_supervisor_raises_its_limit_of_open_files_and_a_copy_keeps_the_users(
    tmp_path: Path, few_descriptors: tuple[int, int]
) -> None:
    code = "import json, resource; print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))"
    starter = Supervised()
    launch = Launch(
        copy=0,
        argv=(sys.executable, "-I", "-S", "-c", code),
        env=dict(os.environ),
        cwd=tmp_path,
        folder=tmp_path,
        scratch=tmp_path,
    )
    copies = Copies([launch], starter, PATIENCE_S)
    copies.start()
    while not copies.are_done:
        copies.step(PATIENCE_S)
    supervisor = resource.prlimit(starter.pid, resource.RLIMIT_NOFILE)
    starter.close()
    assert json.loads((tmp_path / "output.log").read_text()) == list(few_descriptors)
    assert supervisor == (few_descriptors[1], few_descriptors[1])


# Makes prctl(PR_SET_CHILD_SUBREAPER) fail with EPERM, as a sandbox may, and then executes its arguments.
REFUSE_SUBREAPER = """
import ctypes, os, struct, sys
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16
PRCTL, SUBREAPER = {"x86_64": 157, "aarch64": 167}[os.uname().machine], 36
program = [
    (LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, PRCTL),
    (LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, SUBREAPER),
    (RETURN, 0, 0, 0x50001), (RETURN, 0, 0, 0x7FFF0000),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program), 8 * len(program))
filter = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(
    os.uname().machine not in ("x86_64", "aarch64"), reason="the filter is not written for this machine"
)
def test_if_subreapers_are_forbidden_the_run_goes_on_and_a_note_says_so(parasuite: Parasuite) -> None:
    run = (sys.executable, "-m", "parasuite", "run", "-j", "1", "--sensors", "none", "--", "true")
    done = subprocess.run(
        [sys.executable, "-c", REFUSE_SUBREAPER, *run],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: PR_SET_CHILD_SUBREAPER is refused (Operation not permitted)" in done.stdout


def test_a_copy_has_the_scheduling_policy_and_niceness_that_it_has_without_parasuite(parasuite: Parasuite) -> None:
    code = "import os; print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))"
    run = (sys.executable, "-m", "parasuite", "run", "-j", "1", "--", sys.executable, "-c", code)
    command = ["nice", "-n", "3", *run]
    subprocess.run(command, cwd=parasuite.cwd, env=parasuite.environ, check=True, timeout=PATIENCE_S)
    (output,) = parasuite.cwd.glob(".parasuite/latest/copies/*/output.log")
    expected = os.getpriority(os.PRIO_PROCESS, 0) + 3
    assert output.read_text().split() == [str(os.SCHED_OTHER), str(expected)]


def test_a_supervisor_that_receives_calls_has_a_real_time_priority(parasuite: Parasuite) -> None:
    if subprocess.run(["chrt", "-f", "1", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this user may not have a real-time priority")
    code = """
        import os
        pid = os.getppid()
        for generation in ("spawner", "supervisor"):
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("PPid:"):
                    pid = int(line.split()[1])
        print(os.sched_getscheduler(pid))
        """
    done = parasuite("run", "-j", "1", "--", sys.executable, "-c", textwrap.dedent(code))
    assert done.code == 0, done.stdout + done.stderr
    (output,) = parasuite.cwd.glob(".parasuite/latest/copies/*/output.log")
    assert int(output.read_text()) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
