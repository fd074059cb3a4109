"""The pages about causes and effects, and all about one finding, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from parasuite.assemble import assemble_report
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.finding_id import BEGINNING_OF_ID
from parasuite.plan.errors import ConfigError, did_you_mean
from parasuite.record.finding_search import newest_with
from parasuite.reports.docs_pages import page_text
from parasuite.reports.finding_text import finding_lines

_WORDS = (*Cause, *EffectKind)
_WIDTH = max(map(len, _WORDS))
UNKNOWN_WORD = (
    "no cause, effect or finding is called {word}{suggestion}; `parasuite explain` lists causes and effects"
)


def is_finding_id(word: str) -> bool:
    """Whether *word* has the form of a finding's id, or of the beginning of one. No cause or effect has."""
    return BEGINNING_OF_ID.fullmatch(word) is not None


def page_lines(word: str) -> Iterator[str]:
    """The page about the cause or the effect *word*. Raises ConfigError for any other word."""
    by_name: dict[str, Cause | EffectKind] = {str(each): each for each in _WORDS}
    if word not in by_name:
        suggestion = did_you_mean(word.lower(), {each: each for each in _WORDS})
        raise ConfigError(UNKNOWN_WORD.format(word=repr(word), suggestion=suggestion))
    yield from page_text(by_name[word]).splitlines()


def finding_page(base: Path, prefix: str) -> Iterator[str]:
    """All that the newest run below *base* says of the finding whose id begins with *prefix*, and its cause's page.

    Raises RunFolderError if no run that is kept there has such a finding, or several.
    """
    folder, stored = newest_with(base, prefix)
    report = assemble_report(folder)
    for finding in report.findings:
        if finding.id == stored.id:
            title, *lines = finding_lines(finding, report.start_ns, is_brief=False)
            yield f"{finding.severity} [{finding.cause}] {title}"
            yield from (f"    {line}" for line in lines)
            yield f"    from the run of {report.wall}Z, {report.folder}"
            yield ""
            yield from page_lines(finding.cause)


def overview() -> Iterator[str]:
    """All causes and effects, a line each."""
    yield "causes: what to fix (severity as long as nothing has happened)"
    for cause in Cause:
        yield _row(cause, cause.info.severity, cause.info.title)
    yield "effects: what happened because of a cause"
    for kind in EffectKind:
        yield _row(kind, kind.info.severity, kind.info.title)
    yield "more about one: parasuite explain WORD; about a finding: parasuite explain ID"


def _row(word: str, severity: str, title: str) -> str:
    return f"  {word:<{_WIDTH}}  {severity:<7}  {title}"


def words_starting_with(_context: click.Context, _parameter: click.Parameter, beginning: str) -> list[str]:
    """What a shell proposes."""
    return [str(word) for word in _WORDS if word.startswith(beginning)]
