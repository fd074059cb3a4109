"""Copies the JUnit files that a command wrote, by the pattern of `--collect-junit`, into the run folder."""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from parasuite.record.junit_files import ResultsError, junit_cases
from parasuite.record.untrusted import Unreadable, folder_below, kind

_FOLDER = "collected"


@dataclass(frozen=True, slots=True)
class Collected:
    """*files*: for each copy the names of its files, relative to the run folder. *problems*: a line each."""

    files: list[list[str]]
    problems: list[str]


def collect(
    patterns: Sequence[str], cwd: Path, run: Path, started_s: float, is_stopped: Callable[[], bool]
) -> Collected:
    """Copy each file that matches the pattern of a copy, was written since *started_s* and is JUnit XML.

    *patterns*: one for each copy, as for glob.glob with `recursive`. Ends early once *is_stopped* returns true.
    """
    collected = Collected([[] for _ in patterns], [])
    owner: dict[str, int] = {}
    for copy, pattern in enumerate(patterns):
        fresh = 0
        # A file may be found by several paths, through links.
        for path in sorted(set(map(os.path.realpath, matches(pattern, cwd, is_stopped)))):
            try:
                status = os.stat(path)
                # A file of an earlier run would look like the results of a copy that wrote none in this run.
                if stat.S_ISDIR(status.st_mode) or status.st_mtime < started_s - 1:
                    continue
                fresh += 1
                if owner.setdefault(path, copy) != copy:
                    collected.problems.append(f"{path} matches for copy {owner[path]} and for copy {copy}")
                    continue
                name = f"{copy:03d}-{fresh - 1}.xml"
                _copy(path, run, name)
                collected.files[copy].append(f"{_FOLDER}/{name}")
            except (ResultsError, Unreadable, OSError) as error:
                collected.problems.append(str(error))
        if is_stopped():
            collected.problems.append("stopped by a signal before all files were collected")
            break
        if not fresh:
            collected.problems.append(f"copy {copy} wrote no file that matches {pattern}")
    return collected


def _copy(source: str, run: Path, name: str) -> None:
    # Without waiting for a pipe's writer, and without following a link that a suite has put in the target's place.
    descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as stream:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ResultsError(f"{source} is {kind(mode)}, not a file")
        junit_cases(stream, source)
        stream.seek(0)
        (run / _FOLDER).mkdir(exist_ok=True)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with folder_below(run, _FOLDER) as folder:
            if isinstance(folder, int):
                target = os.open(name, new, 0o666, dir_fd=folder)
            else:
                target = os.open(os.path.join(folder, name), new, 0o666)
        with open(target, "wb") as copy:
            _copy_bytes(stream, copy)


def _copy_bytes(source: BinaryIO, target: BinaryIO) -> None:
    while chunk := source.read(1 << 20):
        target.write(chunk)


def matches(pattern: str, cwd: Path, is_stopped: Callable[[], bool] = lambda: False) -> set[str]:
    """The paths that match *pattern*, as from glob.glob with `recursive` and `include_hidden`, made absolute.

    glob follows each link again at every level, so two links to their own folder make it run for ever. Here `**`
    enters each folder once.
    """
    path = cwd.absolute() / pattern
    found = {path.anchor}
    for part in path.parts[1:]:
        if is_stopped():
            return set()
        found = {match for place in found for match in _step(place, part, is_stopped)}
    return found


def _step(place: str, part: str, is_stopped: Callable[[], bool]) -> Iterator[str]:
    if part == "**":
        yield from _all_below(place, is_stopped)
    elif not glob.has_magic(part):
        path = os.path.join(place, part)
        if os.path.lexists(path):
            yield path
    else:
        yield from (os.path.join(place, name) for name in _names(place) if fnmatch.fnmatch(name, part))


def _names(place: str) -> list[str]:
    try:
        return os.listdir(place)
    except OSError:
        return []


def _all_below(place: str, is_stopped: Callable[[], bool]) -> Iterator[str]:
    """*place*, and everything below it at any depth. Each folder is entered once, whatever path leads there."""
    waiting, entered = [place], set()
    while waiting and not is_stopped():
        path = waiting.pop()
        yield path
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in entered:
            entered.add((status.st_dev, status.st_ino))
            waiting += [os.path.join(path, name) for name in _names(path)]
