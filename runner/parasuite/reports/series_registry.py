"""The reports that a series writes into its folder: one row each. They have the names that a run's have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from parasuite.judge.series import SeriesReport
from parasuite.model.words import OptionalReport, OutputFormat
from parasuite.reports.page.series_page import series_page
from parasuite.reports.registry import PAGE
from parasuite.reports.series_formats import series_concise, series_github, series_gitlab, series_sarif
from parasuite.reports.series_json import series_json
from parasuite.reports.series_junit import series_junit
from parasuite.reports.series_markdown import series_markdown


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A file in the folder of a series. *render*: its text, from the report alone. *option*: as in ReportFile."""

    name: str
    render: Callable[[SeriesReport], str]
    option: OptionalReport | None = None


SERIES_FILES = (
    SeriesFile("findings.json", series_json),
    SeriesFile("junit.xml", series_junit),
    SeriesFile(PAGE, series_page, option=OptionalReport.PAGE),
)

SERIES_FORMATS: Mapping[OutputFormat, Callable[[SeriesReport], str]] = {
    OutputFormat.CONCISE: series_concise,
    OutputFormat.JSON: series_json,
    OutputFormat.GITHUB: series_github,
    OutputFormat.GITLAB: series_gitlab,
    OutputFormat.SARIF: series_sarif,
    OutputFormat.MARKDOWN: series_markdown,
}
"""What is printed in each format, from the report alone. FULL has no row: `reports.series_terminal` makes it."""
