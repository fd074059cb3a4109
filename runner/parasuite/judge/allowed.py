"""What the comments `# parasuite: allow[CAUSE, ...] REASON` allow, and what is wrong with one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from parasuite.model.causes import Cause
from parasuite.model.location import Location
from parasuite.model.suppression import AllowComment, Remark
from parasuite.plan.errors import did_you_mean

Place: TypeAlias = tuple[str, int]
"""A file and a line of it."""
_WELL_FORMED = re.compile(r"parasuite:\s*allow\[([^\]]*)\](.*)")
UNUSABLE = "the comment `{text}` at {file}:{line} suppresses nothing: {why}"
NO_BRACKETS = "write `parasuite: allow[CAUSE] REASON`"
NO_REASON = "it gives no reason after the bracket"
NO_SUCH_CAUSE = "no cause is called {word}{suggestion}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one line allows, and why."""

    causes: frozenset[Cause]
    reason: str


def parsed(comments: Iterable[AllowComment]) -> tuple[dict[Place, Allowed], list[Remark]]:
    """What each line allows; and a remark on each comment that cannot be used."""
    allowed: dict[Place, Allowed] = {}
    remarks = []
    for comment in comments:
        try:
            allowed[comment.file, comment.line] = _allowed(comment.text)
        except ValueError as error:
            text = UNUSABLE.format(text=comment.text, file=comment.file, line=comment.line, why=error)
            remarks.append(Remark(text, Location(comment.file, comment.line, "")))
    return allowed, remarks


def _allowed(text: str) -> Allowed:
    """What *text* allows. Raises ValueError, whose message says why it allows nothing."""
    found = _WELL_FORMED.search(text)
    if found is None:
        raise ValueError(NO_BRACKETS)
    words = [word.strip() for word in found[1].split(",")]
    for word in words:
        if word not in set(Cause):
            suggestion = did_you_mean(word.lower(), {each: each for each in Cause})
            raise ValueError(NO_SUCH_CAUSE.format(word=repr(word), suggestion=suggestion))
    reason = found[2].strip().removesuffix("*/").strip()
    if not reason:
        raise ValueError(NO_REASON)
    return Allowed(frozenset(map(Cause, words)), reason)
