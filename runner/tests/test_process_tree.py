"""A tree of processes is ended whatever it does, and what cannot be ended is named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from netsupport.tests import real_tools

if sys.platform != "linux":
    pytest.skip("the process tree is read from Linux's /proc", allow_module_level=True)

from parasuite.run.supervisor.process_tree import Killed, become_subreaper, kill_tree, state_of, tree_of

SAFETY_NET_S = 60
NOBODY = 65534


def in_a_child(body: Callable[[], object]) -> str:
    """What *body* returns in a forked child, as text, or its exception."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        result = "no result"
        try:
            signal.alarm(SAFETY_NET_S)
            result = repr(body())
        except (OSError, AssertionError) as error:
            result = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, result.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        result = stream.read()
    os.waitpid(pid, 0)
    return result


# Forks and exits, generation after generation, for half a minute at most; argv[1]: whether in new sessions.
HOPPER = r"""
#include <signal.h>
#include <time.h>
#include <unistd.h>
int main(int count, char **words) {
    time_t give_up = time(0) + 30;
    signal(SIGTERM, SIG_IGN);
    setsid();
    while (time(0) < give_up) {
        pid_t child = fork();
        if (child > 0) _exit(0);
        if (child < 0) usleep(1000);
        if (child == 0 && words[1][0] == 'y') setsid();
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = real_tools.program("cc")  # No other program forks fast enough.
    source = tmp_path_factory.mktemp("hopper") / "hopper.c"
    source.write_text(HOPPER)
    program = source.with_suffix("")
    subprocess.run([compiler, "-O1", "-w", "-o", str(program), str(source)], check=True)
    return program


def killed_hoppers(hopper: Path, chains: int, in_new_sessions: str) -> tuple[bool, tuple[str, ...], bool]:
    """Whether as many as *chains* were killed, what was left, and whether none is alive, of this child's own."""
    become_subreaper()
    for _ in range(chains):
        subprocess.Popen([str(hopper), in_new_sessions])
    killed = kill_tree()
    return killed.count >= chains, killed.left, tree_of(os.getpid()) == []


@pytest.mark.parametrize("in_new_sessions", ["yes", "no"])
@pytest.mark.parametrize("chains", [1, 4])
def test_chains_in_which_each_generation_forks_and_exits_are_ended_and_counted(
    hopper: Path, chains: int, in_new_sessions: str
) -> None:
    result = in_a_child(lambda: killed_hoppers(hopper, chains, in_new_sessions))
    assert result == repr((True, (), True))


def test_nothing_below_is_nothing_to_kill() -> None:
    assert in_a_child(lambda: kill_tree()) == repr(Killed())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program to another user")
def test_a_process_of_another_user_is_named_and_not_waited_for() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        program = Path(folder) / "as-root"
        shutil.copy(real_tools.program("setpriv"), program)
        program.chmod(0o4755)

        def body() -> tuple[bool, int]:
            become_subreaper()
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            child = subprocess.Popen([str(program), "--reuid", "0", "sleep", str(SAFETY_NET_S)])
            while b"sleep" not in Path(f"/proc/{child.pid}/comm").read_bytes():
                if state_of(child.pid)[0] in "ZX":
                    raise AssertionError("the program did not become root")
            killed = kill_tree()
            return killed.left == (f"sleep (pid {child.pid}, user 0)",), killed.count

        def and_end_it() -> str:
            # Its user's, so that root, which this is still, can end it.
            become_subreaper()
            result = in_a_child(body)
            kill_tree()
            return result

        assert in_a_child(and_end_it) == repr(repr((True, 0)))
