"""The files of events as one stream: in the order of time, in bounded memory, whatever the order of their lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import find
from parasuite.judge.ledger import in_order
from parasuite.model.events import Bind, CopyState, Endpoint, Event, Listen, Release, RunStarted
from parasuite.model.lines import encode
from parasuite.model.words import CopyPhase, Protocol, SocketOption
from parasuite.record.event_files import EventFile, Losses, merged

from runner.tests.building import by

events = st.lists(st.integers(0, 10**6).map(lambda t_ns: Release(t_ns=t_ns, cookie=t_ns % 7)), max_size=30)


def written(root: Path, name: str, *written_events: Event, end: str = "") -> EventFile:
    path = root / name
    path.write_text("".join(encode(event) + "\n" for event in written_events) + end)
    return EventFile(name)


@given(files=st.lists(events, max_size=4))
def test_events_are_sorted_by_time_whatever_the_order_of_their_lines(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Event]]
) -> None:
    root = tmp_path_factory.mktemp("events")
    names = [written(root, f"{number}.jsonl", *file) for number, file in enumerate(files)]
    losses = Losses()
    times = [event.t_ns for event in merged(root, names, losses)]
    assert times == sorted(event.t_ns for file in files for event in file)
    assert losses == Losses()


def a_collision() -> list[Event]:
    """Two copies of which the second takes a port that the first has, and a third one that has its own."""
    story: list[Event] = [RunStarted(t_ns=1, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999)]
    for copy, port in ((0, 8000), (1, 8000), (2, 9000)):
        here = Endpoint(Protocol.TCP, "127.0.0.1", port)
        t_ns = 10 + 10 * copy
        options = (SocketOption.REUSEPORT,)
        story += [
            CopyState(t_ns=t_ns, copy=copy, state=CopyPhase.STARTED),
            Bind(
                t_ns=t_ns + 1, caller=by(copy, pid=copy + 5), cookie=copy + 1, asked=here, got=here, options=options
            ),
            Listen(t_ns=t_ns + 2, caller=by(copy, pid=copy + 5), cookie=copy + 1, got=here, options=options),
            Release(t_ns=100 + copy, cookie=copy + 1),
        ]
    return story


@given(order=st.permutations(a_collision()))
def test_any_order_of_the_lines_of_a_file_gives_the_same_findings(
    tmp_path_factory: pytest.TempPathFactory, order: list[Event]
) -> None:
    root = tmp_path_factory.mktemp("events")
    expected = find(sorted(a_collision(), key=lambda event: event.t_ns)).findings
    assert [effect.kind for finding in expected for effect in finding.effects] == ["shared"]
    assert find(merged(root, [written(root, "seccomp.jsonl", *order)], Losses())).findings == expected


def test_events_that_are_not_sorted_are_not_judged() -> None:
    with pytest.raises(ValueError, match="events are not sorted by time: 1 comes after 2"):
        list(in_order([Release(t_ns=2), Release(t_ns=1)]))


def test_malformed_lines_are_counted_except_an_unfinished_last_line_of_a_recorder(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", Release(t_ns=1), end='{"kind":"release","t_n\n\n{"kind":"rel')
    losses = Losses()
    assert [event.t_ns for event in merged(tmp_path, [file], losses)] == [1]
    assert losses == Losses(lines=3)
    losses = Losses()
    assert len(list(merged(tmp_path, [EventFile("a.jsonl", is_map=True)], losses))) == 1
    assert losses == Losses(lines=2)


def test_a_negative_time_is_a_loss(tmp_path: Path) -> None:
    losses = Losses()
    files = [written(tmp_path, "a.jsonl", Release(t_ns=-1), Release(t_ns=1))]
    assert [event.t_ns for event in merged(tmp_path, files, losses)] == [1]
    assert losses == Losses(lines=1)


def test_a_recorder_s_events_end_at_the_first_nul(tmp_path: Path) -> None:
    written(tmp_path, "a.jsonl", Release(t_ns=1), end="\0" * 10 + encode(Release(t_ns=2)) + "\n")
    losses = Losses()
    times = [event.t_ns for event in merged(tmp_path, [EventFile("a.jsonl", is_map=True)], losses)]
    assert (times, losses) == ([1], Losses())


def test_more_files_than_descriptors_can_be_read(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from parasuite.record.event_files import EventFile, Losses, merged\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); losses = Losses()\n"
        "files = [EventFile(path.name) for path in Path(sys.argv[1]).iterdir()]\n"
        "print(len(list(merged(Path(sys.argv[1]), files, losses))), losses)"
    )
    for number in range(100):
        written(tmp_path, f"{number}.jsonl", Release(t_ns=number), Release(t_ns=1000 - number))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "200 Losses(lines=0, files=[])\n"


def test_a_line_that_comes_too_late_to_be_sorted_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parasuite.record.event_files._HELD_BACK_MAX", 10)
    file = written(tmp_path, "a.jsonl", *(Release(t_ns=t_ns) for t_ns in [*range(100, 200), 1]))
    losses = Losses()
    assert [event.t_ns for event in merged(tmp_path, [file], losses)] == list(range(100, 200))
    assert losses == Losses(lines=1)


def test_a_file_may_grow_while_it_is_read(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", Release(t_ns=5), Release(t_ns=7))
    losses = Losses()
    stream = merged(tmp_path, [file], losses)
    assert next(stream).t_ns == 5
    with (tmp_path / "a.jsonl").open("a") as appended:
        appended.write(json.dumps({"kind": "release", "t_ns": 1}) + "\n")
    assert [event.t_ns for event in stream] == [7]
