"""`[[tool.parasuite.suppress]]`: the findings that a project lives with, a row each.

    [[tool.parasuite.suppress]]
    cause = "hard-coded"
    port = 8025
    reason = "the device under test answers on this port only"
    until = 2027-03-31

A row has `id`, that of one finding; or `cause`, and if need be `port`, `place` and `test`, which narrow it down. It
always has `reason`, and may have `until`, the last day on which it counts.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from parasuite.model.causes import Cause
from parasuite.model.finding_id import FINDING_ID
from parasuite.model.suppression import Suppression
from parasuite.plan.errors import did_you_mean
from parasuite.plan.rows import REASON, Row, rows

SUPPRESS = "suppress"
"""The key below [tool.parasuite]."""
_ID, _CAUSE, _PORT, _PLACE, _TEST, _UNTIL = "id", "cause", "port", "place", "test", "until"
_NARROWING = (_PORT, _PLACE, _TEST)
_KEYS = (_ID, _CAUSE, *_NARROWING, _UNTIL, REASON)
_PORT_MAX = (1 << 32) - 1  # Of VSOCK, which has larger numbers than TCP and UDP.


def suppressions(value: object, file: Path) -> tuple[Suppression, ...]:
    """The rows in *value*, which `suppress` is in [tool.parasuite] of *file*.

    Raises ConfigError for a row that is not as above; its message names the file, the row and the key.
    """
    return tuple(_suppression(row) for row in rows(value, SUPPRESS, file))


def _suppression(row: Row) -> Suppression:
    row.check_keys(_KEYS)
    if (_ID in row.values) == (_CAUSE in row.values):
        raise row.error(f"needs {_ID}, or {_CAUSE} for every finding of a cause, and not both")
    reason = row.reason("why the finding may stay")
    until = _until(row)
    if _ID in row.values:
        if beside := [key for key in _NARROWING if key in row.values]:
            raise row.error(f"has {beside[0]} beside {_ID}; an {_ID} names one finding")
        return Suppression(reason=reason, until=until, id=_finding_id(row))
    return Suppression(
        reason=reason,
        until=until,
        cause=_cause(row),
        port=row.port(_PORT, _PORT_MAX) if _PORT in row.values else 0,
        place=row.text(_PLACE),
        test=row.text(_TEST),
    )


def _finding_id(row: Row) -> str:
    found = row.text(_ID)
    if not FINDING_ID.fullmatch(found):
        raise row.must_be(_ID, "ten hexadecimal digits, as the report shows them")
    return found


def _cause(row: Row) -> Cause:
    word = row.text(_CAUSE)
    if word not in set(Cause):
        raise row.error(f"has an unknown {_CAUSE} {word!r}{did_you_mean(word, {each: each for each in Cause})}")
    return Cause(word)


def _until(row: Row) -> str:
    """The day, ISO 8601; "" if there is none. TOML has a type for dates, but people also write them as text."""
    until = row.values.get(_UNTIL, "")
    # A time of day is also a date to Python.
    if type(until) is date:
        return until.isoformat()
    if _UNTIL in row.values:
        try:
            return date.fromisoformat(row.text(_UNTIL)).isoformat()
        except ValueError:
            raise row.must_be(_UNTIL, "a date such as 2027-03-31") from None
    return ""
