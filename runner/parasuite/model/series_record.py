"""series.json: which runs belong together, what was asked for, and how the series ended.

Every copy can write to the folder that the file is in, so each field's type is checked when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeGuard

from parasuite.model.json_fields import Fields, is_object, is_text, is_text_or_none, is_texts, is_whole
from parasuite.model.run_record import DAMAGED, WRITTEN_BY_NEWER
from parasuite.model.words import ExitCodeFrom, RunEnd

FORMAT = 1
"""Raised by one when an older parasuite would misread the file."""
FILE_NAME = "series.json"
FILE_BYTES_MAX = 16 << 20
_ROUNDS_MAX = 10**9
_SECONDS_MAX = 253_402_300_799.0  # The last second of the year 9999.


class SeriesRecordError(ValueError):
    """Not a record that this parasuite can read; the message says why, and begins with a verb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRecord:
    """One series. *described*: its target, for people. *repeat*, *duration_s*, *until*: as asked for; None if not.

    *runs*: the run folders in the order of the rounds, relative to the folder of the series, with slashes. A run is
    added before its first copy starts. *ended*: NONE while rounds are to come, and for ever if parasuite is killed.
    *errors*: why there are fewer rounds than were asked for, if parasuite itself failed. *notes*: what else a reader
    must know.
    """

    series_id: str
    parasuite: str
    started_s: float
    host: str
    described: str
    repeat: int | None = None
    duration_s: float | None = None
    until: str | None = None
    exit_code_from: ExitCodeFrom = ExitCodeFrom.PARASUITE
    runs: tuple[str, ...] = ()
    ended: RunEnd = RunEnd.NONE
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """What json.dumps turns into series.json."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: object) -> SeriesRecord:
        """The record that `to_json` gave. Raises SeriesRecordError for every other value."""
        if not is_object(value):
            raise SeriesRecordError(f"{DAMAGED}: not a JSON object")
        _check_format(value)
        fields = Fields({"notes": [], **value})
        record = cls(
            series_id=fields.take("series_id", is_text, ""),
            parasuite=fields.take("parasuite", is_text, ""),
            started_s=fields.take("started_s", _is_seconds, 0.0),
            host=fields.take("host", is_text, ""),
            described=fields.take("described", is_text, ""),
            repeat=fields.take("repeat", _is_repeat, None),
            duration_s=fields.take("duration_s", _is_duration, None),
            until=fields.take("until", is_text_or_none, None),
            exit_code_from=fields.member("exit_code_from", ExitCodeFrom.PARASUITE),
            runs=tuple(fields.take("runs", _are_paths, [])),
            ended=fields.member("ended", RunEnd.NONE),
            errors=tuple(fields.take("errors", is_texts, [])),
            notes=tuple(fields.take("notes", is_texts, [])),
        )
        if fields.wrong:
            raise SeriesRecordError(f"{DAMAGED}: missing or of another type: {', '.join(fields.wrong)}")
        return record


def _check_format(value: Mapping[str, object]) -> None:
    number = value.get("format")
    if type(number) is not int:
        raise SeriesRecordError(f"{DAMAGED}: its format is not a number")
    if number > FORMAT:
        raise SeriesRecordError(f"{WRITTEN_BY_NEWER}: it has format {number}, and this one reads {FORMAT}")


def _is_seconds(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= _SECONDS_MAX


def _is_repeat(value: object) -> TypeGuard[int | None]:
    return value is None or is_whole(value, 1, _ROUNDS_MAX)


def _is_duration(value: object) -> TypeGuard[float | None]:
    return value is None or (isinstance(value, int | float) and type(value) is not bool and 0 < value < math.inf)


def _are_paths(value: object) -> TypeGuard[list[str]]:
    return is_texts(value) and all(map(_is_path, value))


def _is_path(text: str) -> bool:
    try:
        return bool(text) and b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
