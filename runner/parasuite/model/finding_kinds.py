"""The kinds of finding: one row each, from which judging, reports and documentation take name and severity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from parasuite.model.words import Severity


class FindingKind(StrEnum):
    """What a finding says happened, or could happen."""

    REFUSED = "refused"
    SHARED = "shared"
    CROSSTALK = "crosstalk"
    ORPHAN = "orphan"
    FOREIGN = "foreign"
    HARD_CODED = "hard-coded"
    REBIND = "rebind"
    EXPOSED = "exposed"
    REUSE = "reuse"

    @property
    def severity(self) -> Severity:
        """How grave a finding of this kind is, unless its circumstances say otherwise."""
        return KINDS[self].severity


@dataclass(frozen=True, slots=True)
class KindInfo:
    """*summary*: what happened, in a sentence."""

    severity: Severity
    summary: str


KINDS = {
    FindingKind.REFUSED: KindInfo(Severity.ERROR, "A bind or listen failed because another copy held the port."),
    FindingKind.SHARED: KindInfo(Severity.ERROR, "Two copies held one endpoint at the same time and nothing failed."),
    FindingKind.CROSSTALK: KindInfo(
        Severity.ERROR, "A connection or datagram of one copy reached a socket that only another copy listens on."
    ),
    FindingKind.ORPHAN: KindInfo(
        Severity.ERROR, "An endpoint was still held after the main process of its copy had ended."
    ),
    FindingKind.FOREIGN: KindInfo(Severity.WARNING, "A bind was refused because of a process outside the run."),
    FindingKind.HARD_CODED: KindInfo(
        Severity.WARNING, "Two or more copies use the same explicit port, even if they never collided."
    ),
    FindingKind.REBIND: KindInfo(
        Severity.WARNING, "A port that the kernel had assigned was released, and bound again by number."
    ),
    FindingKind.EXPOSED: KindInfo(Severity.WARNING, "Other hosts can reach a listener."),
    FindingKind.REUSE: KindInfo(Severity.WARNING, "A socket's options let others share its port."),
}
