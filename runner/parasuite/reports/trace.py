"""trace.json.gz: the run as a trace that ui.perfetto.dev, chrome://tracing and speedscope open.

Source: "Trace Event Format" (Google, 2016). A party is a process of the trace. Each of its threads is a track: of
tests, of held ports, or of what findings did. The format wants complete events of one track to nest, but ports are
held, and workers run tests, in any order. So what overlaps goes to another track of the same kind, "ports 2". Names
are hostile text: each is made printable, and cut if it is very long.
"""

from __future__ import annotations

import gzip
import heapq
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from parasuite.judge.findings import Finding
from parasuite.judge.ledger import Hold
from parasuite.judge.report import Report
from parasuite.model.party import Party
from parasuite.reports.page.columns import shown
from parasuite.reports.timeline import OUTSIDE, Mark, TestSpan, marks, start_of, test_spans

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_TraceEvent: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """Something that lasts: half-open, in microseconds from the start of the run."""

    start_us: int
    end_us: int
    name: str
    details: Mapping[str, object]


@dataclass(slots=True)
class _Process:
    """What one party shows, in any order."""

    tests: list[_Slice] = field(default_factory=list)
    ports: list[_Slice] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def trace(report: Report) -> bytes:
    """The file, compressed. Equal reports give equal bytes."""
    events = ",\n".join(_ENCODER.encode(event) for event in _events(report))
    head = {"run": report.run_id, "verdict": shown(report.verdict.reason), "ports_left_out": report.timeline.left_out}
    text = f'{{"displayTimeUnit":"ms","otherData":{json.dumps(head)},"traceEvents":[\n{events}\n]}}\n'
    return gzip.compress(text.encode("ascii"), mtime=0)


def _events(report: Report) -> Iterator[_TraceEvent]:
    spans = list(test_spans(report))
    base_ns = start_of(report, spans)
    processes: defaultdict[Party | None, _Process] = defaultdict(_Process)
    for span in spans:
        processes[Party(span.copy)].tests.append(_of_test(span, base_ns))
    for hold in report.timeline.holds:
        processes[hold.caller.process.party].ports.append(_of_hold(hold, base_ns))
    for mark in marks(report.findings):
        processes[mark.party].marks.append(mark)
    findings = {finding.id: finding for finding in report.findings}
    # No track has the number of a process: a reader would take it for the main thread of that process.
    numbers = itertools.count(len(processes) + 1)
    for number, (party, shows) in enumerate(sorted(processes.items(), key=_place), 1):
        yield _metadata("process_name", number, number, name=OUTSIDE if party is None else shown(str(party)))
        yield _metadata("process_sort_index", number, number, sort_index=number)
        if shows.marks:
            track = next(numbers)
            yield from _names_of_track("findings", number, track)
            yield from (_instant(mark, findings[mark.finding], number, track, base_ns) for mark in shows.marks)
        for kind, slices in (("tests", shows.tests), ("ports", shows.ports)):
            for place, on_track in enumerate(_tracks(slices), 1):
                track = next(numbers)
                yield from _names_of_track(kind if place == 1 else f"{kind} {place}", number, track)
                yield from (_complete(slice_, kind, number, track) for slice_ in on_track)


def _place(item: tuple[Party | None, _Process]) -> tuple[bool, Party]:
    """Copies, each followed by its workers; strangers last."""
    party, _ = item
    return (party is None, party or Party(0))


def _tracks(slices: Iterable[_Slice]) -> list[list[_Slice]]:
    """*slices*, sorted by start, on as few tracks as can be so that no two of one track overlap."""
    tracks: list[list[_Slice]] = []
    free: list[int] = []  # Tracks without a slice now, as a heap: the first of them is used.
    busy: list[tuple[int, int]] = []  # The others, with the end of their last slice.
    for slice_ in sorted(slices, key=lambda each: (each.start_us, each.end_us, each.name)):
        while busy and busy[0][0] <= slice_.start_us:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            heapq.heappush(free, len(tracks))
            tracks.append([])
        track = heapq.heappop(free)
        tracks[track].append(slice_)
        heapq.heappush(busy, (slice_.end_us, track))
    return tracks


def _of_test(span: TestSpan, base_ns: int) -> _Slice:
    result = span.result
    details = {"outcome": result.outcome, "message": shown(result.message)}
    return _slice(result.id, span.start_ns - base_ns, span.end_ns - base_ns, details)


def _of_hold(hold: Hold, base_ns: int) -> _Slice:
    caller = hold.caller
    details = {
        "asked for": {None: "unknown", 0: "any port"}.get(hold.asked_port, f"port {hold.asked_port}"),
        "listening": hold.listening,
        "test": shown(caller.test),
        "place": "" if caller.location is None else shown(str(caller.location)),
        "pid": caller.process.pid,
        "evidence": hold.evidence,
    }
    return _slice(str(hold.endpoint), hold.start_ns - base_ns, hold.end_ns - base_ns, details)


def _slice(name: str, start_ns: int, end_ns: int, details: Mapping[str, object]) -> _Slice:
    """Times are relative to the start of the run. What takes no time is drawn as a microsecond."""
    start_us = max(0, start_ns // 1000)
    return _Slice(start_us=start_us, end_us=max(end_ns // 1000, start_us + 1), name=shown(name), details=details)


def _names_of_track(name: str, process: int, track: int) -> Iterator[_TraceEvent]:
    yield _metadata("thread_name", process, track, name=name)
    yield _metadata("thread_sort_index", process, track, sort_index=track)


def _metadata(what: str, process: int, track: int, **args: object) -> _TraceEvent:
    """The name or the place of a process, or of one of its tracks."""
    return {"ph": "M", "name": what, "pid": process, "tid": track, "args": args}


def _complete(slice_: _Slice, kind: str, process: int, track: int) -> _TraceEvent:
    return {
        "ph": "X",
        "name": slice_.name,
        "cat": kind,
        "pid": process,
        "tid": track,
        "ts": slice_.start_us,
        "dur": slice_.end_us - slice_.start_us,
        "args": slice_.details,
    }


def _instant(mark: Mark, finding: Finding, process: int, track: int, base_ns: int) -> _TraceEvent:
    """What a finding did to a party, on that party's track."""
    args: dict[str, object] = {
        "finding": finding.id,
        "cause": finding.cause,
        "severity": finding.severity,
        "title": shown(finding.title),
        "endpoint": shown(str(mark.endpoint)),
        "other side": OUTSIDE if mark.other is None else shown(str(mark.other)),
        "test": shown(mark.test),
        "recovered": mark.recovered,
        "count": mark.count,
    }
    if mark.window_ms is not None:
        args["had been free for (ms)"] = round(mark.window_ms, 3)
    return {
        "ph": "i",
        "s": "t",
        "name": f"{mark.kind} ({finding.cause})",
        "cat": "findings",
        "pid": process,
        "tid": track,
        "ts": max(0, (mark.at_ns - base_ns) // 1000),
        "args": args,
    }
