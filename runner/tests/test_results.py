"""Results from what a copy's pytest wrote, and from JUnit files of any origin."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.results import TestResult, shortened, with_distinct_ids
from parasuite.model.words import TestOutcome
from parasuite.record.junit_files import ResultsError, junit_results
from parasuite.record.tally import NEVER_BEGAN, WAS_RUNNING, GrowingTally, LineReader, Tally, tally_of
from parasuite.record.untrusted import LINE_MAX


def fed(*facts: dict[str, object]) -> Tally:
    tally = Tally()
    for fact in facts:
        tally.feed(json.dumps({"t_ns": 5, **fact}).encode())
    return tally


def collected(test_id: str) -> dict[str, object]:
    return {"event": "collected", "id": test_id}


def started(test_id: str) -> dict[str, object]:
    return {"event": "started", "id": test_id}


def result(test_id: str, outcome: str = "passed") -> dict[str, object]:
    return {"event": "result", "id": test_id, "outcome": outcome, "duration_s": 0.5, "message": "m", "text": "t"}


ENDED: dict[str, object] = {"event": "ended"}


def outcomes(tally: Tally) -> dict[str, str]:
    return {found.id: found.outcome for found in tally.results()}


def test_a_result_is_read_as_it_was_written() -> None:
    (found,) = fed(collected("a"), started("a"), result("a", "failed"), ENDED).results()
    assert found == TestResult(
        id="a", outcome=TestOutcome.FAILED, duration_s=0.5, message="m", text="t", started_ns=5
    )


def test_a_collected_test_without_a_result_is_lost_if_the_copy_died() -> None:
    assert outcomes(fed(collected("a"), collected("b"), started("a"))) == {"a": "lost", "b": "lost"}


def test_a_lost_test_says_whether_it_was_running_or_never_began() -> None:
    lost = fed(collected("a"), collected("b"), started("b")).results()
    assert {found.id: (found.message, found.started_ns) for found in lost} == {
        "a": (NEVER_BEGAN, 0),
        "b": (WAS_RUNNING, 5),
    }


def of_runner(name: str, *facts: dict[str, object]) -> list[dict[str, object]]:
    return [{**fact, "runner": name} for fact in facts]


def test_a_test_that_one_process_passed_is_lost_if_another_died_while_it_ran() -> None:
    tally = fed(*of_runner("1", started("a")), *of_runner("2", started("a"), result("a"), ENDED))
    assert (outcomes(tally), tally.has_ended) == ({"a": "lost"}, False)


def test_a_test_that_one_process_passed_and_another_did_not_reach_has_passed() -> None:
    tally = fed(*of_runner("1", collected("a"), ENDED), *of_runner("2", collected("a"), result("a"), ENDED))
    assert (outcomes(tally), tally.has_ended) == ({"a": "passed"}, True)


def test_a_process_that_collects_again_after_its_end_has_not_ended() -> None:
    tally = fed(collected("a"), result("a"), ENDED, collected("b"))
    assert (outcomes(tally), tally.has_ended) == ({"a": "passed", "b": "lost"}, False)


def test_a_finished_test_is_not_lost_if_a_worker_that_starts_late_collects_it_again() -> None:
    assert outcomes(fed(collected("a"), started("a"), result("a"), collected("a"))) == {"a": "passed"}


def test_a_test_whose_runner_could_not_see_its_result_has_none() -> None:
    assert outcomes(fed(collected("a"), started("a"), {"event": "dropped", "id": "a"})) == {}


def test_tests_that_did_not_run_since_their_class_was_skipped_are_told_by_the_class() -> None:
    skipped = {**result("m.C", "skipped"), "phase": "collection"}
    assert outcomes(fed(collected("m.C.a"), collected("m.D.a"), skipped, ENDED)) == {
        "m.C": "skipped",
        "m.D.a": "not-run",
    }


def test_a_test_that_never_started_is_not_run_if_pytest_stopped_in_order() -> None:
    assert outcomes(fed(collected("a"), started("a"), collected("b"), ENDED)) == {"a": "lost", "b": "not-run"}


@pytest.mark.parametrize("order", [("failed", "passed"), ("passed", "failed")])
def test_a_pass_never_hides_a_failure_of_the_same_id(order: tuple[str, str]) -> None:
    tally = fed(*(result("a", outcome) for outcome in order), ENDED)
    assert (outcomes(tally), tally.counts[TestOutcome.FAILED], tally.counts[TestOutcome.PASSED]) == (
        {"a": "failed"},
        1,
        0,
    )


def test_counts_and_the_running_test_are_known_while_lines_arrive() -> None:
    tally = fed(collected("a"), collected("b"), started("a"), result("a"), started("b"))
    assert (tally.collected, tally.counts[TestOutcome.PASSED], tally.running) == (2, 1, ["b"])


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"[]", b"{}", b'"event"', b"\xff", b'{"event": "started", "id": "a"}'),
        *(b'{"event": "collected"}', b'{"event": "result", "id": "a", "outcome": "passed"}'),
        b'{"event": "result", "id": "a", "outcome": "splendid", "duration_s": 1, "message": "", "text": ""}',
        b'{"event": "result", "id": "a", "outcome": "passed", "duration_s": "long", "message": "", "text": ""}',
        b'{"event": "result", "id": "a", "outcome": "passed", "duration_s": NaN, "message": "", "text": ""}',
        b'{"event": "result", "id": "a", "outcome": "passed", "duration_s": 1, "message": [], "text": ""}',
        b'{"event": "collected", "id": 5}',
        b'{"event": "started", "id": "a", "t_ns": 1e400}',
        b'{"event": "ended", "runner": 5}',
        b'{"event": []}',
        b'{"event": "seeds", "seeds": {"a": null}}',
        b'{"event": "dropped", "id": "a", "runner": 5}',
        b"[" * 200_000,
    ],
)
def test_a_malformed_line_is_counted_and_dropped(line: bytes) -> None:
    tally = Tally()
    tally.feed(line)
    assert (tally.torn_lines, tally.results()) == (1, [])


@given(st.lists(st.sampled_from("abc"), max_size=8), st.booleans())
def test_every_collected_test_has_exactly_one_result_whatever_happened(finished: list[str], in_order: bool) -> None:
    facts = [collected(name) for name in "abc"] + [result(name) for name in finished] + ([ENDED] if in_order else [])
    assert sorted(found.id for found in fed(*facts).results()) == ["a", "b", "c"]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_lines_are_the_same_however_the_file_grew(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "f"
    reader = LineReader(path.parent, path.name)
    found: list[bytes] = []
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut <= len(data))})
    for start, end in pairwise(bounds):
        with path.open("ab") as stream:
            stream.write(data[start:end])
        found += reader.new_lines()
    assert found == data.split(b"\n")[:-1]


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="without SEEK_DATA no hole is looked for")
def test_a_line_that_is_written_while_its_file_is_searched_for_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"one\n")
    reader = LineReader(tmp_path, path.name)
    seek = os.lseek

    def seek_and_write(*args: int) -> int:
        try:
            return seek(*args)
        except OSError:  # ENXIO: there is no data from here on.
            if b"two" not in path.read_bytes():
                path.write_bytes(b"one\ntwo\n")
            raise

    monkeypatch.setattr(os, "lseek", seek_and_write)
    assert [*reader.new_lines(), *reader.new_lines()] == [b"one", b"two"]


def test_a_missing_file_has_no_results_and_a_reason(tmp_path: Path) -> None:
    tally = tally_of(tmp_path, "none")
    assert (outcomes(tally), tally.unreadable) == ({}, "none is missing")


def junit_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "j.xml"
    path.write_text(text)
    return path


def test_junit_cases_of_every_outcome_are_read(tmp_path: Path) -> None:
    path = junit_file(
        tmp_path,
        '<testsuites><testsuite name="s"><testcase classname="c" name="a" time="1,000.5"/>'
        '<testcase classname="c" name="b"><failure message="m">t</failure></testcase>'
        '<testcase name="d"><error/></testcase><testcase name="e"><skipped message="why"/></testcase>'
        "</testsuite></testsuites>",
    )
    assert junit_results(tmp_path, path.name) == [
        TestResult(id="c::a", outcome=TestOutcome.PASSED, duration_s=1000.5),
        TestResult(id="c::b", outcome=TestOutcome.FAILED, message="m", text="t"),
        TestResult(id="d", outcome=TestOutcome.ERROR),
        TestResult(id="e", outcome=TestOutcome.SKIPPED, message="why"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a",
        "<html/>",
        "<testsuite>\x00</testsuite>",
        "<?xml version='1.0' encoding='no-such-one'?><testsuite/>",
        "<?xml version='1.0' encoding='utf-7'?><testsuite/>",
    ],
)
def test_a_file_that_is_not_junit_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ResultsError, match=r"j\.xml is not a JUnit file"):
        junit_results(tmp_path, junit_file(tmp_path, text).name)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("1,000.5", 1000.5), ("1e400", 0.0), ("1e308", 0.0), ("nan", 0.0), ("-1", 0.0), ("soon", 0.0)],
)
def test_a_duration_is_a_finite_number_of_seconds(tmp_path: Path, text: str, duration_s: float) -> None:
    path = junit_file(tmp_path, f'<testsuite><testcase name="a" time="{text}"/></testsuite>')
    assert [result.duration_s for result in junit_results(tmp_path, path.name)] == [duration_s]


@pytest.mark.parametrize(
    ("children", "outcome"),
    [
        ('<skipped message="why"/><failure message="wrong"/>', TestOutcome.FAILED),
        ('<skipped message="why"/><error message="wrong"/>', TestOutcome.ERROR),
        ('<failure message="wrong"/><skipped message="why"/>', TestOutcome.FAILED),
    ],
)
def test_a_skip_hides_no_failure_of_the_same_junit_case(tmp_path: Path, children: str, outcome: TestOutcome) -> None:
    path = junit_file(tmp_path, f'<testsuite><testcase name="a">{children}</testcase></testsuite>')
    (result,) = junit_results(tmp_path, path.name)
    assert (result.outcome, result.message) == (outcome, "wrong")


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert shortened("abcdefghij", size_max=4) == "ab\n[...]\nij"
    assert shortened("abcd", size_max=4) == "abcd"


def test_outcomes_are_kept_when_messages_exceed_what_a_report_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parasuite.record.tally._TEXTS_CHARS_MAX", 3)
    tally = fed(result("a", "failed"), result("b", "failed"), ENDED)
    assert outcomes(tally) == {"a": "failed", "b": "failed"}
    assert [found.text for found in tally.results()] == ["t", "[left out: this copy's messages are too long]"]


def test_ids_beyond_what_a_report_can_hold_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parasuite.record.tally._IDS_CHARS_MAX", 350)  # The runner takes 100.
    tally = fed(collected("a"), collected("b"), collected("c"))
    assert (list(outcomes(tally)), tally.torn_lines) == (["a", "b"], 1)


def test_repeated_ids_are_numbered_without_taking_the_id_of_another_test() -> None:
    results = [TestResult(id=name, outcome=outcome) for name, outcome in zip("aaba", TestOutcome, strict=False)]
    results.insert(0, TestResult(id="a #2", outcome=TestOutcome.SKIPPED))
    assert [(result.id, result.outcome) for result in with_distinct_ids(results)] == [
        ("a #2", "skipped"),
        ("a", "passed"),
        ("a #3", "failed"),
        ("b", "error"),
        ("a #4", "lost"),
    ]


def grown(path: Path, *parts: bytes) -> GrowingTally:
    """The tally of a file that *parts* are appended to, one by one."""
    path.touch()
    growing = GrowingTally(path.parent, path.name)
    for part in parts:
        growing.read()
        with path.open("ab") as stream:
            stream.write(part)
    return growing


def test_what_was_read_while_a_file_grew_is_what_the_whole_file_says(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    data = (
        b"".join(
            json.dumps(fact).encode() + b"\n"
            for fact in ({**started("a"), "t_ns": 5}, result("a"), {**started("b"), "t_ns": 6})
        )
        + b"torn"
    )
    whole = grown(path, data[:30], data[30:90], data[90:]).whole()
    assert whole is not None
    again = tally_of(tmp_path, path.name)
    assert (outcomes(whole), whole.torn_lines) == (outcomes(again), again.torn_lines)
    assert outcomes(whole) == {"a": "passed", "b": "lost"}


def test_a_file_that_was_replaced_cut_or_removed_while_it_grew_is_read_again(tmp_path: Path) -> None:
    line = json.dumps(result("a")).encode() + b"\n"
    replaced, cut, removed = (grown(tmp_path / name, line, line) for name in ("replaced", "cut", "removed"))
    for tally in (replaced, cut, removed):
        tally.read()
    (tmp_path / "new").write_bytes(line * 2)
    (tmp_path / "new").replace(tmp_path / "replaced")
    os.truncate(tmp_path / "cut", len(line))
    cut.read()
    (tmp_path / "cut").write_bytes(line * 2)
    (tmp_path / "removed").unlink()
    assert [tally.whole() for tally in (replaced, cut, removed)] == [None, None, None]


def test_the_rest_of_a_line_that_is_too_long_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    rest = json.dumps(result("a")).encode() + b"\n"
    growing = grown(path, b"x" * (LINE_MAX + 1), rest)
    growing.read()
    assert growing.whole() is None
