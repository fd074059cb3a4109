"""Merging is linear: `python -m runner.benchmarks.merging`; each number of runs in a process of its own.

Makes the folders of synthetic runs, as a hundred hosts send them after fifty rounds, merges them, and compares the
series with itself. The kernel has what was just written in memory, so the disk is not measured.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parasuite.gather import assemble_series, write_series_reports
from parasuite.judge.difference import difference
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.run_summary import FILE_NAME, FindingSummary, RunSummary, TestCount, summary_lines
from parasuite.model.words import OptionalReport, RunEnd, Severity
from parasuite.record.run_folder import RunFolder
from parasuite.record.series import SeriesFolder
from parasuite.run.merging import merge

from runner.tests.run_records import a_record

SIZES = (1_000, 5_000)
HOSTS = 100
FINDINGS = 200
TESTS = 300


def make_runs(base: Path, count: int) -> None:
    """*count* runs below *base*, each with FINDINGS findings and TESTS tests, some of them not as in other runs."""
    for number in range(count):
        run_id = f"20260101T{number // 3600 % 24:02d}{number // 60 % 60:02d}{number % 60:02d}Z-{number:04x}"
        host = f"host{number % HOSTS}"
        folder = RunFolder(base / "runs" / run_id)
        folder.path.mkdir(parents=True)
        ended = {"ended": RunEnd.COMPLETE, "verdict_code": 66, "exit_code": 66, "verdict": "port findings"}
        folder.write_record(a_record(run_id=run_id, host=host, started_s=float(number), pid=number, **ended))
        folder.write(FILE_NAME, "".join(summary_lines(_summary(run_id, host, number))))


def _summary(run_id: str, host: str, number: int) -> RunSummary:
    return RunSummary(
        run_id=run_id,
        started_s=float(number),
        host=host,
        target="pytest tests/",
        copies=8,
        duration_s=60.0,
        ended=RunEnd.COMPLETE,
        code=66,
        exit_code=66,
        verdict="port findings",
        is_conclusive=True,
        findings=tuple(_finding(index, number) for index in range(FINDINGS)),
        tests={
            f"tests/test_it.py::test_{test}": TestCount(8 - (number * test % 97 == 1), 0) for test in range(TESTS)
        },
    )


def _finding(index: int, number: int) -> FindingSummary:
    happened = (number + index) % 5 == 0
    return FindingSummary(
        id=f"{index:010x}",
        cause=Cause.LOST_PORT,
        severity=Severity.ERROR if happened else Severity.WARNING,
        title=f"tests/test_it.py:draw_{index} was assigned a port and released it before it was bound again",
        place=f"tests/test_it.py:{index} draw_{index}",
        effects=(EffectKind.REFUSED,) if happened else (),
        is_failing=happened,
    )


def measure(count: int) -> None:
    """Print what merging *count* runs took, and comparing the series with itself."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        subprocess.run([sys.executable, "-m", __spec__.name, "make", str(base), str(count)], check=True)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        series = SeriesFolder.create_at(base / "merged")
        merge([base], series)
        report = assemble_series(series)
        problems = write_series_reports(series, report, frozenset(OptionalReport))
        merged_s, merged_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        began_cpu_s = time.process_time()
        difference(report.history, assemble_series(series).history)
        compared_cpu_s = time.process_time() - began_cpu_s
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        sizes = {file.name: file.stat().st_size >> 10 for file in series.path.iterdir() if file.is_file()}
        assert (problems, len(report.history.runs), len(report.history.findings)) == ([], count, FINDINGS)
        print(
            f"{count:,} runs: merged in {merged_s:.1f} s ({merged_cpu_s:.1f} s of CPU), "
            f"compared in {compared_cpu_s:.1f} s of CPU, {mib} MiB; KiB: {sizes}"
        )


def main() -> None:
    if sys.argv[1:2] == ["make"]:
        make_runs(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:]:
        measure(int(sys.argv[1]))
    else:
        for count in SIZES:
            subprocess.run([sys.executable, "-m", __spec__.name, str(count)], check=True)


if __name__ == "__main__":
    main()
