"""The reports, one row each: the files that a run writes into its folder, and the formats that are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from parasuite.judge.report import Report
from parasuite.judge.summary import summarize
from parasuite.model.run_summary import FILE_NAME, summary_lines
from parasuite.model.words import OptionalReport, OutputFormat
from parasuite.reports.concise import concise
from parasuite.reports.findings_json import findings_json
from parasuite.reports.github import github
from parasuite.reports.gitlab import gitlab
from parasuite.reports.junit_xml import junit, junit_merged
from parasuite.reports.markdown import markdown
from parasuite.reports.page.page import page
from parasuite.reports.sarif import sarif
from parasuite.reports.trace import trace

PAGE = "report.html"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file in the run folder. *render*: its text, or its bytes, from the Report alone.

    *option*: None if it is always written.
    """

    name: str
    render: Callable[[Report], str | bytes]
    option: OptionalReport | None = None


REPORT_FILES = (
    ReportFile("findings.json", findings_json),
    ReportFile("junit.xml", junit),
    ReportFile("junit-merged.xml", junit_merged),
    ReportFile(FILE_NAME, lambda report: "".join(summary_lines(summarize(report)))),
    ReportFile(PAGE, page, option=OptionalReport.PAGE),
    ReportFile("trace.json.gz", trace, option=OptionalReport.TRACE),
)

OUTPUT_FORMATS: Mapping[OutputFormat, Callable[[Report], str]] = {
    OutputFormat.CONCISE: concise,
    OutputFormat.JSON: findings_json,
    OutputFormat.GITHUB: github,
    OutputFormat.GITLAB: gitlab,
    OutputFormat.SARIF: sarif,
    OutputFormat.MARKDOWN: markdown,
}
"""What is printed in each format, from the Report alone. FULL has no row: `reports.terminal` makes it."""
