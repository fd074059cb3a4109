"""The result of provoking a finding: parasuite played the other side, and the suite noticed it or did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeGuard

from parasuite.model.json_fields import Fields, is_text, is_texts, is_whole

_VISITS_MAX = 1 << 53


class ProofOutcome(StrEnum):
    """How it ended.

    FAILED: a test failed. HUNG: the copy did not end in time. CROSSTALK: every test passed, although something of the
    suite talked to parasuite. RETRIED: every test passed, since the program went on with another port. UNNOTICED:
    every test passed, although the port was taken. NOT_ASKED: the port is not asked for any more. NOT_PROVOKED: the
    cause is of a kind that cannot be provoked. INCONCLUSIVE: the run says nothing.
    """

    FAILED = "failed"
    HUNG = "hung"
    CROSSTALK = "crosstalk"
    RETRIED = "retried"
    UNNOTICED = "unnoticed"
    NOT_ASKED = "not-asked"
    NOT_PROVOKED = "not-provoked"
    INCONCLUSIVE = "inconclusive"

    @property
    def is_reproduced(self) -> bool:
        """Whether the finding is proven."""
        return self in (ProofOutcome.FAILED, ProofOutcome.HUNG, ProofOutcome.CROSSTALK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """*finding*: an id. *outcome*: how that ended.

    *message*: the first line of the failure, or why there is no other outcome; "" if there is nothing to add.
    *tests*: ids of those that failed, or were running when the copy hung. *endpoints*: what parasuite took.
    *visits*: connections and datagrams that came there. *visitors*: the processes that they came from, as far as is
    known. *folder*: of the provoked run, relative to that of the run that has the finding; "" if there was none.
    """

    finding: str
    outcome: ProofOutcome
    message: str = ""
    tests: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    visits: int = 0
    visitors: tuple[str, ...] = ()
    folder: str = ""

    def to_json(self) -> dict[str, object]:
        """What json.dumps writes; `from_json` reverses this."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Proof | None:
        """The proof that `to_json` gave; None for any other value."""
        fields = Fields(value)
        proof = cls(
            finding=fields.take("finding", is_text, ""),
            outcome=fields.member("outcome", ProofOutcome.INCONCLUSIVE),
            message=fields.take("message", is_text, ""),
            tests=tuple(fields.take("tests", is_texts, [])),
            endpoints=tuple(fields.take("endpoints", is_texts, [])),
            visits=fields.take("visits", _is_count, 0),
            visitors=tuple(fields.take("visitors", is_texts, [])),
            folder=fields.take("folder", is_text, ""),
        )
        return None if fields.wrong else proof


@dataclass(frozen=True, slots=True)
class Proofs:
    """The proofs of one run's findings. *notes*: what else a reader should know, a sentence each."""

    proofs: tuple[Proof, ...] = ()
    notes: tuple[str, ...] = ()


def _is_count(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, _VISITS_MAX)
