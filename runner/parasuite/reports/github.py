"""Annotations for GitHub Actions: workflow commands, which the runner reads from a step's output.

The grammar is that of @actions/core: `::error file=F,line=N,title=T::MESSAGE`, with `%`, line ends, and in properties
also `:` and `,` as percent escapes. GitHub shows ten annotations of each severity of a step, and drops the others
without a word; so at most ten are written, and if there are more, the tenth says how many.

Whatever a line of a log begins with `::`, or contains `##[`, is a command to the runner, too. So a suite whose names
or messages look like one could forge annotations; `inert` takes the command out of a line of the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from parasuite.judge.report import Report
from parasuite.model.words import Severity
from parasuite.reports.problems import Problem, problems
from parasuite.reports.wording import MORE, plural, printable

ANNOTATIONS_MAX = 10
_TITLE_MAX = 255
"""Of a title and of a message, the API for annotations takes 255 characters and 64 KB."""
_MESSAGE_BYTES_MAX = 60_000
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def github(report: Report) -> str:
    """The annotations, one a line; the gravest first."""
    return annotation_lines(problems(report))


def annotation_lines(found: Iterable[Problem]) -> str:
    """As many of *found* as GitHub shows, the gravest first."""
    found = sorted(found, key=lambda problem: -problem.severity.rank)
    shown = found if len(found) <= ANNOTATIONS_MAX else found[: ANNOTATIONS_MAX - 1]
    lines = [*map(_annotation, shown), *_more(found[len(shown) :])]
    return "".join(f"{line}\n" for line in lines)


def inert(line: str) -> str:
    """*line*, so that the runner takes it for no command: with a backslash where one would begin."""
    if "##[" not in line and not line.lstrip().startswith("::"):
        return line
    indent = len(line) - len(line.lstrip())
    body = line[indent:].replace("##[", "#\\#[")
    return line[:indent] + (f"\\{body}" if body.startswith("::") else body)


def _annotation(problem: Problem) -> str:
    place = problem.place
    properties = [("title", printable(f"{problem.rule}: {problem.title}")[:_TITLE_MAX])]
    if place is not None:
        line = [("line", str(place.line))] if place.line else []
        properties = [("file", printable(place.file)), *line, *properties]
    text = "\n".join(map(printable, [problem.title, *problem.details]))
    return _command(_LEVELS[problem.severity], properties, _shortened(text))


def _more(rest: Sequence[Problem]) -> Iterator[str]:
    if rest:
        gravest = max((problem.severity for problem in rest), key=lambda severity: severity.rank)
        message = MORE.format(problems=plural(len(rest), "more problem"))
        yield _command(_LEVELS[gravest], [("title", "parasuite")], message)


def _command(name: str, properties: Sequence[tuple[str, str]], message: str) -> str:
    of_properties = ",".join(f"{key}={_escaped(value, in_property=True)}" for key, value in properties)
    return f"::{name} {of_properties}::{_escaped(message)}"


def _escaped(text: str, *, in_property: bool = False) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C") if in_property else escaped


def _shortened(text: str) -> str:
    return text.encode()[:_MESSAGE_BYTES_MAX].decode(errors="ignore")
