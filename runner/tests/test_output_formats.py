"""The formats of --output-format: valid for their readers, and nothing that a reader must see is missing in any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from parasuite.judge.findings import Explanation
from parasuite.judge.history import HistoryBuilder
from parasuite.judge.report import COPY_ITSELF, Report
from parasuite.judge.series import SeriesReport, decide_series
from parasuite.judge.summary import summarize
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause
from parasuite.model.control import Control, ControlAnswer
from parasuite.model.location import Location
from parasuite.model.results import TestResult
from parasuite.model.series_record import SeriesRecord
from parasuite.model.suppression import Remark, Suppressed
from parasuite.model.words import OutputFormat, RunEnd, SuppressedBy, TestOutcome
from parasuite.reports.finding_text import suppressed_for
from parasuite.reports.github import ANNOTATIONS_MAX, github, inert
from parasuite.reports.gitlab import PROBLEMS_MAX, gitlab
from parasuite.reports.markdown import LEFT_OUT, markdown
from parasuite.reports.problems import RULES, in_repository, problems
from parasuite.reports.registry import OUTPUT_FORMATS
from parasuite.reports.sarif import FINGERPRINT, RESULTS_MAX, sarif
from parasuite.reports.sarif import LEFT_OUT as RESULTS_LEFT_OUT
from parasuite.reports.series_formats import series_gitlab, series_sarif
from parasuite.reports.series_problems import series_problems
from parasuite.reports.series_registry import SERIES_FORMATS
from parasuite.reports.wording import MORE, PROVES_NOTHING, controlled, explained_by, plural

from runner.tests.bad_nights import FAILED, FOUND, PARTS, bad_night
from runner.tests.building import a_finding, a_report, a_side
from runner.tests.conftest import Parasuite


@pytest.mark.parametrize("output_format", [each for each in OUTPUT_FORMATS if each is not OutputFormat.JSON])
@pytest.mark.parametrize("part", PARTS)
def test_each_format_shows_findings_failures_lost_tests_and_dead_copies(
    output_format: OutputFormat, part: str
) -> None:
    shown = OUTPUT_FORMATS[output_format](bad_night()).replace("\\", "")
    assert PARTS[part] in shown


def test_every_format_but_the_one_for_people_has_a_row() -> None:
    assert {*OUTPUT_FORMATS, OutputFormat.FULL} == set(OutputFormat)


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
@pytest.mark.parametrize("code", [ExitCode.BLIND, ExitCode.INTERRUPTED])
def test_each_format_says_that_a_run_proves_nothing(output_format: OutputFormat, code: ExitCode) -> None:
    text = OUTPUT_FORMATS[output_format](a_report(verdict=Verdict(code=code, reason="stopped halfway")))
    assert "stopped halfway" in text


def test_a_failed_test_is_at_the_last_line_of_its_own_file_and_names_its_finding() -> None:
    _, failed, *_ = problems(bad_night())
    assert failed.place == Location("tests/test_it.py", 9, "")
    assert failed.details == ("OSError: in use", explained_by(FOUND, is_certain=True))


@pytest.mark.parametrize(
    ("file", "root", "inside", "shown"),
    [
        pytest.param("tests/a.py", "/home/me/it", "", "tests/a.py", id="the root is the repository"),
        pytest.param("tests/a.py", "/home/me/it/web", "web", "web/tests/a.py", id="a folder of the repository"),
        pytest.param("../lib/a.py", "/home/me/it/web", "web", "lib/a.py", id="beside that folder"),
        pytest.param("/home/me/it/lib/a.py", "/home/me/it/web", "web", "lib/a.py", id="absolute"),
        pytest.param("../../other/a.py", "/home/me/it/web", "web", "", id="outside"),
        pytest.param("/usr/lib/a.py", "/home/me/it", "", "", id="a library"),
        pytest.param("../../../../../../a.py", "/home/me/it", "", "", id="above everything"),
    ],
)
def test_a_file_is_named_as_the_repository_names_it(file: str, root: str, inside: str, shown: str) -> None:
    assert in_repository(file, a_report(root=root, root_in_repository=inside)) == shown


def test_a_failed_test_says_what_it_does_alone() -> None:
    control = Control(test=FAILED, answer=ControlAnswer.COLLISION, passed=3, runs=3)
    _, failed, *_ = problems(bad_night(controls=(control,)))
    assert failed.details[-1] == controlled(control)


def test_a_finding_without_a_line_is_at_the_file_of_its_test() -> None:
    found = a_finding(sides=(a_side(0, test="tests/test_it.py::test_x"),))
    (problem,) = problems(a_report(findings=[found], root="/it"))
    assert problem.place == Location("tests/test_it.py", 0, "")


def test_ids_of_problems_do_not_depend_on_the_copy() -> None:
    other = bad_night()
    other = replace(other, results=other.results[::-1], copy_ends=other.copy_ends[::-1])
    assert {problem.id for problem in problems(other)} == {problem.id for problem in problems(bad_night())}


def test_copies_that_ended_alike_are_one_problem() -> None:
    own = [TestResult(id=COPY_ITSELF, outcome=TestOutcome.ERROR, message="exit status 3", is_of_copy=True)]
    explanations = {(copy, COPY_ITSELF): Explanation(FOUND.id, is_certain=True) for copy in range(2)}
    _, problem = problems(a_report(results=[own, own], findings=[FOUND], explanations=explanations))
    assert problem.title == "2 of 2 copies (0, 1): exit status 3"
    assert problem.details[0] == explained_by(FOUND, is_certain=True)


# GitHub: the grammar of @actions/core.
ANNOTATION = re.compile(r"::(error|warning|notice) ((?:\w+=[^,:\r\n]*,?)+)::([^\r\n]*)")


def annotated(report: Report) -> list[tuple[str, dict[str, str], str]]:
    """Level, properties and message of each, as the runner reads them."""
    found = []
    for line in github(report).splitlines():
        match = ANNOTATION.fullmatch(line)
        assert match, line
        properties = dict(each.split("=", 1) for each in match[2].split(","))
        found.append((match[1], {key: _unescaped(value) for key, value in properties.items()}, _unescaped(match[3])))
    return found


def _unescaped(text: str) -> str:
    for escape, char in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(escape, char)
    return text


def test_annotations_have_file_and_line_and_the_whole_finding() -> None:
    level, properties, message = annotated(bad_night())[0]
    assert (level, properties) == (
        "error",
        {"file": "tests/conftest.py", "line": "12", "title": f"hard-coded: {FOUND.title}"},
    )
    assert message.startswith(f"{FOUND.title}\n")
    assert f"hint: {FOUND.hint}" in message


def test_of_more_than_ten_problems_the_gravest_nine_are_annotations_and_the_tenth_counts_the_others() -> None:
    warnings = [a_finding(id=f"{number:010}", title=f"warning {number}") for number in range(20)]
    shown = annotated(bad_night(findings=[*warnings, FOUND]))
    assert len(shown) == ANNOTATIONS_MAX
    assert [level for level, _, _ in shown] == ["error"] * 4 + ["warning"] * 6
    assert shown[-1][2] == MORE.format(problems=plural(15, "more problem"))


@given(st.text())
def test_no_name_ends_an_annotation_or_begins_another_command(name: str) -> None:
    results = [[TestResult(id=name, outcome=TestOutcome.FAILED, message=name)], []]
    found = a_finding(title=name, hint=name, sides=(a_side(0, test=name, frames=(Location(name, 3, name),)),))
    report = a_report(results=results, findings=[found], root="/it")
    assert len(annotated(report)) == 2


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("::error::forged", r"\::error::forged"),
        ("    ::add-mask::x", r"    \::add-mask::x"),
        ("in ##[error]forged", r"in #\#[error]forged"),
        ("tests/a.py::test_x", "tests/a.py::test_x"),
    ],
)
def test_a_line_of_the_report_is_no_command_to_the_runner(line: str, shown: str) -> None:
    assert inert(line) == shown


# GitLab: "Code Quality report format" in its documentation.
GITLAB = Draft202012Validator(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["description", "check_name", "fingerprint", "severity", "location"],
            "properties": {
                "description": {"type": "string", "minLength": 1},
                "check_name": {"type": "string", "minLength": 1},
                "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{10}$"},
                "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
                "location": {
                    "type": "object",
                    "required": ["path", "lines"],
                    "properties": {
                        "path": {"type": "string", "pattern": "^(?!/)(?!\\./).+"},
                        "lines": {
                            "type": "object",
                            "required": ["begin"],
                            "properties": {"begin": {"type": "integer", "minimum": 1}},
                        },
                    },
                },
            },
        },
    }
)


def test_gitlab_gets_an_entry_for_each_problem_with_the_id_as_its_fingerprint() -> None:
    written = json.loads(gitlab(bad_night()))
    GITLAB.validate(written)
    assert [entry["check_name"] for entry in written] == ["hard-coded", "failed-test", "failed-test", "bad-copy"]
    assert written[0] | {"description": ""} == {
        "description": "",
        "check_name": "hard-coded",
        "fingerprint": FOUND.id,
        "severity": "major",
        "location": {"path": "tests/conftest.py", "lines": {"begin": 12}},
    }


# The part of SARIF 2.1.0 that is written, with nothing else allowed.
SARIF = Draft202012Validator(json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0-part.json").read_text()))


def results_of(report: Report) -> list[dict[str, Any]]:
    written = json.loads(sarif(report))
    SARIF.validate(written)
    found: list[dict[str, Any]] = written["runs"][0]["results"]
    return found


def test_sarif_has_a_rule_for_each_cause_and_a_result_for_each_problem() -> None:
    written = json.loads(sarif(bad_night()))
    SARIF.validate(written)
    rules = written["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert set(Cause) < set(RULES)
    for result in written["runs"][0]["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_result_of_sarif_has_its_line_the_other_side_and_the_id() -> None:
    first = results_of(bad_night())[0]
    assert first["partialFingerprints"] == {FINGERPRINT: FOUND.id}
    (place,), (other,) = first["locations"], first["relatedLocations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "tests/conftest.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    assert other["physicalLocation"]["artifactLocation"]["uri"] == "tests/helpers.py"
    assert other["message"]["text"] == "held: copy 0"


@pytest.mark.parametrize(("by", "kind"), [(SuppressedBy.PROJECT, "external"), (SuppressedBy.COMMENT, "inSource")])
def test_what_is_suppressed_is_a_note_that_says_so_and_a_suppression_of_sarif(by: SuppressedBy, kind: str) -> None:
    suppressed = Suppressed(by, "the device has only this port")
    report = bad_night(findings=[replace(FOUND, suppressed=suppressed)])
    first = results_of(report)[0]
    (said,) = first["suppressions"]
    assert (first["level"], said["kind"], said["justification"]) == ("note", kind, "the device has only this port")
    assert suppressed_for(suppressed) in gitlab(report)
    assert ("notice", True) in [(level, FOUND.title in text) for level, _, text in annotated(report)]


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
@pytest.mark.parametrize(
    "report",
    [
        pytest.param(
            a_report(findings=[replace(FOUND, expired=Suppressed(SuppressedBy.PROJECT, "was said"))]), id="expired"
        ),
        pytest.param(a_report(remarks=[Remark("was said")], notes=["was said"]), id="stale or unusable"),
    ],
)
def test_each_format_tells_of_a_suppression_that_does_not_count(output_format: OutputFormat, report: Report) -> None:
    assert "was said" in OUTPUT_FORMATS[output_format](report)


def test_a_comment_that_cannot_be_used_is_annotated_where_it_stands() -> None:
    remark = Remark("it gives no reason", Location("tests/test_it.py", 7, ""))
    report = a_report(remarks=[remark], root="/it")
    (result,) = results_of(report)
    physical = result["locations"][0]["physicalLocation"]
    assert (physical["artifactLocation"]["uri"], physical["region"]["startLine"]) == ("tests/test_it.py", 7)
    assert (result["ruleId"], result["level"]) == ("suppression", "note")


@given(st.text(), st.text())
def test_any_names_give_a_valid_sarif_and_a_valid_report_for_gitlab(name: str, file: str) -> None:
    results = [[TestResult(id=name, outcome=TestOutcome.FAILED, message=name, text=name)], []]
    found = a_finding(title=name or "t", sides=(a_side(0, test=name, frames=(Location(file, 3, name),)),))
    report = a_report(results=results, findings=[found], root="/it", notes=[f"n {name}"])
    results_of(report)
    GITLAB.validate(json.loads(gitlab(report)))


def test_the_markdown_is_cut_at_a_block_and_says_how_many_are_missing() -> None:
    many = [a_finding(id=f"{number:010}", title=f"finding {number}") for number in range(100)]
    whole = markdown(a_report(findings=many))
    short = markdown(a_report(findings=many), bytes_max=10_000)
    *blocks, last = short.removesuffix("\n").split("\n\n### ")[-1].split("\n\n")
    assert (len(short.encode()) <= 10_000, whole.startswith(short[: short.rindex("\n\n")])) == (True, True)
    shown = short.count("\n### ")
    assert last.replace("\\", "") == LEFT_OUT.format(problems=plural(100 - shown, "more problem"))
    assert blocks[-1].endswith("```")


def structure(text: str) -> list[str]:
    """What a reader of CommonMark makes of *text*: kinds of blocks, and what is not plain text or code in them."""
    tokens = MarkdownIt("commonmark").parse(text)
    inline = [child.type for token in tokens for child in token.children or () if child.type not in PLAIN]
    return [token.type for token in tokens] + inline


PLAIN = {"text", "code_inline", "softbreak"}


@given(st.text(alphabet="`<>@#-=\n\\|*[]()x &!_~:/.", max_size=40))
@example("```")
@example("<b>&amp;")
def test_no_name_is_markup_in_the_markdown(name: str) -> None:
    def report(text: str) -> Report:
        failed = TestResult(id=f"t.py::{text}", outcome=TestOutcome.FAILED, message=f"m {text}".replace("\n", " "))
        found = a_finding(title=f"t {text}", hint=text, sides=(a_side(0, frames=(Location(text, 3, text),)),))
        return a_report(results=[[failed], []], findings=[found], root="/it", notes=[text])

    assert structure(markdown(report(name))) == structure(markdown(report("plain")))


def test_of_very_many_problems_each_format_says_how_many_it_leaves_out() -> None:
    most = max(PROBLEMS_MAX, RESULTS_MAX)
    failed = [
        TestResult(id=f"t.py::t{number}", outcome=TestOutcome.FAILED, message="long " * 1000)
        for number in range(most + 7)
    ]
    report = a_report(results=[failed, []])
    assert MORE.format(problems=plural(7, "more problem")) in gitlab(report)
    assert RESULTS_LEFT_OUT.format(results=plural(7, "result")) in sarif(report)
    assert len(sarif(report)) < 30_000_000


# Series: the same problems, with how often each was seen.


def series(*rounds: Report) -> SeriesReport:
    builder = HistoryBuilder()
    for each in rounds:
        builder.add(summarize(each))
    record = SeriesRecord(
        series_id="s", parasuite="1", started_s=1e9, host="h", described="tests", ended=RunEnd.COMPLETE
    )
    history = builder.history()
    code, reason, exit_code = decide_series(record, history, [])
    return SeriesReport(
        record=record,
        folder="f",
        history=history,
        paths=[],
        missing=[],
        code=code,
        reason=reason,
        exit_code=exit_code,
        root="/home/me/it",
    )


PLACED = replace(FOUND, sides=FOUND.effects[0].sides)
TWO_ROUNDS = series(bad_night(findings=[PLACED]), bad_night(findings=[]))


@pytest.mark.parametrize("output_format", [each for each in SERIES_FORMATS if each is not OutputFormat.JSON])
def test_each_format_shows_the_findings_and_failures_of_a_series(output_format: OutputFormat) -> None:
    shown = SERIES_FORMATS[output_format](TWO_ROUNDS).replace("\\", "")
    # An annotation has no id.
    found = FOUND.title if output_format is OutputFormat.GITHUB else FOUND.id
    assert [part for part in (found, "test_fails_in_copy_5", "test_lost") if part not in shown] == []


def test_a_series_has_every_format_that_a_run_has() -> None:
    assert set(SERIES_FORMATS) == set(OUTPUT_FORMATS)


def test_a_problem_of_a_series_has_the_id_and_the_line_that_it_has_in_a_run() -> None:
    of_run = {problem.id: problem.place for problem in problems(bad_night(findings=[PLACED]))}
    first, *tests = series_problems(TWO_ROUNDS)
    assert (of_run[first.id], first.place) == (
        Location("tests/conftest.py", 12, "server"),
        Location("tests/conftest.py", 12, ""),
    )
    assert {problem.id for problem in tests} < set(of_run)
    assert "seen in 1 of 2 rounds" in first.details[0]


def test_a_series_makes_a_valid_sarif_and_code_quality() -> None:
    for each in (TWO_ROUNDS, series(a_report(verdict=Verdict(code=ExitCode.BLIND, reason="r")))):
        SARIF.validate(json.loads(series_sarif(each)))
        GITLAB.validate(json.loads(series_gitlab(each)))


# What the command line does with them.


@pytest.fixture
def ended(parasuite: Parasuite, suite: Callable[[str], Path]) -> Parasuite:
    """A parasuite in a folder with a finished run in which a test failed."""
    suite("def test_fails():\n    assert 0, '::error::forged'\n")
    assert parasuite.run_pytest("-j", "2", "--sensors", "none", "tests/").code == 1
    return parasuite


def test_report_prints_the_format_that_is_asked_for_and_the_verdict_keeps_its_exit_code(ended: Parasuite) -> None:
    for output_format, reads in {"json": json.loads, "gitlab": json.loads, "sarif": json.loads}.items():
        finished = ended("report", "--output-format", output_format)
        assert (finished.code, bool(reads(finished.stdout)), finished.stderr) == (1, True, "")
    assert ended("report", "--output-format", "concise").stdout.splitlines()[-1] == "failed"
    wrong = ended("report", "--output-format", "xml")
    assert (wrong.code, "--output-format must be one of full, concise, " in wrong.stderr) == (2, True)


ACTIONS: Mapping[str, str] = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md"}


def test_in_github_actions_annotations_the_report_and_the_summary_of_the_step_are_written(ended: Parasuite) -> None:
    (ended.cwd / "summary.md").write_text("# an earlier command\n")
    finished = ended("report", environ=ACTIONS)
    first, *report = finished.stdout.splitlines()
    assert re.match(r"::error file=tests/test_it\.py,line=2,title=", first)
    assert [line for line in report if line.lstrip().startswith("::")] == []
    assert (report[-1], finished.code) == ("failed", 1)
    summary = (ended.cwd / "summary.md").read_text()
    assert summary.startswith("# an earlier command\n## parasuite: failed\n")


def test_a_format_that_is_named_prevails_over_that_of_github_actions(ended: Parasuite) -> None:
    assert "::error" not in ended("report", environ={**ACTIONS, "PARASUITE_OUTPUT_FORMAT": "full"}).stdout[:7]
    assert not (ended.cwd / "summary.md").exists()


def test_a_summary_that_cannot_be_written_is_reported(ended: Parasuite) -> None:
    finished = ended("report", environ={**ACTIONS, "GITHUB_STEP_SUMMARY": "no/such/folder"})
    assert (finished.code, "the summary of the step could not be written" in finished.stderr) == (1, True)


def test_a_run_proves_nothing_in_words_that_every_format_shares() -> None:
    (problem,) = problems(a_report(verdict=Verdict(code=ExitCode.NO_TESTS, reason="no test ran")))
    assert problem.title == PROVES_NOTHING.format(reason="no test ran")
