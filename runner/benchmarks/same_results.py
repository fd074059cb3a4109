"""Whether a suite has the same results under parasuite as without: `python -m runner.benchmarks.same_results`.

    python -m runner.benchmarks.same_results --folder PROJECT -- venv/bin/python -m pytest tests --junitxml={junit}

Runs the command, which must write a JUnit file to {junit}, twice alone and once under `parasuite run -j 1`, in the
project's folder, and compares the outcome of each test. A test that differs between the runs alone is unstable by
itself. One that is the same in all of them and differs under parasuite shows a defect of parasuite's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from parasuite.model.results import with_distinct_ids
from parasuite.record.junit_files import ResultsError, junit_results

PLACEHOLDER = "{junit}"
ABSENT = "absent"
Outcomes: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """A test whose outcome was not the same in all runs. *is_ours*: it was the same in all runs alone."""

    test: str
    alone: tuple[str, ...]
    watched: str

    @property
    def is_ours(self) -> bool:
        return len(set(self.alone)) == 1

    def __str__(self) -> str:
        return f"{self.test}: alone {', '.join(self.alone)}; under parasuite {self.watched}"


def differences(alone: Sequence[Outcomes], watched: Outcomes) -> Iterator[Difference]:
    """The tests whose outcome differs between any two of the runs; a test that a run lacks is "absent" from it."""
    for test in sorted({test for outcomes in (*alone, watched) for test in outcomes}):
        difference = Difference(
            test, tuple(outcomes.get(test, ABSENT) for outcomes in alone), watched.get(test, ABSENT)
        )
        if {*difference.alone} != {difference.watched}:
            yield difference


def outcomes_of(command: Sequence[str], project: Path, timeout_s: float) -> Outcomes:
    """Run *command* in the folder *project*; the outcome of each test. Raises ResultsError if it wrote no file."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word.replace(PLACEHOLDER, f"{folder}/junit.xml") for word in command]
        with (Path(folder) / "output").open("w+") as output:
            process = subprocess.Popen(
                words,
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # What a suite leaves running would disturb its next run.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            end = output.read()[-2000:]
        try:
            results = with_distinct_ids(junit_results(Path(folder), "junit.xml"))
        except ResultsError as error:
            raise ResultsError(f"{error}; exit status {process.returncode}\n{end}") from error
    return {result.id: str(result.outcome) for result in results}


def _counted(outcomes: Outcomes) -> str:
    counts = Counter(outcomes.values())
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))


def main() -> int:
    """Exits 1 if a test differs under parasuite only, 2 if a run wrote no results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--alone", type=int, default=2, metavar="N", help="runs without parasuite (default: 2)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the command runs (default: here)")
    parser.add_argument("--sensors", default="auto", help="as for `parasuite run` (default: auto)")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for each run (default: 600)")
    parser.add_argument(
        "command", nargs="+", help=f"a command that writes a JUnit file to {PLACEHOLDER}; put it after --"
    )
    arguments = parser.parse_args()
    if not any(PLACEHOLDER in word for word in arguments.command):
        parser.error(f"the command must contain {PLACEHOLDER}")
    parasuite = [sys.executable, "-m", "parasuite", "run", "-j", "1", "--sensors", arguments.sensors, "--"]
    try:
        alone = [outcomes_of(arguments.command, arguments.folder, arguments.timeout) for _ in range(arguments.alone)]
        watched = outcomes_of([*parasuite, *arguments.command], arguments.folder, arguments.timeout)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 2
    for outcomes in alone:
        print(f"alone: {_counted(outcomes)}")
    print(f"under parasuite: {_counted(watched)}")
    found = list(differences(alone, watched))
    ours = [difference for difference in found if difference.is_ours]
    for heading, rows in (
        ("unstable alone", [difference for difference in found if not difference.is_ours]),
        ("different under parasuite", ours),
    ):
        print(f"{len(rows)} {heading}")
        for row in rows:
            print(f"  {row}")
    return 1 if ours else 0


if __name__ == "__main__":
    raise SystemExit(main())
