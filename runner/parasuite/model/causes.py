"""What can be wrong with a suite's ports, and what comes of it: one row each.

A finding is a *cause*: what somebody has to change. What happened because of it are its *effects*. Judging, every
report, `parasuite explain` and the pages in docs/findings/ take their words from these two tables.
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
    """*title*: a few words. *severity*: of a finding that had no effect yet. *summary*: a paragraph.

    *hint*: what to write instead, where the circumstances ask for nothing more special.
    """

    title: str
    severity: Severity
    summary: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectInfo:
    """*severity*: unless the program recovered. *summary*: what happened, in a sentence."""

    title: str
    severity: Severity
    summary: str


CAUSES = {
    Cause.HARD_CODED: CauseInfo(
        title="hard-coded port",
        severity=Severity.WARNING,
        summary=(
            "A port (or the path of a Unix socket, or a VSOCK port) is fixed in the suite or in a program that it "
            "starts. Two parties that run at the same time want the same one, and only one can have it."
        ),
        hint="bind port 0 and ask the socket which port it got; for a program that must be told a port, reserve one",
    ),
    Cause.LOST_PORT: CauseInfo(
        title="port released before its server bound it",
        severity=Severity.WARNING,
        summary=(
            "The kernel assigned a port, the port was released, and then it was bound again by number. Between "
            "release and bind any other process may take it."
        ),
        hint=(
            "keep the socket that was given the port until the server is bound, or let the server bind port 0 itself "
            "and report its port"
        ),
    ),
    Cause.CLOSED_PORT: CauseInfo(
        title="port expected to stay closed",
        severity=Severity.NOTE,
        summary=(
            "A client connected to a port that its own process had released, and expects nobody to listen there. Any "
            "other process may be given that port in the meantime, and will then answer."
        ),
        hint=(
            "keep the port bound without listening on it: the kernel then refuses every connection, and nobody else "
            "gets the port"
        ),
    ),
    Cause.REUSE: CauseInfo(
        title="socket options that let a second owner in",
        severity=Severity.WARNING,
        summary=(
            "Options of a socket (SO_REUSEPORT; on UDP also SO_REUSEADDR) let another process bind the same port "
            "instead of refusing it. Clients then reach either of the two."
        ),
        hint="leave SO_REUSEPORT (on UDP also SO_REUSEADDR) unset, so that a second owner is refused",
    ),
    Cause.EXPOSED: CauseInfo(
        title="listener that other hosts can reach",
        severity=Severity.WARNING,
        summary=(
            "A server of the suite listens on an address that other hosts can reach. It also collides with every "
            "server that listens on that port on any one address of this host."
        ),
        hint="bind 127.0.0.1 (or ::1): no other host should reach a test's server",
    ),
    Cause.LEAKED: CauseInfo(
        title="listener that outlived its test",
        severity=Severity.NOTE,
        summary=(
            "A test opened a listener and ended without closing it. A later test that wants the port is refused, or "
            "talks to the server of a test that is over."
        ),
        hint="close the listener in the teardown of the test that opened it, and wait until its process has ended",
    ),
    Cause.ORPHAN: CauseInfo(
        title="port still held after its copy ended",
        severity=Severity.ERROR,
        summary=(
            "The main process of a copy had ended and its grace time was over, and a process that it had started "
            "still held an endpoint. On a machine without parasuite that process would have stayed."
        ),
        hint="stop the server in the teardown of the test or fixture that started it, and wait for its process",
    ),
    Cause.STRANGER: CauseInfo(
        title="server from outside the run",
        severity=Severity.WARNING,
        summary=(
            "The suite talked to a process that it had not started, or shared a port with one. Its result depends "
            "on what happens to run on the machine."
        ),
        hint=(
            "start a server of your own on a port of its own; if the suite is meant to use this one, list it in "
            "[[tool.parasuite.ambient]]"
        ),
    ),
    Cause.UNKNOWN: CauseInfo(
        title="collision of unknown origin",
        severity=Severity.WARNING,
        summary=(
            "Two parties met on one endpoint, and the sensors of this run could not tell where either of them got "
            "its port from."
        ),
        hint="run with the seccomp sensor or the recorder, which see how each port was chosen: `parasuite doctor`",
    ),
}

EFFECTS = {
    EffectKind.REFUSED: EffectInfo(
        title="bind refused",
        severity=Severity.ERROR,
        summary="A bind or listen failed because another party held the port.",
    ),
    EffectKind.SHARED: EffectInfo(
        title="held by two at once",
        severity=Severity.ERROR,
        summary="Two parties held overlapping endpoints at the same time, and nothing failed.",
    ),
    EffectKind.CROSSTALK: EffectInfo(
        title="reached another's server",
        severity=Severity.ERROR,
        summary="A connection or datagram of one party reached a socket on which only another party listens.",
    ),
    EffectKind.FOREIGN: EffectInfo(
        title="refused by a process outside the run",
        severity=Severity.WARNING,
        summary="A bind or listen failed because a process outside the run held the port.",
    ),
}


def docs_page(cause: Cause) -> str:
    """The page about *cause*, relative to the project's root."""
    return f"docs/findings/{cause}.md"
