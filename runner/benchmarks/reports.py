"""Reports of a large run: `python -m runner.benchmarks.reports`.

Writes the folder of a run of eight copies of 5,000 tests, with 2,000 holds a copy and 10,000 refused binds, and
reports it in a process of its own, for its memory. Then Chromium opens the page, if playwright and Chromium are
there.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from parasuite.model.events import CopyState, Event, RunStarted, SensorState
from parasuite.model.lines import encode
from parasuite.model.party import Party
from parasuite.model.words import CopyPhase, RunEnd, SensorStatus, TestOutcome
from parasuite.record.recorder_files import FOLDERS
from parasuite.record.run_folder import RunFolder

from runner.tests.building import by, draws, refused, serves, tcp
from runner.tests.run_records import a_record

COPIES, TESTS, HOLDS, EFFECTS = 8, 5_000, 2_000, 10_000
FIXED_PORTS = 200
TEST_NS = 10_000_000
GOALS = "goals: all reports under 10 s and 300 MiB, the page opens in under 2 s"
_OPENED = """
new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))
"""


def test_id(number: int) -> str:
    return f"tests/test_part_{number // 50}.py::TestSomething::test_behaviour_{number}"


def place(number: int) -> str:
    return f"tests/conftest.py:{10 + number}:server_{number} tests/test_part_{number}.py:{40 + number}:test"


def events() -> Iterator[Event]:
    """Of all sockets: each refused bind is a test of one copy against a server of another."""
    for number in range(HOLDS):
        for copy in range(COPIES):
            start_ns = 1_000_000_000 + number * (TESTS // HOLDS) * TEST_NS + copy
            caller = by(copy, 100 + copy, test=test_id(number * 2), line=place(number % 90))
            if number < FIXED_PORTS and number % COPIES == copy:
                yield from serves(start_ns, caller, tcp(8000 + number))
            else:
                yield from draws(
                    start_ns, caller, tcp(32768 + (number * 13 + copy) % 28000), released_ns=start_ns + 500
                )
    for number in range(EFFECTS):
        port = number % FIXED_PORTS
        holder = port % COPIES
        copy = (holder + 1 + number % (COPIES - 1)) % COPIES
        caller = by(copy, 100 + copy, test=test_id(number % TESTS), line=place(port % 90))
        yield refused(60_000_000_000 + number * 1000, caller, tcp(8000 + port), Party(holder), cookie=0)


def write_run(folder: Path) -> None:
    """A run folder as `parasuite run` leaves it before it is judged."""
    run = RunFolder(folder)
    for name in ("events", *(f"copies/{copy:03d}/{name}" for copy in range(COPIES) for name in FOLDERS)):
        (folder / name).mkdir(parents=True)
    run.write_record(a_record(copies=COPIES, ended=RunEnd.COMPLETE, sensors_in_use=("seccomp",)))
    end_ns = 80_000_000_000
    life: list[Event] = [RunStarted(t_ns=1, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999)]
    for copy in range(COPIES):
        life.append(CopyState(t_ns=2, copy=copy, state=CopyPhase.STARTED, pid=100 + copy))
        life.append(CopyState(t_ns=end_ns, copy=copy, state=CopyPhase.EXITED, status=1))
        life.append(CopyState(t_ns=end_ns + 1, copy=copy, state=CopyPhase.GONE))
    _write_events(folder / "events" / "orchestrator.jsonl", sorted(life, key=lambda event: event.t_ns))
    sensor = SensorState(t_ns=end_ns + 2, sensor="seccomp", state=SensorStatus.DOWN, calls=COPIES * HOLDS + EFFECTS)
    _write_events(folder / "events" / "seccomp.jsonl", [*events(), sensor])
    for copy in range(COPIES):
        with (folder / "copies" / f"{copy:03d}" / "results.jsonl").open("w") as stream:
            for line in results(copy):
                stream.write(json.dumps(line) + "\n")
        (folder / "copies" / f"{copy:03d}" / "output.log").write_text("")


def results(copy: int) -> Iterator[dict[str, object]]:
    """What the plug-in of pytest writes: one test of fifty fails."""
    for number in range(TESTS):
        yield {"event": "collected", "t_ns": 3, "runner": "r", "id": test_id(number)}
    for number in range(TESTS):
        failed = number % 50 == copy
        line = {"event": "result", "t_ns": 4, "runner": "r", "id": test_id(number), "duration_s": TEST_NS / 1e9}
        line |= {"phase": "call", "outcome": TestOutcome.FAILED if failed else TestOutcome.PASSED, "attempts": []}
        line |= {"message": "OSError: [Errno 98] Address already in use" if failed else ""}
        line |= {"text": "E   OSError: [Errno 98]\n" * 20 if failed else ""}
        started_ns = 1_000_000_000 + number * TEST_NS
        yield {"event": "started", "t_ns": started_ns, "runner": "r", "id": test_id(number)}
        yield line
    yield {"event": "ended", "t_ns": 5, "runner": "r"}


def _write_events(path: Path, written: list[Event]) -> None:
    path.write_text("".join(encode(event) + "\n" for event in written))


def report(folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak MiB of `parasuite report`, with every report file."""
    argv = [sys.executable, "-m", "parasuite", "report", "--trace", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True)
    elapsed_s = time.perf_counter() - started_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "report.html" not in {path.name for path in folder.iterdir()}:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    print(*done.stdout.splitlines()[-6:], sep="\n")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed_s, cpu_s, after.ru_maxrss / 1024


def open_page(page: Path) -> float | None:
    """Milliseconds until Chromium has drawn the page; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.goto("about:blank")
        opened.goto(page.as_uri())
        drawn_ms = float(opened.evaluate(_OPENED))
        browser.close()
    return drawn_ms


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "run"
        write_run(folder)
        seconds, cpu_s, peak = report(folder)
        print(f"{COPIES} copies of {TESTS:,} tests, {HOLDS:,} holds each, {EFFECTS:,} effects")
        print(f"all reports: {seconds:.1f} s ({cpu_s:.1f} s of CPU), peak {peak:.0f} MiB")
        for file in sorted(folder.iterdir()):
            if file.is_file():
                print(f"  {file.name}: {file.stat().st_size / 1e6:.2f} MB")
        drawn_ms = open_page(folder / "report.html")
        print("page: no browser" if drawn_ms is None else f"page: drawn after {drawn_ms:.0f} ms")
        print(GOALS)


if __name__ == "__main__":
    main()
