"""Which findings the project has decided to live with. Pure.

Theory of operation. A suppression must not hide more than its author saw. So a row with a pattern fits a finding only
if *all* places (or tests) of the finding match it: once the same port is used at another place as well, the finding
counts again. A finding whose places (or tests) are not known fits no pattern. In a pattern `*` and `?` match any
characters, slashes included; brackets match themselves, since names of tests contain them.

A comment in the source code counts for who made a call through its line. A finding about one function is suppressed
by one such comment. One about a port (or a process outside the run) may have several places, and each needs its own.

A finding in the baseline is one that the project has not got round to. Collisions come and go, so an entry is stale
only once several runs in a row have not seen it. Which runs can tell is known where the run is started, and kept in
its record: here one more run counts, if it is conclusive.

Suppressed findings are marked, not removed: every report shows them, and the verdict does not count them. A row that
has expired marks nothing; the findings that it fits say so, and so does a note. Whether it has is decided by the day
on which the run began, so that a later report on the run says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from parasuite.judge.allowed import Allowed, Place, parsed
from parasuite.judge.findings import Finding, Side
from parasuite.model.causes import Cause
from parasuite.model.location import Location
from parasuite.model.suppression import AllowComment, BaselineEntry, Remark, Suppressed, Suppression
from parasuite.model.words import Role, SuppressedBy

EXPIRED = "row {number} of [[tool.parasuite.suppress]] expired on {until} and suppresses nothing any more: {what}"
FITS = "fix {ids}, or give the row a later date"
FITS_NOTHING = "remove it, since it fits no finding of this run"
STALE_AFTER = 5
"""Runs in a row that have not seen an entry of the baseline."""
STALE = (
    "{entries} of the baseline not seen in the latest {runs} runs: {ids}; "
    "`parasuite baseline --update` removes what is stale"
)
_IDS_NAMED = 5
_AT_ANY_PLACE = (Cause.HARD_CODED, Cause.STRANGER, Cause.UNKNOWN)
"""Causes whose findings are about a port, a process or a pair of places. The others' are about one function."""
_USERS = (Role.WANTED, Role.HELD)


@dataclass(frozen=True, slots=True)
class Marked:
    """*findings*: those that are suppressed are marked so. *remarks*: on suppressions that do not count."""

    findings: Sequence[Finding]
    remarks: Sequence[Remark]


def with_suppressions(
    findings: Iterable[Finding],
    rows: Sequence[Suppression],
    comments: Sequence[AllowComment],
    baseline: Sequence[BaselineEntry],
    day: str,
) -> Marked:
    """*findings*, marked. *rows*: of pyproject.toml, of which the first that fits counts. *comments*: at the lines
    that `places_of` gives. *day*: ISO 8601, UTC.
    """
    known = {entry.id: Suppressed(SuppressedBy.BASELINE, entry.reason) for entry in baseline}
    allowed, remarks = parsed(comments)
    valid = [row for row in rows if not row.has_expired(day)]
    expired = [row for row in rows if row.has_expired(day)]
    marked = []
    for finding in findings:
        suppressed = _by_row(finding, valid) or _by_comment(finding, allowed) or known.get(finding.id)
        marked.append(
            replace(finding, suppressed=suppressed, expired=None if suppressed else _by_row(finding, expired))
        )
    remarks += [_remark(number, row, marked) for number, row in enumerate(rows, 1) if row.has_expired(day)]
    return Marked(marked, remarks)


def places_of(findings: Iterable[Finding]) -> Iterator[Location]:
    """The lines that calls were made through for which a comment may count."""
    for finding in findings:
        for side in _sides(finding):
            yield from side.frames


def stale(baseline: Iterable[BaselineEntry], findings: Iterable[Finding]) -> list[BaselineEntry]:
    """The entries that are stale after a conclusive run with *findings*."""
    seen = {finding.id for finding in findings}
    return [
        entry
        for entry in baseline
        if entry.id not in seen and entry.unseen_runs is not None and entry.unseen_runs + 1 >= STALE_AFTER
    ]


def stale_remark(entries: Sequence[BaselineEntry]) -> list[Remark]:
    """A remark about stale entries, if there are any."""
    if not entries:
        return []
    counted = "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"
    return [Remark(STALE.format(entries=counted, runs=STALE_AFTER, ids=_named([each.id for each in entries])))]


def _sides(finding: Finding) -> Iterator[Side]:
    """Who does what must be fixed: its sides, and as these are not all kept, the users of the port in its effects."""
    yield from finding.sides
    if finding.cause in _AT_ANY_PLACE:
        for effect in finding.effects:
            yield from (side for side in effect.sides if side.role in _USERS and side.frames)


def _by_comment(finding: Finding, allowed: Mapping[Place, Allowed]) -> Suppressed | None:
    """By the comments at its places."""
    if not allowed:
        return None
    reasons = [_reason(finding.cause, side, allowed) for side in _sides(finding) if side.party is not None]
    given = [reason for reason in reasons if reason]
    if not given or (finding.cause in _AT_ANY_PLACE and len(given) < len(reasons)):
        return None
    return Suppressed(SuppressedBy.COMMENT, given[0])


def _reason(cause: Cause, side: Side, allowed: Mapping[Place, Allowed]) -> str:
    """The reason in the comment that allows *cause* at a frame of *side*, "" if none does."""
    at_frames = (allowed.get((frame.file, frame.line)) for frame in side.frames)
    return next((each.reason for each in at_frames if each is not None and cause in each.causes), "")


def _by_row(finding: Finding, rows: Iterable[Suppression]) -> Suppressed | None:
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


def _remark(number: int, row: Suppression, findings: Iterable[Finding]) -> Remark:
    ids = [finding.id for finding in findings if finding.suppressed is None and _fits(row, finding)]
    what = FITS.format(ids=_named(ids)) if ids else FITS_NOTHING
    return Remark(EXPIRED.format(number=number, until=row.until, what=what))


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_IDS_NAMED]) + (" and others" if len(ids) > _IDS_NAMED else "")
