"""What is shown while the copies run, on stderr: a table on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from parasuite.model.copy_life import status_text
from parasuite.model.words import TestOutcome
from parasuite.reports.wording import plural, printable

HEARTBEAT_S = 30.0
_REDRAWN_EVERY_S = 0.25
_WRAPPED_FROM = 20
_HANGING_INDENT = 2


def is_on_terminal(console: Console) -> bool:
    """Whether *console* prints on a terminal. (`Console.is_terminal` is also true if FORCE_COLOR is set.)"""
    return console.file.isatty()


def print_line(console: Console, line: Text) -> None:
    """Print *line*: wrapped at words on a terminal, with its indentation; elsewhere as one line, for grep."""
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    room = console.width - indent - _HANGING_INDENT
    if not is_on_terminal(console) or room < _WRAPPED_FROM or line.cell_len <= console.width:
        console.print(line, soft_wrap=True)
        return
    for number, part in enumerate(line[indent:].wrap(console, room, overflow="fold")):
        part.rstrip()
        console.print(Text(" " * (indent + (_HANGING_INDENT if number else 0))) + part, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyView:
    """One copy at a moment. *doing*: the test that runs now, or how it ended."""

    copy: int
    state: str
    doing: str
    passed: int
    failed: int
    collected: int
    elapsed_s: float


class Progress(Protocol):
    """Receives each event that is worth a line, and the state of all copies several times a second."""

    def say(self, line: str) -> None:
        """Show *line*: something that a reader of the log wants to know."""

    def update(self, views: Sequence[CopyView]) -> None:
        """Show the state of all copies."""

    def enter_round(self, name: str) -> None:
        """What follows belongs to the round *name*, "" to none."""

    def close(self) -> None:
        """The run is over; leave the terminal as it was."""


class LogProgress:
    """A line per event of interest, and at most one heartbeat in HEARTBEAT_S."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._round = ""
        self._started_s = self._last_s = time.monotonic()

    def say(self, line: str) -> None:
        self._last_s = time.monotonic()
        self._console.print(_text(_in_round(self._round, line)), soft_wrap=True)

    def enter_round(self, name: str) -> None:
        self._round, self._started_s = name, time.monotonic()

    def update(self, views: Sequence[CopyView]) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s < HEARTBEAT_S:
            return
        running = sum(view.state == "running" for view in views)
        passed, failed = sum(view.passed for view in views), sum(view.failed for view in views)
        elapsed = f"{now_s - self._started_s:.0f} s"
        self.say(f"{elapsed}: {running} of {len(views)} copies running, {passed} passed, {failed} failed")

    def close(self) -> None:
        """Nothing to restore."""


class DeferredProgress:
    """Shows nothing while a copy has the streams of parasuite, and all lines when the run is over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._round = ""
        self._lines: list[str] = []

    def say(self, line: str) -> None:
        self._lines.append(_in_round(self._round, line))

    def enter_round(self, name: str) -> None:
        self._round = name

    def update(self, views: Sequence[CopyView]) -> None:
        """Nothing: the output of the copy shows what it does."""

    def close(self) -> None:
        for line in self._lines:
            print_line(self._console, _text(line))


class LiveProgress:
    """A table that is redrawn in place, with as many copies as the terminal has lines for.

    `update` draws it in the caller's thread, not in one of rich's: so the run goes on if the system has no thread
    left, and errors in drawing are seen.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._round = ""
        self._drawn_s = float("-inf")
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, line: str) -> None:
        print_line(self._live.console, _text(_in_round(self._round, line)))

    def enter_round(self, name: str) -> None:
        self._round = name

    def update(self, views: Sequence[CopyView]) -> None:
        now_s = time.monotonic()
        if now_s - self._drawn_s < _REDRAWN_EVERY_S:
            return
        self._drawn_s = now_s
        table = Table(box=None, pad_edge=False, expand=True, title=self._round or None, title_justify="left")
        for heading in ("copy", "state", "passed", "failed", "of", "s"):
            table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
        table.add_column("now", ratio=1, no_wrap=True, overflow="ellipsis")
        rows = max(3, self._console.height - (5 if self._round else 4))
        for view in views[:rows]:
            table.add_row(
                str(view.copy),
                view.state,
                str(view.passed),
                str(view.failed),
                str(view.collected or "?"),
                f"{view.elapsed_s:.0f}",
                _text(view.doing),
            )
        if len(views) > rows:
            table.add_row("...", f"{len(views) - rows} more", "", "", "", "", "")
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.stop()


def _in_round(name: str, line: str) -> str:
    return f"{name}: {line}" if name else line


def _text(text: str) -> Text:
    """*text*, shown as it is: rich would read a plain string as markup, and fail on brackets that are none."""
    return Text(printable(text))


def ended_line(copy: int, status: int | None, counts: Mapping[TestOutcome, int], elapsed_s: float) -> str:
    """The line for a copy whose main process ended. *counts*: of its tests, by their outcome."""
    passed, failed, errors = (counts[each] for each in (TestOutcome.PASSED, TestOutcome.FAILED, TestOutcome.ERROR))
    tests = f"; {passed} passed, {failed} failed" if passed or failed or errors else ""
    if errors:
        tests += f", {plural(errors, 'error')}"
    return f"copy {copy} ended: {status_text(status)}{tests} in {elapsed_s:.1f} s"
