"""The reports that every run writes into its folder: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parasuite.judge.report import Report
from parasuite.reports.findings_json import findings_json
from parasuite.reports.junit_xml import junit, junit_merged


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file in the run folder. *render*: its whole text, from the Report alone."""

    name: str
    render: Callable[[Report], str]


REPORT_FILES = (
    ReportFile("findings.json", findings_json),
    ReportFile("junit.xml", junit),
    ReportFile("junit-merged.xml", junit_merged),
)
