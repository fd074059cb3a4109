"""Reads the summary that a run has left in its folder."""

from __future__ import annotations

from pathlib import Path

from parasuite.model.run_summary import FILE_NAME, RunSummary, SummaryError, read_summary_lines
from parasuite.record.untrusted import Reader, Unreadable, lines

_BYTES_MAX = 256 << 20


def read_summary(run: Path) -> RunSummary:
    """The summary in the run folder *run*. Raises Unreadable."""
    try:
        return read_summary_lines(lines(Reader(run, FILE_NAME, _BYTES_MAX).chunk))
    except SummaryError as error:
        raise Unreadable(f"{FILE_NAME} cannot be read: {error}") from error
