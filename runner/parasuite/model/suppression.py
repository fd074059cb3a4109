"""Findings that a project has decided to live with, for a reason and perhaps until a date."""

from __future__ import annotations

import re
from dataclasses import dataclass

from parasuite.model.causes import Cause
from parasuite.model.location import Location
from parasuite.model.words import SuppressedBy

_COMMENT = re.compile(r"(?:#|//|--|/\*)\s*parasuite:\s*allow\b.*")
_COMMENT_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A row of `[[tool.parasuite.suppress]]`: one finding by its *id*, or all of a *cause* that fit the rest.

    *port*: that the suite insists on; 0 for any. *place*, *test*: patterns in which `*` and `?` match any
    characters; "" for any. *until*: the last day on which the row counts, ISO 8601; "" for ever.
    """

    reason: str
    until: str = ""
    id: str = ""
    cause: Cause | None = None
    port: int = 0
    place: str = ""
    test: str = ""

    def has_expired(self, day: str) -> bool:
        """Whether the row no longer counts on *day*, ISO 8601."""
        return bool(self.until) and self.until < day


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """A finding in the baseline, by its *id*. *unseen_runs*: how many runs in a row before this one have not seen it;
    None if this run is not one that can tell, since the baseline was written from another kind of run.
    """

    id: str
    reason: str
    unseen_runs: int | None = None


@dataclass(frozen=True, slots=True)
class AllowComment:
    """A comment `# parasuite: allow[CAUSE] REASON`, as written, in *line* of *file*."""

    file: str
    line: int
    text: str


def allow_comment_in(source_line: str) -> str:
    """The part of *source_line* from such a comment on, cut to a length that people read; "" if there is none.

    It begins as a comment does in most languages: with `#`, `//`, `--` or `/*`.
    """
    found = _COMMENT.search(source_line)
    return found[0].rstrip()[:_COMMENT_MAX] if found else ""


@dataclass(frozen=True, slots=True)
class Remark:
    """That a suppression has expired, is not needed any more, or cannot be used. *place*: where it is, if known."""

    text: str
    place: Location | None = None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """That a finding does not count, and why. *until*: as in Suppression."""

    by: SuppressedBy
    reason: str
    until: str = ""
