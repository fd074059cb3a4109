"""What the exact sensors cost: `python -m runner.benchmarks.cost [ALTERNATIONS [PARASUITE RUN ARGUMENTS]]`.

First the price of one trapped call, for the caller (median) and for the supervisor (CPU, its events written down): of
internet sockets, then of Unix sockets. Then runs of the corpus with all sensors and with none, one after the other,
as often as asked.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parasuite.model.events import Event
from parasuite.model.lines import encode
from parasuite.sensors.seccomp.sensor import GATHERED_EVENTS

from runner.tests.tracing import Tracer, python

CALLS = 20_000
_PRINT_MEDIANS = """
import statistics
every = [ns for values in spent.values() for ns in values]
medians = dict((name, statistics.median(values) / 1e3) for name, values in spent.items())
print(json.dumps(dict(medians, all=statistics.median(every) / 1e3)))
"""
_CODE = f"""
import json, socket, time
spent = dict(bind=[], listen=[], connect=[])
for _ in range({CALLS} // 4):
    with socket.socket() as s, socket.socket(type=socket.SOCK_DGRAM) as u, socket.socket() as t:
        for name, call in (
            ("bind", lambda: s.bind(("127.0.0.1", 0))),
            ("listen", s.listen),
            ("connect", lambda: u.connect(("127.0.0.1", 9))),
            ("bind", lambda: t.bind(("127.0.0.1", 0))),
        ):
            started = time.perf_counter_ns()
            call()
            spent[name].append(time.perf_counter_ns() - started)
{_PRINT_MEDIANS}"""

_UNIX_CODE = f"""
import json, os, socket, tempfile, time
spent = dict(path=[], listen=[], name=[])
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for number in map(str, range({CALLS} // 3)):
        with socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX) as t:
            for name, call in (
                ("path", lambda: s.bind(number)),
                ("listen", s.listen),
                ("name", lambda: t.bind("\\0" + folder + number)),
            ):
                started = time.perf_counter_ns()
                call()
                spent[name].append(time.perf_counter_ns() - started)
        os.unlink(number)
{_PRINT_MEDIANS}"""


def per_call(code: str) -> None:
    """Print the median for the caller of *code*, and the supervisor's CPU per call."""
    plain = json.loads(subprocess.run(python(code), capture_output=True, check=True).stdout)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w") as record:
        tracer = Tracer()
        tracer.watch.close()
        written = _Written(record)
        tracer.events = written  # type: ignore[assignment]
        tracer.__post_init__()

        def to_file() -> None:
            os.dup2(output.fileno(), 1)

        tracer.start(python(code), before=to_file)
        started_s = time.process_time()
        tracer.run()
        written.flush()
        cpu_s = time.process_time() - started_s
        calls = tracer.watch.calls
        tracer.close()
        output.seek(0)
        traced = json.loads(output.read())
    for name in traced:
        print(f"{name:8} {plain[name]:6.1f} us untraced, {traced[name]:6.1f} us traced (median, the caller's)")
    print(f"supervisor {cpu_s / calls * 1e6:.1f} us of CPU per call, over {calls:,} calls and their releases")


class _Written:
    """Takes the place of a list of events: gathers, encodes and writes them, as the supervisor does."""

    def __init__(self, stream: object) -> None:
        self._write = stream.write  # type: ignore[attr-defined]
        self._gathered: list[Event] = []

    def append(self, event: Event) -> None:
        self._gathered.append(event)
        if len(self._gathered) >= GATHERED_EVENTS:
            self.flush()

    def flush(self) -> None:
        self._write("".join(encode(event) + "\n" for event in self._gathered))
        self._gathered.clear()


def run(sensors: str, arguments: list[str]) -> tuple[float, float, int, float]:
    """One run: wall seconds, CPU seconds of all its processes, calls seen, CPU seconds of the supervisor."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started_s = time.monotonic()
        argv = [sys.executable, "-m", "parasuite", "run", "--sensors", sensors, *arguments]
        subprocess.run(argv, cwd=folder, capture_output=True, check=False)
        wall_s = time.monotonic() - started_s
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        record = Path(folder) / ".parasuite" / "latest" / "events" / "seccomp.jsonl"
        states = [json.loads(line) for line in record.open() if '"sensor"' in line] if record.exists() else []
    last = states[-1] if states else {}
    return wall_s, cpu_s, last.get("calls", 0), last.get("cpu_s", 0.0)


def main(alternations: int, arguments: list[str]) -> None:
    per_call(_CODE)
    per_call(_UNIX_CODE)
    wall, cpu = [], []
    for number in range(alternations):
        plain = run("none", arguments)
        seen = run("auto", arguments)
        wall.append(seen[0] / plain[0])
        cpu.append(seen[1] / plain[1])
        print(
            f"{number}: none {plain[0]:.1f} s wall {plain[1]:.1f} s CPU; "
            f"all {seen[0]:.1f} s wall {seen[1]:.1f} s CPU, "
            f"{seen[2]:,} calls, supervisor {seen[3]:.2f} s CPU = {seen[3] / max(1, seen[2]) * 1e6:.0f} us a call",
            flush=True,
        )
    for name, ratios in (("CPU", cpu), ("wall", wall)):
        if ratios:
            print(f"{name} ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2:] or ["-j", "8"])
