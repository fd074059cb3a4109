"""findings.json of a series: its rounds, each finding with its rates, and the tests that did not always pass."""

from __future__ import annotations

import json

from parasuite.judge.history import FindingHistory, Rate, TestHistory
from parasuite.judge.series import SeriesReport
from parasuite.model.causes import docs_page
from parasuite.model.run_summary import RunSummary
from parasuite.reports.moments import moment
from parasuite.reports.results_json import overlap_json
from parasuite.reports.series_terminal import unsteady_tests

FORMAT = 1
"""Raised by one when a reader of the older format would misread the file."""


def series_json(report: SeriesReport) -> str:
    """A JSON object; findings are the gravest first, tests those that failed most often first."""
    record = report.record
    series = {
        "id": record.series_id,
        "started_at": moment(record.started_s),
        "ended": record.ended,
        "exit_code": int(report.code),
        "verdict": report.reason,
        "target": record.described,
        "repeat": record.repeat,
        "duration_s": record.duration_s,
        "until": record.until,
        "conclusive_rounds": report.history.conclusive,
        "errors": [*record.errors, *report.missing],
        "notes": list(report.remarks),
    }
    # Round by round, as the paths of those that can be read: a run that is missing is in errors.
    rounds = [_round(run, path) for run, path in zip(report.history.runs, report.paths, strict=True)]
    findings = [json_of_finding(finding) for finding in report.history.findings]
    tests = [json_of_test(test) for test in unsteady_tests(report)]
    whole = {"format": FORMAT, "series": series, "rounds": rounds, "findings": findings, "tests": tests}
    return json.dumps(whole, indent=1) + "\n"


def _round(run: RunSummary, path: str) -> dict[str, object]:
    return {
        "run": run.run_id,
        "folder": path,
        "started_at": moment(run.started_s),
        "host": run.host,
        "copies": run.copies,
        "exit_code": run.code,
        "verdict": run.verdict,
        "is_conclusive": run.is_conclusive,
        "overlap_s": overlap_json(run.overlap),
    }


def json_of_finding(finding: FindingHistory) -> dict[str, object]:
    """A finding over many runs; docs/rounds.md explains the keys."""
    worst = finding.worst
    return {
        "id": worst.id,
        "cause": worst.cause,
        "severity": worst.severity,
        "title": worst.title,
        "place": worst.place,
        "subject": worst.subject,
        "suppressed": worst.suppressed or None,
        "docs": docs_page(worst.cause),
        "seen": rate_json(finding.seen),
        "seen_elsewhere": finding.seen_elsewhere,
        "effects": {kind: rate_json(found) for kind, found in finding.effects.items()},
        "first_run": finding.first.run_id,
        "first_seen": moment(finding.first.started_s),
        "last_run": finding.last.run_id,
        "last_seen": moment(finding.last.started_s),
        "hosts": list(finding.hosts),
    }


def json_of_test(test: TestHistory) -> dict[str, object]:
    """A test over many runs."""
    executions = {"passed": test.executions.passed, "failed": test.executions.failed}
    return {"id": test.id, "passed": rate_json(test.passed), "executions": executions}


def rate_json(rate: Rate) -> dict[str, object]:
    """`{"rounds": 4, "of": 20, "interval": [0.081, 0.416]}`."""
    return {"rounds": rate.count, "of": rate.of, "interval": [round(each, 4) for each in rate.interval]}
