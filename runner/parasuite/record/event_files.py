"""Reads the event files of a run as one stream, sorted by time, in bounded memory.

Each file has one writer, and still its lines are not sorted: an event carries the time of its call, and an attempt
is written some milliseconds later, when its result is known. So each file is read twice. The first pass looks only at
the times and finds the largest delay of a line; the second pass decodes the events and holds each one back for that
long. It opens a file only once the stream has reached the first event of that file, so no more files are read side by
side than processes were alive at the same time.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parasuite.model.events import Event
from parasuite.model.lines import EventError, decode
from parasuite.record.untrusted import Reader, Unreadable, lines

SIZE_MAX = 4 << 30
"""Bytes of all files together, some 16 million events. What lies beyond is not read."""
_HELD_BACK_MAX = 200_000
_LINES_PER_QUESTION = 10_000
_TIME = re.compile(rb'"t_ns":\s*(-?\d{1,20})[,}]')


class ReadingStopped(Exception):
    """The reader was stopped before it knew the first event."""


@dataclass(slots=True)
class Losses:
    """What could not be read.

    *lines*: how many lines were not events, or came so late that later events had already been passed on. *files*:
    for each file that could not be read to its end, the reason.
    """

    lines: int = 0
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file of events below the run folder.

    *is_map*: whether it is a recorder's memory map. Its events end at the first NUL, and an unfinished last line is
    not a loss, since the recorder never committed it.
    """

    name: str
    is_map: bool = False


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """A file after the first pass. *late_ns*: by how much a line comes after a line with a later time, at most."""

    file: EventFile
    size_max: int
    first_ns: int
    late_ns: int


@dataclass(slots=True)
class _HeldBack:
    """The number of events in memory, over all files."""

    count: int = 0


def _never() -> bool:
    return False


def merged(
    root: Path, files: Sequence[EventFile], losses: Losses, is_stopped: Callable[[], bool] = _never
) -> Iterator[Event]:
    """The events of *files*, sorted by time. What cannot be read is left out and counted in *losses*.

    *is_stopped* is called now and then during the first pass. Raises ReadingStopped once it returns true.
    """
    waiting = sorted(_survey(root, files, losses, is_stopped), key=lambda each: each.first_ns, reverse=True)
    held_back = _HeldBack()
    heads: list[tuple[int, int, Event, Iterator[Event]]] = []
    started = last_ns = 0  # CLOCK_MONOTONIC is never negative.
    while waiting or heads:
        while waiting and (not heads or waiting[-1].first_ns <= heads[0][0]):
            stream = _in_order(root, waiting.pop(), held_back, losses)
            started += 1
            _advance(heads, started, stream)
        if not heads:
            continue
        t_ns, turn, event, stream = heapq.heappop(heads)
        if t_ns < last_ns:
            losses.lines += 1
        else:
            last_ns = t_ns
            yield event
        _advance(heads, turn, stream)


def _advance(heads: list[tuple[int, int, Event, Iterator[Event]]], turn: int, stream: Iterator[Event]) -> None:
    event = next(stream, None)
    if event is not None:
        heapq.heappush(heads, (event.t_ns, turn, event, stream))


def _survey(
    root: Path, files: Sequence[EventFile], losses: Losses, is_stopped: Callable[[], bool]
) -> Iterator[_Surveyed]:
    left = SIZE_MAX
    for file in files:
        if left <= 0:
            losses.files.append(f"{file.name} was not read: the files before it hold {SIZE_MAX >> 30} GiB")
            continue
        first_ns = latest_ns = None
        late_ns = 0
        reader = Reader(root, file.name, left)
        try:
            for count, line in enumerate(_lines(reader, file)):
                if count % _LINES_PER_QUESTION == 0 and is_stopped():
                    raise ReadingStopped
                found = _TIME.search(line)
                if found is None:
                    continue
                t_ns = int(found[1])
                if first_ns is None or latest_ns is None:
                    first_ns = latest_ns = t_ns
                first_ns, latest_ns = min(first_ns, t_ns), max(latest_ns, t_ns)
                late_ns = max(late_ns, latest_ns - t_ns)
        except Unreadable as error:
            losses.files.append(str(error))
        size_max = left
        left -= reader.at
        if first_ns is not None or reader.at:
            # A file without any time may still have lines, which the second pass counts as losses.
            yield _Surveyed(file, size_max, first_ns or 0, late_ns)


def _in_order(root: Path, surveyed: _Surveyed, held_back: _HeldBack, losses: Losses) -> Iterator[Event]:
    """The events of one file, sorted by time."""
    waiting: list[tuple[int, int, Event]] = []
    latest_ns = surveyed.first_ns
    for turn, event in enumerate(_decoded(root, surveyed, losses)):
        latest_ns = max(latest_ns, event.t_ns)
        heapq.heappush(waiting, (event.t_ns, turn, event))
        held_back.count += 1
        while waiting and (waiting[0][0] <= latest_ns - surveyed.late_ns or held_back.count > _HELD_BACK_MAX):
            held_back.count -= 1
            yield heapq.heappop(waiting)[2]
    while waiting:
        held_back.count -= 1
        yield heapq.heappop(waiting)[2]


def _decoded(root: Path, surveyed: _Surveyed, losses: Losses) -> Iterator[Event]:
    try:
        for line in _lines(Reader(root, surveyed.file.name, surveyed.size_max), surveyed.file):
            try:
                yield decode(line)
            except EventError:
                losses.lines += 1
    except Unreadable as error:
        # Usually the first pass has reported it; otherwise the file has changed since then.
        if str(error) not in losses.files:
            losses.files.append(str(error))


def _lines(reader: Reader, file: EventFile) -> Iterator[bytes]:
    if not file.is_map:
        yield from lines(reader.chunk)
        return
    for line in lines(_UntilNul(reader)):
        if line.endswith(b"\n"):
            yield line


class _UntilNul:
    """The chunks of a memory map up to its first NUL; nothing has been written behind it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._at_end = False

    def __call__(self) -> bytes:
        if self._at_end:
            return b""
        chunk, nul, _ = self._reader.chunk().partition(b"\0")
        self._at_end = bool(nul)
        return chunk
