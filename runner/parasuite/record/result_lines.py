"""The lines of results.jsonl, into which the test runners of a copy write what they collect, start and finish.

A line is a JSON object. `event` says which kind it is, and `runner`, if there is one, which process wrote it. The
tests themselves can write into the file, so every value is checked here; what is kept of it, `tally` bounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from parasuite.model.json_fields import Fields, is_bool, is_object, is_text
from parasuite.model.results import Attempt, is_duration
from parasuite.model.words import TestOutcome

_ATTEMPTS_MAX = 100
_SEEDS_MAX, _SEED_CHARS_MAX = 20, 200
_OPTIONAL = {"runner": "", "phase": "", "attempts": [], "elsewhere": False}


class ResultLineError(ValueError):
    """A line that is not of the expected form."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The runner is going to run the test *id*."""

    runner: str
    id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The runner has collected its tests, and waits for the other copies before it begins them."""


@dataclass(frozen=True, slots=True)
class Started:
    """The test *id* began at *t_ns*, CLOCK_MONOTONIC. *is_elsewhere*: in another process than its runner."""

    runner: str
    id: str
    t_ns: int
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How the test *id* ended; the fields are those of TestResult."""

    runner: str
    id: str
    outcome: TestOutcome
    duration_s: float
    message: str
    text: str
    attempts: tuple[Attempt, ...]
    is_of_collection: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """The test *id* ended, and the runner could not see how."""

    runner: str
    id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The runner came to its end in order, whether or not it ran all tests that it had collected."""

    runner: str


@dataclass(frozen=True, slots=True)
class SeedsDrawn:
    """*seeds*: by the name of the plug-in that drew them."""

    seeds: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class InternalError:
    """The runner itself failed; *text* is its traceback."""

    text: str


ResultLine = Collected | Waiting | Started | Finished | Dropped | Ended | SeedsDrawn | InternalError


def read_result_line(line: bytes) -> ResultLine:
    """The content of one *line*. Raises ResultLineError."""
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ResultLineError(f"not JSON: {error}") from error
    if not is_object(value):
        raise ResultLineError("not a JSON object")
    fields = Fields(_OPTIONAL | value)
    found = _read(fields)
    if fields.wrong:
        raise ResultLineError(f"missing or of a wrong type: {', '.join(fields.wrong)}")
    return found


def _read(fields: Fields) -> ResultLine:
    runner = fields.take("runner", is_text, "")
    match fields.take("event", is_text, ""):
        case "collected":
            return Collected(runner, fields.take("id", is_text, ""))
        case "waiting":
            return Waiting()
        case "started":
            return Started(
                runner,
                fields.take("id", is_text, ""),
                fields.take("t_ns", _is_int64, 0),
                fields.take("elsewhere", is_bool, False),
            )
        case "result":
            return Finished(
                runner=runner,
                id=fields.take("id", is_text, ""),
                outcome=fields.member("outcome", TestOutcome.LOST),
                duration_s=float(fields.take("duration_s", _is_duration, 0.0)),
                message=fields.take("message", is_text, ""),
                text=fields.take("text", is_text, ""),
                attempts=_attempts(fields),
                is_of_collection=fields.take("phase", is_text, "") == "collection",
            )
        case "dropped":
            return Dropped(runner, fields.take("id", is_text, ""))
        case "ended":
            return Ended(runner)
        case "seeds":
            return SeedsDrawn(_seeds(fields))
        case "internal-error":
            return InternalError(fields.take("text", is_text, ""))
        case event:
            raise ResultLineError(f"no such event: {event!r:.80}")


def _attempts(fields: Fields) -> tuple[Attempt, ...]:
    attempts = []
    for value in fields.take("attempts", _is_objects, [])[:_ATTEMPTS_MAX]:
        attempt = Fields(value, "attempts.", fields.wrong)
        attempts.append(Attempt(attempt.take("message", is_text, ""), attempt.take("text", is_text, "")))
    return tuple(attempts)


def _seeds(fields: Fields) -> dict[str, int | str]:
    seeds = list(fields.take("seeds", _is_seeds, {}).items())[:_SEEDS_MAX]
    return {name[:_SEED_CHARS_MAX]: seed[:_SEED_CHARS_MAX] if isinstance(seed, str) else seed for name, seed in seeds}


def _is_int64(value: object) -> TypeGuard[int]:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_duration(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and isinstance(value, int | float) and is_duration(value)


def _is_objects(value: object) -> TypeGuard[list[dict[str, object]]]:
    return type(value) is list and all(map(is_object, value))


def _is_seeds(value: object) -> TypeGuard[dict[str, int | str]]:
    return is_object(value) and all(type(seed) in (int, str) for seed in value.values())
