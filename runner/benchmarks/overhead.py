"""What a run costs more than a plain loop of the same pytest processes: `python -m runner.benchmarks.overhead`.

    python -m runner.benchmarks.overhead --pairs 20 ". : converted_tests -k poplib" "../urllib3 : test -x"

Each suite is a folder and the arguments of pytest there, run by the folder's .venv, else by this Python. A pair is a
plain loop, which starts COPIES pytest processes at once, and right after it the same under `parasuite run` with each
set of sensors. Printed are the ratios of CPU and wall time to the loop's (geometric mean and its 95 % interval), and,
if "none" is among the sets, the ratio of CPU time to that run: what the sensors alone cost, of the set "recorder" the
recorder's share. Of the seccomp sensor: the calls that the supervisor received, how many in a CPU second of the whole
run, its CPU time for each, and its share of the run's CPU time. --table writes every figure, and the load of the
machine before it was measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOP, NO_SENSORS = "loop", "none"
# Student's t for a two-sided interval of 95 %, by degrees of freedom from 1; more than 30 are taken for 30.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Suite:
    """*folder*: where pytest runs, with *arguments*."""

    folder: Path
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Suite:
        """Of "FOLDER : ARGUMENTS". Raises ValueError if FOLDER is none."""
        folder, _, arguments = text.partition(":")
        path = Path(folder.strip())
        if not path.is_dir():
            raise ValueError(f"{folder.strip()} is not a folder")
        return cls(path, tuple(shlex.split(arguments)))

    @property
    def python(self) -> str:
        """Absolute, but not resolved: the Python of a virtual environment is a link to one without its packages."""
        own = self.folder.absolute() / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    def __str__(self) -> str:
        return shlex.join([self.folder.name or str(self.folder.absolute().name), *self.arguments])


@dataclass(frozen=True)
class Measured:
    """One run, or one loop. *calls*, *supervisor_s*: what the seccomp sensor received, and the CPU that this took."""

    cpu_s: float
    wall_s: float
    calls: int = 0
    supervisor_s: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """The geometric mean of some ratios, and its 95 % interval; of one ratio the interval is not known."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        logarithms = [math.log(ratio) for ratio in ratios]
        mean, freedom = statistics.fmean(logarithms), len(logarithms) - 1
        if not freedom:
            return cls(math.exp(mean), 0.0, math.inf)
        half = _T[min(freedom, len(_T)) - 1] * statistics.stdev(logarithms) / math.sqrt(len(logarithms))
        return cls(math.exp(mean), math.exp(mean - half), math.exp(mean + half))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """The CPU and wall seconds that the processes which *work* starts and waits for take."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    wall_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s


def plain_loop(suite: Suite, copies: int) -> Measured:
    """*copies* pytest processes at once, each with a temporary folder and an output file of its own."""
    with tempfile.TemporaryDirectory() as folder:

        def loop() -> None:
            for process in [_started(suite, Path(folder) / str(copy)) for copy in range(copies)]:
                process.wait()

        cpu_s, wall_s = _measured(loop)
    return Measured(cpu_s, wall_s)


def _started(suite: Suite, folder: Path) -> subprocess.Popen[bytes]:
    words = [suite.python, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(folder), *suite.arguments]
    with folder.with_suffix(".log").open("wb") as output:
        return subprocess.Popen(
            words, cwd=suite.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def under_parasuite(suite: Suite, copies: int, sensors: str) -> Measured:
    """One `parasuite run` with *sensors*."""
    with tempfile.TemporaryDirectory() as folder:
        target, *options = suite.arguments
        words = [sys.executable, "-m", "parasuite", "run", "-j", str(copies), "--python", suite.python]
        words += ["--sensors", sensors, "--output-dir", folder, target, "--", *options]
        cpu_s, wall_s = _measured(
            lambda: subprocess.run(
                words, cwd=suite.folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        )
        record = Path(folder) / "latest" / "events" / "seccomp.jsonl"
        states = [json.loads(line) for line in record.open() if '"sensor"' in line] if record.exists() else []
    last = states[-1] if states else {}
    return Measured(cpu_s, wall_s, last.get("calls", 0), last.get("cpu_s", 0.0))


def _print_ratios(suite: Suite, measured: dict[str, list[Measured]]) -> None:
    loops = measured[LOOP]
    print(f"{suite}: loop {statistics.median(loop.wall_s for loop in loops):.1f} s wall (median)")
    for sensors, runs in measured.items():
        if sensors == LOOP:
            continue
        pairs = list(zip(runs, loops, strict=True))
        cpu, wall = (
            Ratio.of([run.cpu_s / loop.cpu_s for run, loop in pairs]),
            Ratio.of([run.wall_s / loop.wall_s for run, loop in pairs]),
        )
        calls = statistics.fmean(run.calls for run in runs)
        line = f"  {sensors:24} CPU {cpu}  wall {wall}"
        if sensors != NO_SENSORS and NO_SENSORS in measured:
            of_none = zip(runs, measured[NO_SENSORS], strict=True)
            line += f"  CPU of none {Ratio.of([run.cpu_s / none.cpu_s for run, none in of_none])}"
        if calls:
            supervisor_s = statistics.fmean(run.supervisor_s for run in runs)
            cpu_s = statistics.fmean(run.cpu_s for run in runs)
            line += f"  {calls:,.0f} calls ({calls / cpu_s:.0f} per CPU second), "
            line += f"{supervisor_s / calls * 1e6:.0f} us each, {supervisor_s / cpu_s:.1%} of the CPU time"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="how often (default: 5)")
    parser.add_argument("-j", "--copies", type=int, default=4, metavar="N", help="copies at once (default: 4)")
    parser.add_argument(
        "--sensors",
        action="append",
        metavar="LIST",
        help="a set of sensors to measure, as for `parasuite run`; may be given several times "
        "(default: none, recorder, sampler, seccomp, and auto)",
    )
    parser.add_argument("--table", type=argparse.FileType("w"), metavar="FILE", help="write each figure, as TSV")
    parser.add_argument("suite", nargs="+", type=Suite.parse, help='"FOLDER : PYTEST ARGUMENTS"')
    arguments = parser.parse_args()
    sets = arguments.sensors or [NO_SENSORS, "recorder", "sampler", "seccomp", "auto"]
    if arguments.table:
        print(
            "suite",
            "pair",
            "what",
            "CPU s",
            "wall s",
            "calls",
            "supervisor s",
            "load",
            sep="\t",
            file=arguments.table,
        )
    for suite in arguments.suite:
        measured: dict[str, list[Measured]] = {name: [] for name in (LOOP, *sets)}
        for pair in range(arguments.pairs):
            for name, runs in measured.items():
                load = os.getloadavg()[0]
                is_loop = name == LOOP
                one = (
                    plain_loop(suite, arguments.copies) if is_loop else under_parasuite(suite, arguments.copies, name)
                )
                runs.append(one)
                if arguments.table:
                    figures = (f"{one.cpu_s:.3f}", f"{one.wall_s:.3f}", one.calls, f"{one.supervisor_s:.3f}", load)
                    print(suite, pair, name, *figures, sep="\t", file=arguments.table, flush=True)
        _print_ratios(suite, measured)


if __name__ == "__main__":
    main()
