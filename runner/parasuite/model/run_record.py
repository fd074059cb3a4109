"""run.json: what a run was asked for, where and how it ran, and how it ended.

The file lies in a folder that every copy can write to, so each field's type is checked when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeGuard

from parasuite.model.ambient import AmbientService
from parasuite.model.causes import Cause
from parasuite.model.json_fields import (
    Fields,
    is_bool,
    is_day_or_empty,
    is_lists_of_text,
    is_object,
    is_objects,
    is_text,
    is_text_or_none,
    is_texts,
    is_texts_by_name,
    is_whole,
)
from parasuite.model.suppression import AllowComment, BaselineEntry, Suppression
from parasuite.model.words import ExitCodeFrom, FailOn, NetworkMode, Protocol, RunEnd

FORMAT = 4
"""Raised by one when an older parasuite would misread the file. Format 1 had no number and no checked types; in
format 2, exit_code was always that of the verdict; in format 3, every finding counted."""
FILE_NAME = "run.json"
FILE_BYTES_MAX = 16 << 20
WRITTEN_BY_OLDER = "was written by an older parasuite: run the suite again"
WRITTEN_BY_NEWER = "was written by a newer parasuite"
DAMAGED = "is damaged"

PID_MAX = 1 << 22
"""proc(5), /proc/sys/kernel/pid_max"""
_COPIES_MAX = 100_000
_SECONDS_MAX = 253_402_300_799.0  # The last second of the year 9999; time.gmtime fails on much larger ones.


class RunRecordError(ValueError):
    """Not a record that this parasuite can read; the message says why, and begins with a verb."""


class TargetKind(StrEnum):
    """What the copies ran."""

    CORPUS = "corpus"
    PYTEST = "pytest"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """*folder*: of the corpus. *path*: of a pytest tree, as the user wrote it. *argv*: of a command."""

    kind: TargetKind
    folder: str = ""
    path: str = ""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seeds:
    """*hash_seed*: PYTHONHASHSEED, None if it was not set. *copies*: for each copy, a seed per plug-in."""

    hash_seed: str | None = None
    copies: tuple[Mapping[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Seconds in which tests ran in at least one copy, in at least two, and in all copies."""

    any_s: float = 0.0
    two_s: float = 0.0
    all_s: float = 0.0

    @property
    def share(self) -> float:
        """Of the time in which tests ran, the part in which they ran in at least two copies; 1.0 if none ran."""
        return self.two_s / self.any_s if self.any_s else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. What is known only at its end has a default, so that a run that was killed has a record, too.

    *parasuite*, *python*: versions. *pid*, *pid_started_s*: the process of the run. *described*: the target, for
    people. *interpreter*: the Python that runs a pytest tree. *timeout_s*: of each copy. *conditions*: limits and
    load of the machine. *sensors*: as asked for; *sensors_by_name*: those that `--sensors` names, whose absence makes
    the run blind. *ambient*: services outside the run that the suite is meant to use. *suppressions*: findings that
    the project lives with; *baseline*, *comments*: more of them, from that file and from source code. *no_new_privs*:
    whether programs were denied new privileges for the seccomp sensor. *origins*: setting -> where its value came
    from. *root*: the folder that the copies were started in. *collected*: for each copy of a command, its JUnit
    files, relative to the run folder. *errors*: failures of parasuite itself. *exit_code*: what parasuite exited
    with; None until the run is judged. *verdict_code*: the same, unless *exit_code* is the suite's own
    (*exit_code_from*). *verdict*: its reason. *network*: the one that the copies used; *port_range*: how many
    ephemeral ports it was given, None for as many as the host has. *round_name*: "round 3 of 20" of a series, "" of
    none.
    """

    run_id: str
    parasuite: str
    pid: int
    pid_started_s: float
    started_s: float
    host: str
    system: str
    python: str
    copies: int
    target: TargetRecord
    described: str
    interpreter: str
    fail_on: FailOn
    exit_code_from: ExitCodeFrom
    timeout_s: float | None
    conditions: Mapping[str, object]
    seeds: Seeds
    sensors: tuple[str, ...]
    sensors_by_name: tuple[str, ...]
    pytest_args: tuple[str, ...]
    collect_junit: str | None
    origins: Mapping[str, str]
    network: NetworkMode = NetworkMode.HOST
    port_range: int | None = None
    root: str = ""
    round_name: str = ""
    ambient: tuple[AmbientService, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    baseline: tuple[BaselineEntry, ...] = ()
    comments: tuple[AllowComment, ...] = ()
    sensors_in_use: tuple[str, ...] = ()
    no_new_privs: bool = False
    supervisor_pid: int = 0
    ended: RunEnd = RunEnd.NONE
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    collected: tuple[tuple[str, ...], ...] = ()
    overlap: Overlap | None = None
    exit_code: int | None = None
    verdict_code: int | None = None
    verdict: str = ""

    def to_json(self) -> dict[str, object]:
        """What json.dumps turns into run.json."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: object) -> RunRecord:
        """The record that `to_json` gave. Raises RunRecordError for every other value."""
        if not is_object(value):
            raise RunRecordError(f"{DAMAGED}: not a JSON object")
        _check_format(value)
        fields = Fields(value)
        record = cls(
            run_id=fields.take("run_id", is_text, ""),
            parasuite=fields.take("parasuite", is_text, ""),
            pid=fields.take("pid", _is_pid, 0),
            pid_started_s=fields.take("pid_started_s", _is_seconds, 0.0),
            started_s=fields.take("started_s", _is_seconds, 0.0),
            host=fields.take("host", is_text, ""),
            system=fields.take("system", is_text, ""),
            python=fields.take("python", is_text, ""),
            copies=fields.take("copies", _is_copies, 1),
            target=_target(fields.inner("target")),
            described=fields.take("described", is_text, ""),
            interpreter=fields.take("interpreter", is_text, ""),
            fail_on=fields.member("fail_on", FailOn.ERROR),
            exit_code_from=fields.member("exit_code_from", ExitCodeFrom.PARASUITE),
            timeout_s=fields.take("timeout_s", _is_timeout, None),
            conditions=fields.take("conditions", is_object, {}),
            seeds=_seeds(fields.inner("seeds")),
            sensors=tuple(fields.take("sensors", is_texts, [])),
            sensors_by_name=tuple(fields.take("sensors_by_name", is_texts, [])),
            pytest_args=tuple(fields.take("pytest_args", is_texts, [])),
            collect_junit=fields.take("collect_junit", is_text_or_none, None),
            origins=fields.take("origins", is_texts_by_name, {}),
            network=fields.member("network", NetworkMode.HOST),
            port_range=fields.take("port_range", _is_ports_or_none, None),
            root=fields.take("root", is_text, ""),
            round_name=fields.take("round_name", is_text, "") if "round_name" in value else "",
            ambient=_ambient(fields),
            suppressions=_suppressions(fields),
            baseline=_baseline(fields),
            comments=_comments(fields),
            sensors_in_use=tuple(fields.take("sensors_in_use", is_texts, [])),
            no_new_privs=fields.take("no_new_privs", is_bool, False),
            supervisor_pid=fields.take("supervisor_pid", _is_pid, 0),
            ended=fields.member("ended", RunEnd.NONE),
            notes=tuple(fields.take("notes", is_texts, [])),
            errors=tuple(fields.take("errors", is_texts, [])),
            collected=tuple(map(tuple, fields.take("collected", is_lists_of_text, []))),
            overlap=_overlap(fields.inner("overlap")) if value.get("overlap") is not None else None,
            exit_code=fields.take("exit_code", _is_exit_code_or_none, None),
            verdict_code=fields.take("verdict_code", _is_exit_code_or_none, None),
            verdict=fields.take("verdict", is_text, ""),
        )
        if fields.wrong:
            raise RunRecordError(f"{DAMAGED}: missing or of another type: {', '.join(fields.wrong)}")
        return record


