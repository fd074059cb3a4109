"""run.json: written and read by one version, refused in one line if it is of another one or damaged."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.ambient import AmbientService
from parasuite.model.causes import Cause
from parasuite.model.run_record import (
    DAMAGED,
    FORMAT,
    WRITTEN_BY_NEWER,
    WRITTEN_BY_OLDER,
    Overlap,
    RunRecord,
    RunRecordError,
    Seeds,
    TargetKind,
    TargetRecord,
)
from parasuite.model.suppression import AllowComment, BaselineEntry, Suppression
from parasuite.model.words import FailOn, Protocol, RunEnd

from runner.tests.conftest import Parasuite
from runner.tests.run_records import a_record

FIELDS = [field.name for field in fields(RunRecord)]
FULL = a_record(
    target=TargetRecord(TargetKind.COMMAND, argv=("sh", "-c", "true")),
    timeout_s=1.5,
    fail_on=FailOn.WARNING,
    conditions={"load": [0.5], "cgroup": None},
    seeds=Seeds("7", ({"pytest-randomly": 4711, "hypothesis": "x"}, {})),
    collect_junit="{copy}.xml",
    origins={"copies": "default"},
    ambient=(
        AmbientService(reason="the machine's redis", port=6379, address="127.0.0.1"),
        AmbientService(reason="the X server", protocol=Protocol.UNIX, path="/tmp/.X11-unix/X0"),
    ),
    suppressions=(
        Suppression(reason="later", until="2027-03-31", id="0123456789"),
        Suppression(reason="why", cause=Cause.REUSE, port=5353, place="tests/*:start", test="tests/*"),
    ),
    baseline=(BaselineEntry("0123456789", "later", 3), BaselineEntry("abcdef0123", "baseline")),
    comments=(AllowComment("tests/test_it.py", 7, "# parasuite: allow[reuse] why"),),
    sensors_in_use=("seccomp",),
    ended=RunEnd.COMPLETE,
    notes=("note",),
    errors=("error",),
    collected=((), ("collected/001-0.xml",)),
    round_name="round 3 of 20",
    overlap=Overlap(any_s=3.0, two_s=2.0, all_s=1.0),
    exit_code=66,
    verdict="findings",
)


def as_stored(record: RunRecord) -> dict[str, object]:
    """What is read back from run.json."""
    stored: dict[str, object] = json.loads(json.dumps(record.to_json()))
    return stored


@pytest.mark.parametrize("record", [a_record(), FULL], ids=["at its start", "at its end"])
def test_a_record_is_read_as_it_was_written(record: RunRecord) -> None:
    assert RunRecord.from_json(as_stored(record)) == record


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_another_type_is_damage_and_named(name: str) -> None:
    # Wrong for every field: a list of a text and a number.
    with pytest.raises(RunRecordError, match=rf"{DAMAGED}: .*\b{name}\b"):
        RunRecord.from_json(as_stored(FULL) | {name: ["x", 1]})


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"overlap", "round_name"}))
def test_a_missing_field_is_damage_and_named(name: str) -> None:
    stored = as_stored(FULL)
    del stored[name]
    with pytest.raises(RunRecordError, match=rf"{DAMAGED}: .*\b{name}\b"):
        RunRecord.from_json(stored)


def test_a_record_from_before_rounds_had_names_is_read() -> None:
    stored = as_stored(FULL)
    del stored["round_name"]
    assert RunRecord.from_json(stored) == replace(FULL, round_name="")


@pytest.mark.parametrize("value", [[], 7, None, "text"])
def test_a_value_that_is_not_an_object_is_damage(value: object) -> None:
    with pytest.raises(RunRecordError, match=DAMAGED):
        RunRecord.from_json(value)


@pytest.mark.parametrize("number", [True, "2", 2.0, None])
def test_a_format_that_is_not_a_whole_number_is_damage(number: object) -> None:
    with pytest.raises(RunRecordError, match=DAMAGED):
        RunRecord.from_json(as_stored(FULL) | {"format": number})


@pytest.mark.parametrize("value", [{}, {"copies": 2, "ended": "complete"}, {"format": FORMAT - 1}])
def test_a_record_without_a_format_was_written_by_an_older_parasuite(value: object) -> None:
    with pytest.raises(RunRecordError, match=WRITTEN_BY_OLDER):
        RunRecord.from_json(value)


def test_a_newer_format_is_recognised_whatever_else_has_changed() -> None:
    with pytest.raises(
        RunRecordError, match=f"{WRITTEN_BY_NEWER}: it has format {FORMAT + 1}, and this one reads {FORMAT}"
    ):
        RunRecord.from_json({"format": FORMAT + 1})


@pytest.mark.parametrize(("stored", "said"), [({"format": FORMAT + 1}, WRITTEN_BY_NEWER), ({}, WRITTEN_BY_OLDER)])
def test_a_report_of_a_folder_of_another_format_is_refused_in_one_line(
    parasuite: Parasuite, stored: object, said: str
) -> None:
    (parasuite.cwd / "run.json").write_text(json.dumps(stored))
    finished = parasuite("report", ".")
    assert (finished.code, finished.stdout, finished.stderr.count("\n")) == (2, "", 1)
    assert finished.stderr.startswith(f"parasuite: {Path(parasuite.cwd).resolve() / 'run.json'} {said}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(changes=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_any_values_are_a_record_or_a_documented_error(changes: dict[str, object]) -> None:
    with contextlib.suppress(RunRecordError):
        RunRecord.from_json(as_stored(FULL) | changes)
