"""What can be wrong with a suite's ports, and what comes of it: one row each.

A finding is a *cause*: what somebody has to change. What happened because of it are its *effects*. Judging, every
report, `parasuite explain` and the titles of the pages in docs/findings/ take their words from these two tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from parasuite.model.words import Severity


class Cause(StrEnum):
    """What to fix."""

    HARD_CODED = "hard-coded"
    LOST_PORT = "lost-port"
    CLOSED_PORT = "closed-port"
    REUSE = "reuse"
    EXPOSED = "exposed"
    LEAKED = "leaked"
    ORPHAN = "orphan"
    STRANGER = "stranger"
    UNKNOWN = "unknown"

    @property
    def info(self) -> CauseInfo:
        """Its row."""
        return CAUSES[self]


class EffectKind(StrEnum):
    """What happened because of a cause."""

    REFUSED = "refused"
    SHARED = "shared"
    CROSSTALK = "crosstalk"
    FOREIGN = "foreign"

    @property
    def info(self) -> EffectInfo:
        """Its row."""
        return EFFECTS[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseInfo:
    """*title*: a few words. *severity*: of a finding that had no effect yet. *hint*: what to write instead, where the
    circumstances ask for nothing more special.
    """

    title: str
    severity: Severity
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectInfo:
    """*title*: a few words. *severity*: unless the program recovered."""

    title: str
    severity: Severity


CAUSES = {
    Cause.HARD_CODED: CauseInfo(
        title="hard-coded port",
        severity=Severity.WARNING,
        hint="bind port 0 and ask the socket which port it got; for a program that must be told a port, reserve one",
    ),
    Cause.LOST_PORT: CauseInfo(
        title="port released before its server bound it",
        severity=Severity.WARNING,
        hint=(
            "keep the socket that was given the port until the server is bound, or let the server bind port 0 itself "
            "and report its port"
        ),
    ),
    Cause.CLOSED_PORT: CauseInfo(
        title="port expected to stay closed",
        severity=Severity.NOTE,
        hint=(
            "keep the port bound without listening on it: the kernel then refuses every connection, and no one else "
            "gets the port"
        ),
    ),
    Cause.REUSE: CauseInfo(
        title="socket options that let a second owner in",
        severity=Severity.WARNING,
        hint="leave SO_REUSEPORT (on UDP also SO_REUSEADDR) unset, so that a second owner is refused",
    ),
    Cause.EXPOSED: CauseInfo(
        title="listener that other hosts can reach",
        severity=Severity.WARNING,
        hint="bind 127.0.0.1 (or ::1): no other host should reach a test's server",
    ),
    Cause.LEAKED: CauseInfo(
        title="listener that outlived its test",
        severity=Severity.NOTE,
        hint="close the listener in the teardown of the test that opened it, and wait until its process has ended",
    ),
    Cause.ORPHAN: CauseInfo(
        title="port still held after its copy ended",
        severity=Severity.ERROR,
        hint="stop the server in the teardown of the test or fixture that started it, and wait for its process",
    ),
    Cause.STRANGER: CauseInfo(
        title="server from outside the run",
        severity=Severity.WARNING,
        hint=(
            "start a server of your own on a port of its own; if the suite is meant to use this one, list it in "
            "[[tool.parasuite.ambient]]"
        ),
    ),
    Cause.UNKNOWN: CauseInfo(
        title="collision of unknown origin",
        severity=Severity.WARNING,
        hint="run with the seccomp sensor or the recorder, which see how each port was chosen: `parasuite doctor`",
    ),
}

EFFECTS = {
    EffectKind.REFUSED: EffectInfo(title="bind refused", severity=Severity.ERROR),
    EffectKind.SHARED: EffectInfo(title="held by two at once", severity=Severity.ERROR),
    EffectKind.CROSSTALK: EffectInfo(title="reached another's server", severity=Severity.ERROR),
    EffectKind.FOREIGN: EffectInfo(title="refused by a process outside the run", severity=Severity.WARNING),
}


def docs_page(cause: Cause) -> str:
    """The page about *cause*, relative to the project's root."""
    return f"docs/findings/{cause}.md"
