"""What parasuite prints while copies run: lines in a log, a table on a terminal, colours only where wanted."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.model.words import TestOutcome
from parasuite.reports.wording import plural
from parasuite.run.progress import CopyView, LiveProgress, LogProgress, ended_line
from rich.console import Console

from runner.tests.conftest import Parasuite

HOSTILE = "\x1b]0;title\x07\n\r\u202e\u200b\x9b2J"


def view(copy: int, **changes: object) -> CopyView:
    shown = {"state": "running", "doing": "test_x", "passed": 1, "failed": 0, "collected": 9, "elapsed_s": 2.0}
    return CopyView(copy=copy, **{**shown, **changes})  # type: ignore[arg-type]


def test_a_log_has_a_heartbeat_at_most_every_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("parasuite.run.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    log = LogProgress(Console(file=out, width=200))
    for _ in range(130):
        now[0] += 0.5
        log.update([view(0), view(1, state="done", failed=1)])
    assert out.getvalue().splitlines() == [
        "30 s: 1 of 2 copies running, 2 passed, 1 failed",
        "60 s: 1 of 2 copies running, 2 passed, 1 failed",
    ]


def test_any_line_delays_the_next_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("parasuite.run.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    log = LogProgress(Console(file=out))
    now[0] = 29.0
    log.say("[red]copy 1 ended")
    now[0] = 31.0
    log.update([view(0)])
    assert out.getvalue() == "[red]copy 1 ended\n"


def test_the_table_shows_what_each_copy_does_in_at_most_as_many_rows_as_the_terminal_has() -> None:
    out = io.StringIO()
    live = LiveProgress(Console(file=out, force_terminal=True, width=100, height=10, legacy_windows=False))
    live.update([view(copy, doing="test_y[a]") for copy in range(40)])
    live.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert "test_y[a]" in text
    assert "34 more" in text


@pytest.mark.parametrize("doing", [r"weird\[/nope]", "[/]", r"\[red]x[/red]", ":bug:", "[@click=quit]x[/]"])
def test_text_that_looks_like_markup_is_shown_unchanged(doing: str) -> None:
    out = io.StringIO()
    live = LiveProgress(Console(file=out, force_terminal=True, width=100, height=10, legacy_windows=False))
    live.say(f"line {doing}")
    live.update([view(0, doing=doing)])
    live.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert text.count(doing) >= 2  # The table is drawn once more when it is closed.


def test_the_live_view_needs_no_thread() -> None:
    before = threading.active_count()
    live = LiveProgress(Console(file=io.StringIO(), force_terminal=True, legacy_windows=False))
    live.update([view(0)])
    assert threading.active_count() == before
    live.close()


@pytest.mark.parametrize("kind", [LogProgress, LiveProgress])
def test_names_are_escaped_before_they_reach_a_terminal(kind: type[LogProgress] | type[LiveProgress]) -> None:
    out = io.StringIO()
    progress = kind(Console(file=out, force_terminal=True, width=200, height=10, legacy_windows=False))
    progress.say(f"one {HOSTILE} line")
    progress.update([view(0, doing=f"test {HOSTILE}")])
    progress.close()
    assert r"one \x1b]0;title\x07\n\r\u202e\u200b\x9b2J line" + "\n" in out.getvalue()
    own = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert not set(own) & (set(HOSTILE) - set("]0;title2J\n\r"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_cursor_is_shown_again_if_the_run_folder_cannot_be_made(parasuite: Parasuite) -> None:
    (parasuite.cwd / "taken").write_text("a file, not a folder")
    ours, theirs = os.openpty()
    process = parasuite.start(
        "run", "--output-dir", "taken", "--", "true", stderr=theirs, environ={"TERM": "xterm", "NO_COLOR": "1"}
    )
    os.close(theirs)
    assert parasuite.finish(process).code == 2
    shown = os.read(ours, 65536)
    os.close(ours)
    assert re.findall(rb"\x1b\[\?25[lh]", shown) == [b"\x1b[?25l", b"\x1b[?25h"]
    assert b"cannot write the run folder" in shown


def test_the_line_for_the_end_of_a_copy_has_its_status_and_counts() -> None:
    none = dict.fromkeys(TestOutcome, 0)
    some = {**none, TestOutcome.PASSED: 5, TestOutcome.ERROR: 2}
    assert ended_line(3, -9, some, 2.04) == "copy 3 ended: killed by SIGKILL; 5 passed, 0 failed, 2 errors in 2.0 s"
    assert ended_line(0, 0, none, 1.0) == "copy 0 ended: exit status 0 in 1.0 s"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "copy", "1 copy"),
        (2, "copy", "2 copies"),
        (0, "listener", "0 listeners"),
        (1200, "process", "1,200 processes"),
    ],
)
def test_plurals_are_written_out(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


def test_without_a_terminal_log_and_report_contain_no_escape_sequence(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("def test_one(): assert 0\n")
    finished = parasuite.run_pytest("-j", "1", "tests/", environ={"NO_COLOR": "1"})
    assert "\x1b" not in finished.stdout + finished.stderr
    assert "copy 0 ended: exit status 1; 0 passed, 1 failed" in finished.stderr
    assert finished.stdout.startswith("failed tests/test_it.py::test_one")
