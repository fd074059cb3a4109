"""A series in the formats that are lists of problems: how often each was seen is in its text."""

from __future__ import annotations

from parasuite.judge.series import SeriesReport
from parasuite.reports.concise import concise_lines
from parasuite.reports.github import annotation_lines
from parasuite.reports.gitlab import code_quality
from parasuite.reports.moments import moment
from parasuite.reports.sarif import Ended, sarif_log
from parasuite.reports.series_problems import series_problems


def series_concise(report: SeriesReport) -> str:
    """A line for each problem, and the verdict alone on the last line."""
    return concise_lines(series_problems(report), report.reason)


def series_github(report: SeriesReport) -> str:
    """Annotations for GitHub Actions."""
    return annotation_lines(series_problems(report))


def series_gitlab(report: SeriesReport) -> str:
    """GitLab's Code Quality report."""
    return code_quality(series_problems(report))


def series_sarif(report: SeriesReport) -> str:
    """SARIF 2.1.0."""
    ended = Ended(
        run_id=report.record.series_id,
        is_conclusive=report.code.is_conclusive,
        exit_code=report.exit_code,
        reason=report.reason,
        started_at=moment(report.record.started_s),
        notes=report.missing,
    )
    return sarif_log(series_problems(report), ended)
