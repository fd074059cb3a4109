"""trace.json.gz: right by the rules of the trace event format, complete, and deaf to what names contain."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.timeline import Timeline
from parasuite.reports.timeline import OUTSIDE
from parasuite.reports.trace import trace
from parasuite.reports.wording import printable

from runner.tests.building import a_report
from runner.tests.conftest import Parasuite
from runner.tests.pages import a_collision, a_hold, at, with_name_everywhere

TIMES = st.integers(0, 20).map(float)


@dataclass
class Track:
    """A thread of a trace. *slices*: (start, end, name) in microseconds. *instants*: (time, name)."""

    process: str = ""
    name: str = ""
    slices: list[tuple[int, int, str]] = field(default_factory=list)
    instants: list[tuple[int, str]] = field(default_factory=list)


def parsed(data: bytes) -> list[Track]:
    """The tracks of a trace, in their order. AssertionError if it breaks a rule of the format."""
    text = gzip.decompress(data).decode("ascii")
    events: list[dict[str, Any]] = json.loads(text)["traceEvents"]
    processes: dict[int, str] = {}
    tracks: defaultdict[tuple[int, int], Track] = defaultdict(Track)
    for event in events:
        assert type(event["pid"]) is type(event["tid"]) is int
        track = tracks[event["pid"], event["tid"]]
        match event["ph"]:
            case "M" if event["name"] == "process_name":
                assert event["pid"] not in processes
                processes[event["pid"]] = event["args"]["name"]
            case "M" if event["name"] == "thread_name":
                assert not track.name
                track.name = event["args"]["name"]
            case "M":
                assert event["name"] in ("process_sort_index", "thread_sort_index")
                assert type(event["args"]["sort_index"]) is int
            case "X":
                assert type(event["ts"]) is type(event["dur"]) is int
                assert event["ts"] >= 0 < event["dur"]
                track.slices.append((event["ts"], event["ts"] + event["dur"], event["name"]))
            case "i":
                assert (type(event["ts"]), event["s"]) == (int, "t")
                track.instants.append((event["ts"], event["name"]))
            case other:
                raise AssertionError(f"an event of kind {other}")
    drawn = {key: track for key, track in tracks.items() if track.slices or track.instants}
    assert len({thread for _, thread in drawn}) == len(drawn)
    assert not {thread for _, thread in drawn} & set(processes)
    for (process, _), track in drawn.items():
        track.process = processes[process]
        assert track.name
        _check_nesting(track.slices)
    return list(drawn.values())


def _check_nesting(slices: list[tuple[int, int, str]]) -> None:
    """Complete events of one track nest, or are disjoint."""
    around: list[int] = []
    for start, end, _ in sorted(slices, key=lambda each: (each[0], -each[1])):
        while around and around[-1] <= start:
            around.pop()
        assert not around or end <= around[-1]
        around.append(end)


def test_a_party_has_tracks_for_its_findings_its_tests_and_its_ports() -> None:
    tracks = parsed(trace(a_collision()))
    assert [(track.process, track.name) for track in tracks] == [
        ("copy 0", "findings"),
        ("copy 0", "tests"),
        ("copy 0", "tests 2"),
        ("copy 0", "tests 3"),
        ("copy 0", "ports"),
        ("copy 1", "findings"),
        ("copy 1", "tests"),
        ("copy 1", "tests 2"),
        ("copy 1", "tests 3"),
        ("copy 1", "ports"),
    ]
    assert tracks[4].slices == [
        (500_000, 1_000_000, "127.0.0.1:40000"),
        (2_000_000, 5_000_000, "127.0.0.1:8025"),
    ]
    assert tracks[5].instants == [(2_500_000, "refused (hard-coded)"), (3_000_000, "crosstalk (hard-coded)")]
    assert (2_000_000, 3_000_000, "tests/test_mail.py::test_quit") in tracks[6].slices


def test_a_track_has_the_details_of_a_hold() -> None:
    events = json.loads(gzip.decompress(trace(a_collision())))["traceEvents"]
    details = next(event["args"] for event in events if event["name"] == "127.0.0.1:8025")
    assert details == {
        "asked for": "port 8025",
        "listening": True,
        "test": "tests/test_mail.py::test_help",
        "place": "tests/conftest.py:12:server",
        "pid": 100,
        "evidence": "exact",
    }


@given(st.lists(st.tuples(st.integers(0, 2), TIMES, TIMES), max_size=30))
def test_overlapping_holds_are_on_as_few_tracks_as_can_be(rows: list[tuple[int, float, float]]) -> None:
    holds = tuple(a_hold(copy, 9000 + number, min(times), max(times)) for number, (copy, *times) in enumerate(rows))
    report = a_report(start_ns=at(0), timeline=Timeline(holds=holds, end_ns=at(20)))
    tracks = parsed(trace(report))
    assert sorted(name for track in tracks for *_, name in track.slices) == sorted(
        str(hold.endpoint) for hold in holds
    )
    for process in {track.process for track in tracks}:
        of_process = [track for track in tracks if track.process == process]
        slices = [slice_ for track in of_process for slice_ in track.slices]
        at_once = max(sum(start <= moment < end for start, end, _ in slices) for moment, *_ in slices)
        assert len(of_process) == at_once


def test_a_process_outside_the_run_comes_last() -> None:
    stranger = a_hold(0, 6379, 0.0, 9.0)
    caller = stranger.caller._replace(process=stranger.caller.process._replace(party=None))
    holds = (replace(stranger, caller=caller), a_hold(1, 6380, 0.0, 1.0))
    tracks = parsed(trace(a_report(timeline=Timeline(holds=holds))))
    assert [track.process for track in tracks] == ["copy 1", OUTSIDE]


def test_a_run_without_anything_to_draw_is_a_trace_all_the_same() -> None:
    assert parsed(trace(a_report())) == []


@given(st.text(st.characters(), max_size=20))
def test_any_name_is_printable_text(name: str) -> None:
    data = trace(with_name_everywhere(name))
    names = {name for track in parsed(data) for *_, name in track.slices}
    assert all(each.isprintable() for each in names)
    assert printable(name) in names


def test_equal_reports_give_equal_bytes() -> None:
    assert trace(a_collision()) == trace(a_collision())


def test_a_run_and_a_report_write_a_trace_if_they_are_asked_to(parasuite: Parasuite, tmp_path: Path) -> None:
    tree = tmp_path / "tests"
    tree.mkdir()
    (tree / "test_it.py").write_text(
        "import socket\n\n\ndef test_it():\n    with socket.create_server(('127.0.0.1', 0)):\n        pass\n"
    )
    file = parasuite("run", "-j", "2", "--trace", str(tree)).folder / "trace.json.gz"
    tracks = parsed(file.read_bytes())
    drawn = [(track.process, track.name, [name.partition(":")[0] for *_, name in track.slices]) for track in tracks]
    assert drawn == [
        (f"copy {copy}", name, slices)
        for copy in range(2)
        for name, slices in (("tests", ["tests/test_it.py"]), ("ports", ["127.0.0.1"]))
    ]
    file.unlink()
    parasuite("report")
    assert not file.exists()
    parasuite("report", "--trace")
    assert parsed(file.read_bytes()) == tracks
