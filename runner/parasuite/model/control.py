"""What failed tests do alone: the answer of a control run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeGuard

from parasuite.model.json_fields import Fields, is_text, is_whole

_RUNS_MAX = 1000


class ControlAnswer(StrEnum):
    """Why a test failed beside others, as far as what it does alone tells.

    COLLISION: it passes alone, and an effect from which nothing recovered explains its failure. PASSES_ALONE: it
    passes alone at least once, so it is flaky, or does not bear the load. FAILS_ALONE: it never passes.
    ONLY_OBSERVED: it passes alone, but never while parasuite's sensors watch. UNKNOWN: it has no result alone.
    """

    COLLISION = "collision"
    PASSES_ALONE = "passes-alone"
    FAILS_ALONE = "fails-alone"
    ONLY_OBSERVED = "only-observed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """*test*: an id. *passed*, *runs*: how often it passed, and how often it had a result, alone and unobserved.

    *apart_passed*, *apart_runs*: in how many copies it passed, and in how many it had a result, when all of them ran
    again at once, unobserved, with a network each; 0 if they did not.
    """

    test: str
    answer: ControlAnswer
    passed: int = 0
    runs: int = 0
    apart_passed: int = 0
    apart_runs: int = 0

    def to_json(self) -> dict[str, object]:
        """What json.dumps writes; `from_json` reverses this."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Control | None:
        """What `to_json` gave; None for any other value."""
        fields = Fields({"apart_passed": 0, "apart_runs": 0, **value})  # Earlier versions did not write these.
        control = cls(
            test=fields.take("test", is_text, ""),
            answer=fields.member("answer", ControlAnswer.UNKNOWN),
            passed=fields.take("passed", _is_count, 0),
            runs=fields.take("runs", _is_count, 0),
            apart_passed=fields.take("apart_passed", _is_count, 0),
            apart_runs=fields.take("apart_runs", _is_count, 0),
        )
        return None if fields.wrong else control


@dataclass(frozen=True, slots=True)
class Controls:
    """The answers for one run. *notes*: what else there is to say of it, a sentence each."""

    controls: tuple[Control, ...] = ()
    notes: tuple[str, ...] = ()


def _is_count(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, _RUNS_MAX)