def _check_format(value: Mapping[str, object]) -> None:
    number = value.get("format", 1)
    if type(number) is not int:
        raise RunRecordError(f"{DAMAGED}: its format is not a number")
    if number > FORMAT:
        raise RunRecordError(f"{WRITTEN_BY_NEWER}: it has format {number}, and this one reads {FORMAT}")
    if number < FORMAT:
        raise RunRecordError(WRITTEN_BY_OLDER)


def _target(fields: Fields) -> TargetRecord:
    target = TargetRecord(
        kind=fields.member("kind", TargetKind.PYTEST),
        folder=fields.take("folder", is_text, ""),
        path=fields.take("path", is_text, ""),
        argv=tuple(fields.take("argv", is_texts, [])),
    )
    if target.kind is TargetKind.COMMAND and not target.argv:
        fields.wrong.append("target.argv")
    return target


def _ambient(fields: Fields) -> tuple[AmbientService, ...]:
    rows = fields.take("ambient", is_objects, [])
    return tuple(
        _ambient_service(Fields(row, f"ambient[{number}].", fields.wrong)) for number, row in enumerate(rows)
    )


def _ambient_service(fields: Fields) -> AmbientService:
    return AmbientService(
        reason=fields.take("reason", is_text, ""),
        protocol=fields.member("protocol", Protocol.TCP),
        port=fields.take("port", _is_port, 0),
        address=fields.take("address", is_text, ""),
        path=fields.take("path", is_text, ""),
    )


