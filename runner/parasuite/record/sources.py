"""Reads lines of the suite's source files: those that findings name, for the comments that suppress a finding there.

What is at such a path may be anything by now, as in the run folder: a pipe, a device, a file of many gigabytes. So
only regular files are read, each up to a bound; what cannot be read has no comments. Links are followed, since source
trees contain them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from parasuite.model.location import Location
from parasuite.model.suppression import AllowComment, allow_comment_in
from parasuite.record.untrusted import Unreadable, lines, open_path

_FILES_MAX = 1000
_FILE_BYTES_MAX = 16 << 20
_CHUNK_BYTES = 1 << 16


def allow_comments(folder: Path, places: Iterable[Location]) -> tuple[AllowComment, ...]:
    """The comments `parasuite: allow[...]` in the lines of *places*, whose files are relative to *folder*, sorted."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for place in places:
        if place.line:
            wanted[place.file].add(place.line)
    found = []
    for file in sorted(wanted)[:_FILES_MAX]:
        # ValueError: the name of the file contains a character that no path has.
        with contextlib.suppress(Unreadable, OSError, ValueError):
            for number, line in _lines(folder / file, wanted[file]):
                if text := allow_comment_in(line):
                    found.append(AllowComment(file, number, text))
    return tuple(found)


def _lines(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
    """The *wanted* lines of the file, with their numbers from 1. Raises Unreadable."""
    with open_path(path) as stream:
        chunks = (stream.read(_CHUNK_BYTES) or b"" for _ in range(_FILE_BYTES_MAX // _CHUNK_BYTES))
        last = max(wanted)
        for number, line in enumerate(lines(partial(next, chunks, b"")), 1):
            if number in wanted:
                yield number, line.decode("utf-8", "backslashreplace")
            if number >= last:
                return
