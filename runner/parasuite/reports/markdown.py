"""The report in Markdown, for the summary of a step on GitHub, a comment, a chat.

All text of the suite is hostile: names are in code spans, blocks of lines in fences that are longer than any run of
backticks in them, and the rest is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from parasuite.judge.report import Report
from parasuite.reports.counts import counted_lines
from parasuite.reports.problems import Problem, problems
from parasuite.reports.wording import NOTE, plural, printable

SUMMARY_BYTES_MAX = (1 << 20) - 1024
"""GitHub refuses a step's summary of more than 1 MiB."""
LEFT_OUT = "... and {problems}: see the run folder"
_ROOM_FOR_THE_END = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:-])")


def markdown(report: Report, bytes_max: int = SUMMARY_BYTES_MAX) -> str:
    """The verdict, what was counted, and a block for each problem, as far as *bytes_max* allows whole blocks."""
    found = list(problems(report))
    remarks = {remark.text for remark in report.remarks}  # They are problems, and need not be read twice.
    notes = [escaped(NOTE.format(note=note)) for note in report.notes if note not in remarks]
    blocks = [_head(report), *map(_block, found), *notes]
    kept: list[str] = []
    left = bytes_max - _ROOM_FOR_THE_END
    for block in blocks:
        size = len(block.encode()) + 2
        if size > left:
            break
        kept.append(block)
        left -= size
    if len(kept) < len(blocks):
        shown = max(0, len(kept) - 1)
        kept.append(escaped(LEFT_OUT.format(problems=plural(max(0, len(found) - shown), "more problem"))))
    return "\n\n".join(kept) + "\n"


def _head(report: Report) -> str:
    lines = [
        f"## parasuite: {escaped(report.verdict.reason)}",
        "",
        *(f"- {escaped(line)}" for line in counted_lines(report)),
    ]
    return "\n".join(lines)


def _block(problem: Problem) -> str:
    place = problem.place
    where = "" if place is None else " at " + _code(place.position)
    heading = f"### {problem.severity}: {escaped(problem.title)}"
    return "\n".join(
        [heading, "", f"{_code(problem.rule)}{where}, id {_code(problem.id)}", *_fenced(problem.details)]
    )


def _fenced(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        text = list(map(printable, lines))
        fence = _longer_than_any(text, at_least=3)
        yield from ("", f"{fence}text", *text, fence)


def _code(text: str) -> str:
    """*text* as a code span."""
    shown = printable(text)
    ticks = _longer_than_any([shown], at_least=1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def _longer_than_any(lines: Sequence[str], at_least: int) -> str:
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    return "`" * max(at_least, longest + 1)


def escaped(text: str) -> str:
    """*text* as it is: nothing in it is markup, and no @ mentions anyone."""
    return _SPECIAL.sub(r"\\\1", printable(text)).replace("@", "@\u2060")
