"""The recorder's events carry the machine's clock, whatever clock the program has been given."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import pytest
from parasuite.model.events import Bind
from parasuite.record.recorder_files import recorded
from parasuite.reports.wording import listeners_seen
from parasuite.sensors.recorder import _parasuite_clock

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite
from runner.tests.recording import PATIENCE_S, SUITE_HEAD, environment
from runner.tests.tracing import tracer

BIND = 'socket.create_server(("127.0.0.1", 0)).close()\n'
# By freezegun's way: every attribute of every module that is one of the functions of time.
REPLACED_EVERYWHERE = f"""
import time
clocks = [time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns, time.time, time.time_ns]
for module in list(sys.modules.values()):
    for name, value in list(vars(module).items()):
        if any(value is clock for clock in clocks):
            setattr(module, name, lambda: 1)
assert time.monotonic_ns() == 1
{BIND}"""
FREEZEGUN = f"""
from freezegun import freeze_time
with freeze_time("2012-01-14"):
    {BIND}"""
TIME_MACHINE = f"""
import time, time_machine
with time_machine.travel("2012-01-14", tick=False):
    {BIND}"""
NEW_TIME_NAMESPACE, AHEAD_S = 0x80, 100_000
FAKETIME = glob("/usr/lib/*/faketime/libfaketime.so.1")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's")


@contextlib.contextmanager
def carried_by_the_bind_of(tmp_path: Path) -> Iterator[None]:
    """At the end, the one bind that was recorded in *tmp_path* lies within the block."""
    began_ns = time.monotonic_ns()
    yield
    (bind,) = [event for event in recorded(tmp_path / "copy") if isinstance(event, Bind)]
    assert began_ns < bind.t_ns < time.monotonic_ns()


def run(tmp_path: Path, code: str, before: Callable[[], None] | None = None, **environ: str) -> None:
    (tmp_path / "suite.py").write_text(SUITE_HEAD + textwrap.dedent(code))
    subprocess.run(
        [sys.executable, "suite.py"],
        cwd=tmp_path,
        env={**environment(tmp_path / "copy"), _parasuite_clock.VARIABLE: _parasuite_clock.described(), **environ},
        preexec_fn=before,
        timeout=PATIENCE_S,
        check=True,
    )


def enter_a_time_namespace() -> None:
    """Have the next program run where CLOCK_MONOTONIC is AHEAD_S ahead. Raises OSError without the privilege."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_TIME_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare")
    with open("/proc/self/timens_offsets", "w") as stream:
        stream.write(f"monotonic {AHEAD_S} 0\nboottime {AHEAD_S} 0\n")
    descriptor = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    if libc.setns(descriptor, NEW_TIME_NAMESPACE):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


@pytest.fixture
def time_namespace() -> Callable[[], None]:
    try:
        subprocess.run([sys.executable, "-c", ""], preexec_fn=enter_a_time_namespace, check=True)
    except subprocess.SubprocessError:
        pytest.skip("no time namespace can be made here")
    return enter_a_time_namespace


def test_a_program_that_replaces_every_clock_does_not_replace_the_recorders(tmp_path: Path) -> None:
    with carried_by_the_bind_of(tmp_path):
        run(tmp_path, REPLACED_EVERYWHERE)


@pytest.mark.parametrize(("module", "code"), [("freezegun", FREEZEGUN), ("time_machine", TIME_MACHINE)])
def test_time_that_a_test_freezes_goes_on_for_the_recorder(tmp_path: Path, module: str, code: str) -> None:
    real_tools.package(module)
    with carried_by_the_bind_of(tmp_path):
        run(tmp_path, code)


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime here")
@pytest.mark.parametrize("fake", ["@2012-01-14 00:00:00", "+0 x10"])
def test_a_preloaded_clock_is_not_the_recorders(tmp_path: Path, fake: str) -> None:
    with carried_by_the_bind_of(tmp_path):
        run(tmp_path, BIND, LD_PRELOAD=FAKETIME[0], FAKETIME=fake)


@on_linux
def test_the_clock_of_a_time_namespace_is_not_the_recorders(
    tmp_path: Path, time_namespace: Callable[[], None]
) -> None:
    with carried_by_the_bind_of(tmp_path):
        run(tmp_path, f"import time\nassert time.monotonic() > {AHEAD_S}\n{BIND}", time_namespace)


@on_linux
def test_a_process_in_a_time_namespace_is_attributed_like_any_other(
    tmp_path: Path, time_namespace: Callable[[], None]
) -> None:
    env = {**environment(tmp_path, "pages"), _parasuite_clock.VARIABLE: _parasuite_clock.described()}
    script = tmp_path / "suite.py"
    script.write_text(f"import socket\n{BIND}")
    with tracer({0: str(tmp_path / "pages")}) as watched:
        watched.start([sys.executable, str(script)], env=env, before=time_namespace)
        assert watched.run() == [0]
        (bind,) = [event for event in watched.events if isinstance(event, Bind)]
        assert (str(bind.caller.location or ""), watched.watch.notes()) == (f"{script}:2:<module>", [])


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime here")
def test_a_parasuite_under_a_preloaded_clock_reads_that_of_its_copies_as_it_is(parasuite: Parasuite) -> None:
    script = parasuite.cwd / "bind.py"
    script.write_text("import socket\n" + BIND)
    environ = {"LD_PRELOAD": FAKETIME[0], "FAKETIME": "+0 x2"}
    finished = parasuite(
        "run", "-j", "1", "--sensors", "recorder", "--", sys.executable, str(script), environ=environ
    )
    assert finished.code == 0, finished.stdout + finished.stderr
    assert listeners_seen(1, calls=2) in finished.stdout


@pytest.mark.parametrize("garbage", ["garbage", "time:[1] x", "12"])
def test_a_recorder_whose_clock_variable_the_suite_has_overwritten_reads_its_own_clock_and_says_so(
    tmp_path: Path, garbage: str
) -> None:
    with carried_by_the_bind_of(tmp_path):
        run(tmp_path, BIND, PARASUITE_CLOCK=garbage)
    (why,) = [path.read_text() for path in (tmp_path / "copy" / "recorder").glob("*.blind")]
    assert f"its clock may differ from parasuite's: PARASUITE_CLOCK is {garbage!r}" in why


def test_a_parasuite_whose_own_clock_variable_is_garbage_runs(parasuite: Parasuite) -> None:
    arguments = ("run", "-j", "1", "--sensors", "none", "--", "true")
    assert parasuite(*arguments, environ={"PARASUITE_CLOCK": "garbage"}).code == 0
