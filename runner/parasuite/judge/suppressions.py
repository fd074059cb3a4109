"""Which findings the project has decided to live with. Pure.

Theory of operation. A suppression must not hide more than its author saw. So a row with a pattern fits a finding only
if *all* places (or tests) of the finding match it: once the same port is used at another place as well, the finding
counts again. A finding whose places (or tests) are not known fits no pattern. In a pattern `*` and `?` stand for any
characters, also for slashes; brackets stand for themselves, since names of tests contain them.

Suppressed findings are marked, not removed: every report shows them, and the verdict does not count them. A row that
has expired marks nothing; the findings that it fits say so, and so does a note. Whether it has is decided by the day
on which the run began, so that a later report on the run says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from parasuite.judge.findings import Finding
from parasuite.model.location import Location
from parasuite.model.suppression import Suppressed, Suppression
from parasuite.model.words import SuppressedBy

EXPIRED = "row {number} of [[tool.parasuite.suppress]] expired on {until} and suppresses nothing any more: {what}"
FITS = "fix {ids}, or give the row a later date"
FITS_NOTHING = "remove it, since it fits no finding of this run"
_IDS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Marked:
    """*findings*: those that are suppressed are marked so. *notes*: what else there is to say, a line each."""

    findings: Sequence[Finding]
    notes: Sequence[str]


def with_suppressions(findings: Iterable[Finding], rows: Sequence[Suppression], day: str) -> Marked:
    """*findings*, marked. *rows*: of pyproject.toml, of which the first that fits counts. *day*: ISO 8601, UTC."""
    valid = [row for row in rows if not row.has_expired(day)]
    expired = [row for row in rows if row.has_expired(day)]
    marked = [
        replace(finding, suppressed=_first(finding, valid), expired=_first(finding, expired)) for finding in findings
    ]
    marked = [replace(finding, expired=None) if finding.suppressed else finding for finding in marked]
    notes = [_note(number, row, marked) for number, row in enumerate(rows, 1) if row.has_expired(day)]
    return Marked(marked, notes)


def _first(finding: Finding, rows: Iterable[Suppression]) -> Suppressed | None:
    """By the first of *rows* that fits *finding*."""
    row = next((row for row in rows if _fits(row, finding)), None)
    return None if row is None else Suppressed(SuppressedBy.PROJECT, row.reason, row.until)


def _fits(row: Suppression, finding: Finding) -> bool:
    if row.id:
        return row.id == finding.id
    return (
        row.cause is finding.cause
        and row.port in (0, finding.port)
        and (not row.place or _all(row.place, finding.places))
        and (not row.test or _all(row.test, finding.tests))
    )


def _all(pattern: str, names: Sequence[Location | str]) -> bool:
    """Whether there are *names*, and *pattern* matches all of them."""
    return bool(names) and all(any(_matches(pattern, text) for text in _texts(name)) for name in names)


def _texts(name: Location | str) -> tuple[str, ...]:
    """How a pattern may call *name*: a place is a file, or a function of it."""
    return (name.file, name.place) if isinstance(name, Location) else (name,)


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _note(number: int, row: Suppression, findings: Iterable[Finding]) -> str:
    ids = [finding.id for finding in findings if finding.suppressed is None and _fits(row, finding)]
    named = ", ".join(ids[:_IDS_NAMED]) + (" and others" if len(ids) > _IDS_NAMED else "")
    what = FITS.format(ids=named) if ids else FITS_NOTHING
    return EXPIRED.format(number=number, until=row.until, what=what)
