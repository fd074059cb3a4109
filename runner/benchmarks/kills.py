"""Kills one or two processes of a run at a random moment, many times: `python -m runner.benchmarks.kills`.

After each kill: no process of the run is left five seconds later, no result is lost, every report that could be
written is there, the exit codes are right. Prints a table, and each fault with the seed that shows it again; exits
with 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil

from runner.tests.conftest import Finished, Parasuite, clean_environment

ROLES = ("orchestrator", "supervisor", "spawner", "init", "main")
COPIES = 2
LATEST_S = 4.0
AFTER_START = 0.75  # The share of moments that are drawn from when the copies run; the others, from the very start.
LEFT_AFTER_S = 5.0
REPORTS = ("findings.json", "junit.xml", "junit-merged.xml")
_ROLE_OF = {"parasuite-super": "supervisor", "parasuite-spawn": "spawner", "parasuite-init": "init"}

# Children in their own sessions, daemons, without an environment, ignoring signals; all are named by the mark.
SUITE = """
import os, signal, socket, time

def sleeper(*, ignores=False, session=False, daemon=False, environ=None):
    if os.fork() == 0:
        try:
            if session or daemon:
                os.setsid()
            if daemon and os.fork():
                os._exit(0)
            if ignores:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
            os.execve("/bin/sleep", ["sleep", "300", "0." + os.environ["KILLS_MARK"]], environ or {})
        finally:
            os._exit(1)

def test_nothing(): pass

def test_children_of_every_kind():
    sleeper(environ=os.environ)
    sleeper(ignores=True)
    sleeper(ignores=True, session=True)
    sleeper(ignores=True, daemon=True)

def test_many_children():
    for number in range(20):
        sleeper(ignores=number % 2 == 0, session=number % 3 == 0)

def test_sockets():
    for _ in range(60):
        with socket.create_server(("127.0.0.1", 0)):
            time.sleep(0.02)

