"""Judging is linear: `python -m runner.benchmarks.judging`; each size in a process of its own, for its memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parasuite.judge.findings import find
from parasuite.model.events import Bind, CopyState, Endpoint, Event, Listen, Release, RunStarted
from parasuite.model.lines import encode
from parasuite.model.words import CopyPhase, Protocol
from parasuite.record.run_folder import RunFolder

from runner.tests.building import by

SIZES = (100_000, 1_000_000)
COPIES = 8
PROCESSES = 100
EVENTS_OF_EACH = 10_000


def story(count: int) -> list[str]:
    """*count* events as copies write them: listeners on assigned ports, a few of them shared or hard-coded."""
    lines = [encode(RunStarted(t_ns=1, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999))]
    for number in range(count // 3):
        copy, t_ns = number % COPIES, 10 + 10 * number
        port = 8000 + number % 7 if number % 97 == 0 else 32768 + (number * 7919) % 28000
        asked = Endpoint(Protocol.TCP, "127.0.0.1", port if port < 32768 else 0)
        got = Endpoint(Protocol.TCP, "127.0.0.1", port)
        test, line = f"tests/test_it.py::test_{number % 500}", f"tests/test_it.py:{number % 900}:test_{number % 500}"
        caller = by(copy, pid=100 + copy, test=test, line=line)
        events: list[Event] = [
            Bind(t_ns=t_ns, cookie=number + 1, asked=asked, got=got, caller=caller),
            Listen(t_ns=t_ns + 1, cookie=number + 1, got=got, caller=caller),
            Release(t_ns=t_ns + 2, cookie=number + 1),
        ]
        lines += map(encode, events)
    lines.append(encode(CopyState(t_ns=10 * count, copy=0, state=CopyPhase.GONE)))
    return lines


def recorded_by_processes(folder: Path) -> None:
    """What PROCESSES Python processes, which all live at one time, write where there is no seccomp."""
    (folder / "events").mkdir()
    recorder = folder / "copies" / "000" / "recorder"
    recorder.mkdir(parents=True)
    for process in range(PROCESSES):
        with (recorder / f"{process}-1-0.jsonl").open("w") as stream:
            for number in range(EVENTS_OF_EACH // 2):
                t_ns, pid, cookie = 10 + 1000 * number + process, 100 + process, PROCESSES * number + process + 1
                asked, got = (
                    Endpoint(Protocol.TCP, "127.0.0.1", 0),
                    Endpoint(Protocol.TCP, "127.0.0.1", 32768 + cookie % 28000),
                )
                line = "tests/test_it.py:7:test_one"
                bind = Bind(
                    t_ns=t_ns,
                    source="recorder",
                    caller=by(0, pid=pid, line=line),
                    cookie=cookie,
                    asked=asked,
                    got=got,
                )
                release = Release(t_ns=t_ns + 500, source="recorder", caller=by(0, pid=pid), cookie=cookie)
                stream.write(encode(bind) + "\n" + encode(release) + "\n")


def one(folder: Path) -> None:
    """Judge the recorded run in *folder*; prints seconds, peak MiB, findings."""
    started_s = time.perf_counter()
    found = find(RunFolder(folder).events(lambda: False)).findings
    elapsed_s = time.perf_counter() - started_s
    print(f"{elapsed_s:.2f} {peak_mib():.0f} {len(found)}")


def peak_mib() -> float:
    """The peak memory of this process (proc_pid_status(5)).

    Not ru_maxrss, which begins with the memory of the process that forked this one, and that one made the events.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def judged(folder: Path) -> list[str]:
    """What `one` prints, in a process of its own."""
    argv = [sys.executable, "-m", "runner.benchmarks.judging", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def main() -> None:
    times = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "events").mkdir()
            (folder / "events" / "seccomp.jsonl").write_text("\n".join(story(size)) + "\n")
            seconds, peak, count = judged(folder)
        times.append(float(seconds))
        print(f"{size:>9,} events: {seconds} s, peak {peak} MiB, {count} findings")
    print(f"time grew by {times[1] / times[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        recorded_by_processes(Path(name))
        seconds, peak, count = judged(Path(name))
    print(
        f"{PROCESSES} processes with {EVENTS_OF_EACH:,} events each: {seconds} s, peak {peak} MiB, {count} findings"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(Path(sys.argv[1]))
    else:
        main()
