"""Both JUnit files: valid for Jenkins whatever tests print, and no consumer can overlook a failure."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from parasuite.judge.findings import Explanation, Finding
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Endpoint
from parasuite.model.party import Party
from parasuite.model.results import Attempt, TestResult
from parasuite.model.words import CopyPhase, Evidence, Protocol, Severity, TestOutcome
from parasuite.reports.junit_bounds import Suite, bounded
from parasuite.reports.junit_case import Case, clean
from parasuite.reports.junit_document import LEFT_OUT
from parasuite.reports.junit_xml import junit, junit_merged, split_id
from parasuite.reports.wording import CANNOT_SEE, PROVES_NOTHING, explained_by

from runner.tests.building import a_finding, a_report, a_side, an_effect

Layout = Callable[[Report], str]
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "junit-10.xsd"))
NASTY = "esc \x1b nul \x00 surrogate \udc80 end ]]> <&\"'> \ufffe line\r\nnext\ttab"


def report(*results: list[TestResult], findings: tuple[Finding, ...] = ()) -> Report:
    ends = [CopyEnd(copy=number, how=CopyPhase.EXITED, status=0) for number in range(len(results))]
    return a_report(copy_ends=ends, results=results, findings=findings)


def finding(severity: Severity = Severity.ERROR) -> Finding:
    side = a_side(0, test=NASTY, command=NASTY, line="tests/conftest.py:12:server tests/test_it.py:40:test_quit")
    return a_finding(severity=severity, title=NASTY, sides=(side, a_side(1)), effects=(an_effect(),) * 9)


def found(root: etree._Element, path: str) -> etree._Element:
    """The one element at *path*, which must be there."""
    element = root.find(path)
    assert element is not None, etree.tostring(root)
    return element


def parsed(text: str) -> etree._Element:
    root = etree.fromstring(text.encode())
    SCHEMA.assertValid(root)
    return root


result = st.builds(
    TestResult,
    id=st.one_of(st.text(max_size=30), st.just("tests/test_x.py::Class::test_y[a::b]")),
    outcome=st.sampled_from(TestOutcome),
    duration_s=st.floats(0, 1e6),
    message=st.text(max_size=30),
    text=st.text(max_size=50),
)


@pytest.mark.parametrize("layout", [junit, junit_merged])
@given(results=st.lists(st.lists(result, max_size=5), max_size=4))
def test_any_results_make_a_valid_file_that_counts_its_cases(layout: Layout, results: list[list[TestResult]]) -> None:
    root = parsed(layout(report(*results, findings=(finding(), finding(Severity.WARNING)))))
    for suite in root.iterfind("testsuite"):
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(attribute, "")) == len(suite.findall(f"testcase/{kind}"))
    assert int(root.get("tests", "")) == len(root.findall(".//testcase"))


@pytest.mark.parametrize("layout", [junit, junit_merged])
def test_a_character_that_xml_cannot_carry_is_shown_by_its_code(layout: Layout) -> None:
    bad = TestResult(id="t.py::test", outcome=TestOutcome.FAILED, message=NASTY, text=NASTY)
    root = parsed(layout(report([bad], findings=(finding(),))))
    failure = found(root, ".//testcase[@name='test']/failure")
    assert "esc #x1B nul #x00 surrogate #xDC80 end ]]> <&\"'> #xFFFE line" in str(failure.text)
    assert "#x1B" in str(failure.get("message"))


@given(st.text())
def test_a_cleaned_text_is_read_back_unchanged(text: str) -> None:
    cleaned = clean(text).replace("\r", "")
    element = etree.Element("x")
    element.text = cleaned
    assert (etree.fromstring(etree.tostring(element)).text or "") == cleaned


def test_a_reader_that_keeps_the_first_of_equal_names_sees_a_failure_in_any_copy() -> None:
    passed = TestResult(id="tests/test_x.py::test_y", outcome=TestOutcome.PASSED)
    failed = TestResult(id="tests/test_x.py::test_y", outcome=TestOutcome.FAILED, message="no")
    copies = [[passed]] * 5 + [[failed]] + [[passed]] * 2
    root = parsed(junit(report(*copies)))
    first_of: dict[tuple[object, object], etree._Element] = {}
    for case in root.iterfind(".//testcase"):
        first_of.setdefault((case.get("classname"), case.get("name")), copy.copy(case))
    failing = [key for key, case in first_of.items() if case.find("failure") is not None]
    assert failing == [("copy-5.tests.test_x", "test_y")]


def test_the_merged_file_has_one_case_per_test_that_says_in_how_many_copies_it_passed() -> None:
    passed = TestResult(id="tests/test_x.py::test_y", outcome=TestOutcome.PASSED)
    failed = TestResult(id="tests/test_x.py::test_y", outcome=TestOutcome.FAILED, message="no")
    root = parsed(junit_merged(report([passed], [failed], [passed], [failed])))
    (case,) = root.iterfind(".//testsuite[@name='tests']/testcase")
    assert found(case, "failure").get("message") == "2 of 4 passed; failed in copy 1, 3: no"


def port_cases(shown: Report) -> list[etree._Element]:
    return parsed(junit(shown)).findall(".//testsuite[@name='parasuite.ports']/testcase")


@pytest.mark.parametrize(
    ("severity", "element"),
    [(Severity.ERROR, "failure"), (Severity.WARNING, "skipped"), (Severity.NOTE, "system-out")],
)
def test_a_finding_is_a_failure_from_the_severity_that_fails_the_run_and_a_note_has_passed(
    severity: Severity, element: str
) -> None:
    (case,) = port_cases(report([], findings=(finding(severity),)))
    assert [child.tag for child in case] == [element]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        pytest.param(a_finding(), "hard-coded tcp 8025 0123456789", id="port"),
        pytest.param(
            a_finding(endpoint=Endpoint(Protocol.UNIX, "/tmp/it.sock"), port=0),
            "hard-coded unix /tmp/it.sock 0123456789",
            id="path",
        ),
        pytest.param(a_finding(Cause.LOST_PORT), "lost-port 0123456789", id="assigned port"),
        pytest.param(
            a_finding(Cause.LEAKED, endpoint=Endpoint(Protocol.UNIX, "/tmp/pytest-3/x.sock")),
            "leaked 0123456789",
            id="path in a temporary folder",
        ),
    ],
)
def test_the_case_of_a_finding_is_named_by_cause_fixed_port_and_id(made: Finding, name: str) -> None:
    assert [case.get("name") for case in port_cases(report([], findings=(made,)))] == [name]


def test_the_text_of_a_finding_has_what_a_terminal_leaves_out() -> None:
    lines = "tests/conftest.py:12:server tests/test_it.py:40:test_quit"
    sides = [a_side(copy, line=lines, command=f"python -m pytest {copy}") for copy in range(4)]
    (case,) = port_cases(report([], findings=(a_finding(sides=tuple(sides)),)))
    text = str(found(case, "skipped").text)
    assert [text.count(each) for each in ("called from tests/test_it.py:40 test_quit", "python -m pytest ")] == [4, 4]


def test_of_many_effects_the_first_five_are_quoted_and_the_others_counted() -> None:
    (case,) = port_cases(report([], findings=(a_finding(effects=(an_effect(),) * 7),)))
    text = str(found(case, "skipped").text)
    assert (text.count("wanted: copy 1"), "and 2 more pairs of sides" in text) == (5, True)


def test_the_names_of_cases_are_equal_in_two_runs_that_differ_in_everything_else() -> None:
    one = a_finding(Cause.LOST_PORT, sides=(a_side(0, pid=1, at_ns=1),), effects=(an_effect(),))
    other = a_finding(
        Cause.LOST_PORT,
        severity=Severity.ERROR,
        evidence=Evidence.SAMPLED,
        title="port 40002 was lost",
        endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 40002),
        parties=(Party(2, "gw1"), Party(3)),
        sides=(a_side(3, pid=2, at_ns=2),),
        effects=(),
    )
    names = [[case.get("name") for case in port_cases(report([], findings=(each,)))] for each in (one, other)]
    assert names[0] == names[1]


@pytest.mark.parametrize("layout", [junit, junit_merged])
@pytest.mark.parametrize("is_certain", [True, False])
def test_the_text_of_a_failed_test_ends_with_the_finding_that_explains_it(layout: Layout, is_certain: bool) -> None:
    failed = TestResult(id="t.py::test", outcome=TestOutcome.FAILED, text="traceback")
    explained = replace(
        report([failed], findings=(a_finding(),)),
        explanations={(0, "t.py::test"): Explanation("0123456789", is_certain)},
    )
    failure = found(parsed(layout(explained)), ".//testcase[@name='test']/failure")
    assert str(failure.text).endswith(f"traceback\n\n{explained_by(a_finding(), is_certain=is_certain)}")


def test_a_test_that_passed_is_not_explained() -> None:
    passed = TestResult(id="t.py::test", outcome=TestOutcome.PASSED)
    explained = replace(
        report([passed], findings=(a_finding(),)), explanations={(0, "t.py::test"): Explanation("0123456789", True)}
    )
    assert list(found(parsed(junit(explained)), ".//testcase[@name='test']")) == []


@pytest.mark.parametrize("layout", [junit, junit_merged])
@pytest.mark.parametrize("code", ExitCode)
def test_the_coverage_case_is_an_error_if_the_run_proves_nothing(layout: Layout, code: ExitCode) -> None:
    ended = replace(report([]), verdict=Verdict(code=code, reason="why"))
    errors = [error.get("message") for error in parsed(layout(ended)).iterfind(".//testcase[@name='coverage']/error")]
    proves_something = code in (ExitCode.PASSED, ExitCode.TEST_FAILED, ExitCode.FINDINGS)
    assert errors == ([] if proves_something else [PROVES_NOTHING.format(reason="why")])


def test_the_notes_of_a_run_follow_what_its_sensors_cannot_see() -> None:
    root = parsed(junit(replace(report([]), notes=("seccomp saw less than it could",))))
    skipped = found(root, f".//testcase[@name='{CANNOT_SEE.format(sensors='sampler')}']/skipped")
    assert str(skipped.text).splitlines() == ["a listener that lives for a moment", "seccomp saw less than it could"]


def test_a_copy_that_died_although_its_tests_have_results_is_an_error_of_its_own() -> None:
    died = replace(
        report([], []),
        copy_ends=[
            CopyEnd(copy=0, how=CopyPhase.EXITED, status=0),
            CopyEnd(copy=1, how=CopyPhase.EXITED, status=-9),
        ],
    )
    errors = [error.get("message") for error in parsed(junit(died)).iterfind(".//testcase[@name='copy 1']/error")]
    assert errors == ["killed by SIGKILL"]


case = st.builds(
    Case,
    classname=st.text(max_size=5),
    name=st.text(max_size=5),
    element=st.sampled_from(["", "failure", "error", "skipped"]),
    message=st.text(max_size=5),
    text=st.one_of(st.text(max_size=5), st.just("<" * 5000)),
    attempts=st.lists(st.builds(Attempt, st.text(max_size=5), st.just("&" * 900)), max_size=3).map(tuple),
)


@given(
    suites=st.lists(st.builds(Suite, st.just("s"), st.lists(case, max_size=20), st.booleans()), max_size=4),
    size=st.integers(0, 60_000),
    elements=st.integers(0, 60),
)
def test_what_fits_is_within_the_bounds_and_counts_what_does_not(
    suites: list[Suite], size: int, elements: int
) -> None:
    whole = bounded(suites)
    assert (whole.left_out, whole.shortened, [each.cases for each in whole.suites]) == (
        0,
        0,
        [list(each.cases) for each in suites],
    )
    fitting = bounded(suites, 100_000 + 1000 * len(suites) + size, 10 + len(suites) + elements)
    cases = [each for suite in fitting.suites for each in suite.cases]
    assert sum(len(each.xml.encode()) for each in cases) <= size
    assert sum(each.elements for each in cases) <= elements
    assert len(cases) + fitting.left_out == sum(len(suite.cases) for suite in suites)


def test_of_a_file_that_is_too_large_tests_that_passed_are_left_out_and_a_case_says_so() -> None:
    passed = [TestResult(id=f"t.py::test_{number}", outcome=TestOutcome.PASSED) for number in range(40)]
    failed = TestResult(id="t.py::test_fails", outcome=TestOutcome.FAILED, message="no", text="why")
    root = parsed(junit(report(passed, [*passed, failed], findings=(finding(),)), elements_max=60))
    (said,) = [each.get("message") for each in root.iterfind(".//testcase[@name='left out of this file']/skipped")]
    assert found(root, ".//testcase[@name='test_fails']/failure").text == "why"
    shown = len(root.findall(".//testcase[@classname='copy-0.t']")) + len(
        root.findall(".//testcase[@classname='copy-1.t']")
    )
    assert said == LEFT_OUT.format(cases=f"{81 - shown} cases", texts="0 texts")


def test_a_failure_in_the_last_copy_is_kept_whatever_the_first_one_printed() -> None:
    loud = [Case("copy-0.t", f"test_{number}", 0.0, "failure", "no", "x" * 10_000) for number in range(50)]
    last = Case("copy-5.t", "test_last", 0.0, "failure", "no", "why")
    fitting = bounded([Suite("tests@copy-0", loud), Suite("tests@copy-5", [last])], 100_000 + 2000 + 60_000)
    assert (fitting.left_out, fitting.suites[1].cases, fitting.shortened > 40) == (0, [last], True)


def test_the_output_of_a_passed_test_is_left_out() -> None:
    root = parsed(junit(report([TestResult(id="t.py::test", outcome=TestOutcome.PASSED, text="chatter")])))
    assert list(found(root, ".//testcase[@name='test']")) == []


@pytest.mark.parametrize(
    ("test_id", "classname", "name"),
    [
        pytest.param("tests/test_x.py::C::test_y[a::b/c]", "tests.test_x.C", "test_y[a::b/c]", id="parameters"),
        pytest.param("test_x.py::test_y", "test_x", "test_y", id="function"),
        pytest.param("copy", "", "copy", id="the copy itself"),
    ],
)
def test_a_node_id_becomes_a_class_and_a_name(test_id: str, classname: str, name: str) -> None:
    assert split_id(test_id) == (classname, name)