def test_last(): time.sleep(0.5)
"""


@dataclass(slots=True)
class Trial:
    """One run and its kill. *killed*: the roles that were there to be killed. *faults*: what is not as it must be."""

    victims: tuple[str, ...]
    seed: int
    killed: list[str] = field(default_factory=list)
    end_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that name *mark* in their arguments or their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_marked = any(mark in word for word in process.cmdline()) or process.environ().get("KILLS_MARK") == mark
            if is_marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def by_role(orchestrator: psutil.Process, choice: random.Random) -> dict[str, psutil.Process]:
    """The processes of a run that are there now; an init and its main process are those of one copy by chance."""
    found = {"orchestrator": orchestrator}
    with contextlib.suppress(psutil.Error):
        below = orchestrator.children(recursive=True)
        choice.shuffle(below)
        for process in below:
            with contextlib.suppress(psutil.Error):
                role = _ROLE_OF.get(process.name())
                if role is not None and role not in found:
                    found[role] = process
        with contextlib.suppress(KeyError, IndexError):
            found["main"] = found["init"].children()[0]
    return found


def trial(victims: tuple[str, ...], seed: int) -> Trial:
    """Run the suite, kill *victims* at the moment that *seed* draws, and look at what is left of the run."""
    made = Trial(victims, seed)
    choice = random.Random(f"{'+'.join(victims)} {seed}")
    mark = f"{random.SystemRandom().randrange(10**12):012}"
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
        parasuite = Parasuite(Path(folder), {**clean_environment(), "KILLS_MARK": mark})
        (parasuite.cwd / "tests").mkdir()
        (parasuite.cwd / "tests" / "test_kills.py").write_text(SUITE)
        arguments = ("run", "-j", str(COPIES), "--python", sys.executable, "tests/", "--", "-p", "no:randomly")
        process = parasuite.start(*arguments)
        if choice.random() < AFTER_START:
            wait_for_start(parasuite.cwd, process)
        time.sleep(choice.uniform(0, LATEST_S))
        there = by_role(psutil.Process(process.pid), choice)
        alive = not has_ended(parasuite.cwd)
        for role in victims:
            if role in there and process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    there[role].kill()
                    made.killed.append(role)
        killed_s = time.monotonic()
        finished = finish(made, parasuite, process)
        if not {"orchestrator", "supervisor", "spawner"} & set(made.killed):
            killed_s = time.monotonic()  # The other copies went on, as they should.
        while (left := marked(mark)) and time.monotonic() < killed_s + LEFT_AFTER_S:
            time.sleep(0.05)
        made.end_s = time.monotonic() - killed_s
        if left:
            made.faults.append(f"left after {LEFT_AFTER_S:.0f} s: {left}")
            for process_left in left:
                with contextlib.suppress(psutil.Error):
                    process_left.kill()
        made.faults += faults_of(made, parasuite, finished, was_running=alive)
    return made


def wait_for_start(cwd: Path, process: subprocess.Popen[str]) -> None:
    """Wait until every copy has been started, or *process* has ended."""
    while process.poll() is None and sum(state["state"] == "started" for state in states(cwd)) < COPIES:
        time.sleep(0.02)


def finish(made: Trial, parasuite: Parasuite, process: subprocess.Popen[str]) -> Finished:
    try:
        return parasuite.finish(process)
    except subprocess.TimeoutExpired:
        made.faults.append("hung")
        process.kill()
        return parasuite.finish(process)


def states(cwd: Path) -> Iterator[dict[str, Any]]:
    """What the orchestrator wrote down of the copies."""
    with contextlib.suppress(FileNotFoundError):
        for line in (cwd / ".parasuite" / "latest" / "events" / "orchestrator.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError):
                if "state" in (state := json.loads(line)) and "copy" in state:
                    yield state


def has_ended(cwd: Path) -> bool:
    """Whether every copy has."""
    return sum(state["state"] in ("gone", "lost", "failed") for state in states(cwd)) == COPIES


def faults_of(made: Trial, parasuite: Parasuite, finished: Finished, *, was_running: bool) -> Iterator[str]:
    if "Traceback" in finished.stderr:
        yield f"traceback: {finished.stderr[-300:]}"
    is_killed = "orchestrator" in made.killed
    if is_killed != (finished.code == -9):
        yield f"exit code {finished.code}"
    if not (finished.folder / "run.json").is_file():
        if not is_killed:
            yield "no run.json"
        return
    recorded = finished.run.get("exit_code")
    report = parasuite("report")
    if "Traceback" in report.stderr:
        yield f"traceback of report: {report.stderr[-300:]}"
    expected = expected_codes(made, recorded, was_running=was_running)
    if report.code not in expected:
        yield f"report exits with {report.code}, not one of {sorted(expected)}: {report.verdict[:100]}"
    if not is_killed and report.code != finished.code:
        yield f"run exited with {finished.code}, report with {report.code}"
    for name in REPORTS:
        if not (finished.folder / name).is_file():
            yield f"no {name}"
            return
    yield from lost_results(finished.folder)


def expected_codes(made: Trial, recorded: int | None, *, was_running: bool) -> set[int]:
    if "orchestrator" in made.killed:
        return {3} if recorded is None else {recorded}
    if not was_running or not made.killed:
        return {0}
    # What was killed in the last moment of a run may have had nothing left to do.
    if {"supervisor", "spawner"} & set(made.killed):
        return {3} | ({0} if recorded == 0 else set())
    return {1} | ({0} if recorded == 0 else set())


def lost_results(folder: Path) -> Iterator[str]:
    """Each test of results.jsonl that junit.xml does not have."""
    suites = ElementTree.parse(folder / "junit.xml").getroot().iter("testsuite")
    reported = {suite.get("name"): [case.get("name") for case in suite.iter("testcase")] for suite in suites}
    for copy in range(COPIES):
        known = set()
        with contextlib.suppress(FileNotFoundError):
            for line in (folder / "copies" / f"{copy:03d}" / "results.jsonl").read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    known.add(json.loads(line).get("id"))
        for test in sorted(known - {None}):
            if not any(name and test.endswith(name) for name in reported.get(f"tests@copy-{copy}", [])):
                yield f"copy {copy}: {test} is not in junit.xml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--single", type=int, default=14, help="runs in which one process is killed")
    parser.add_argument("--double", type=int, default=6, help="runs in which two are killed at once")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next has the next one")
    options = parser.parse_args()
    pairs = list(combinations(ROLES, 2))
    plan: list[tuple[tuple[str, ...], int]] = []
    for seed in range(options.seed, options.seed + options.single):
        plan.append(((ROLES[seed % len(ROLES)],), seed))
    for seed in range(options.seed, options.seed + options.double):
        plan.append((pairs[seed % len(pairs)], seed))
    made: list[Trial] = []
    for victims, seed in plan:
        made.append(trial(victims, seed))
        for fault in made[-1].faults:
            print(
                f"{'+'.join(victims)} --seed {seed} (killed: {', '.join(made[-1].killed) or 'none'}): {fault}",
                flush=True,
            )
    print(f"{'killed':28} {'runs':>5} {'of them all there':>18} {'faults':>7} {'slowest end':>12}")
    for victims in dict.fromkeys(victims for victims, _ in plan):
        of_these = [one for one in made if one.victims == victims]
        whole = sum(len(one.killed) == len(victims) for one in of_these)
        faults = sum(len(one.faults) for one in of_these)
        slowest_s = max(one.end_s for one in of_these)
        print(f"{' + '.join(victims):28} {len(of_these):5} {whole:18} {faults:7} {slowest_s:10.2f} s")
    return int(any(one.faults for one in made))


if __name__ == "__main__":
    sys.exit(main())