def _suppressions(fields: Fields) -> tuple[Suppression, ...]:
    rows = fields.take("suppressions", is_objects, [])
    return tuple(
        _suppression(Fields(row, f"suppressions[{number}].", fields.wrong)) for number, row in enumerate(rows)
    )


def _baseline(fields: Fields) -> tuple[BaselineEntry, ...]:
    rows = fields.take("baseline", is_objects, [])
    return tuple(_entry(Fields(row, f"baseline[{number}].", fields.wrong)) for number, row in enumerate(rows))


def _entry(fields: Fields) -> BaselineEntry:
    return BaselineEntry(
        id=fields.take("id", is_text, ""),
        reason=fields.take("reason", is_text, ""),
        unseen_runs=fields.take("unseen_runs", _is_count_or_none, None),
    )


def _comments(fields: Fields) -> tuple[AllowComment, ...]:
    rows = fields.take("comments", is_objects, [])
    return tuple(_comment(Fields(row, f"comments[{number}].", fields.wrong)) for number, row in enumerate(rows))


def _comment(fields: Fields) -> AllowComment:
    return AllowComment(
        file=fields.take("file", is_text, ""),
        line=fields.take("line", _is_line, 1),
        text=fields.take("text", is_text, ""),
    )


def _suppression(fields: Fields) -> Suppression:
    cause = fields.take("cause", is_text_or_none, None)
    return Suppression(
        reason=fields.take("reason", is_text, ""),
        until=fields.take("until", is_day_or_empty, ""),
        id=fields.take("id", is_text, ""),
        cause=None if cause is None else fields.member("cause", Cause.UNKNOWN),
        port=fields.take("port", _is_port_or_vsock_port, 0),
        place=fields.take("place", is_text, ""),
        test=fields.take("test", is_text, ""),
    )


def _seeds(fields: Fields) -> Seeds:
    return Seeds(
        hash_seed=fields.take("hash_seed", is_text_or_none, None),
        copies=tuple(fields.take("copies", _is_seeds_of_copies, [])),
    )


def _overlap(fields: Fields) -> Overlap:
    return Overlap(
        any_s=fields.take("any_s", _is_seconds, 0.0),
        two_s=fields.take("two_s", _is_seconds, 0.0),
        all_s=fields.take("all_s", _is_seconds, 0.0),
    )


def _is_seeds_of_copies(value: object) -> TypeGuard[list[Mapping[str, int | str]]]:
    return isinstance(value, list) and all(map(_is_seeds_of_copy, value))


def _is_seeds_of_copy(value: object) -> bool:
    return is_object(value) and all(type(seed) in (int, str) for seed in value.values())


def _is_pid(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, PID_MAX)


def _is_port(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, 65535)


def _is_port_or_vsock_port(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, (1 << 32) - 1)


def _is_count_or_none(value: object) -> TypeGuard[int | None]:
    return value is None or is_whole(value, 0, 10**9)


def _is_line(value: object) -> TypeGuard[int]:
    return is_whole(value, 1, 10**9)


def _is_ports_or_none(value: object) -> TypeGuard[int | None]:
    return value is None or is_whole(value, 1, 65535)


def _is_copies(value: object) -> TypeGuard[int]:
    return is_whole(value, 1, _COPIES_MAX)


def _is_exit_code_or_none(value: object) -> TypeGuard[int | None]:
    return value is None or is_whole(value, 0, 255)


def _is_seconds(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= _SECONDS_MAX


def _is_timeout(value: object) -> TypeGuard[float | None]:
    return value is None or (isinstance(value, int | float) and type(value) is not bool and 0 < value < math.inf)
