"""The baseline: a file of the findings that a project lives with until they are fixed.

    target = "pytest tests"
    arguments = []
    copies = 4

    [findings]
    4f0c1d2e3a = "baseline"  # hard-coded: TCP port 8025 is fixed; tests/test_smtp.py:start

People review the file, merge it and write into it. So it has a line for each finding, sorted, and to change it is to
change lines: comments, and reasons that somebody has written, stay. The keys at the top are what the run was from
which the file was written. Only runs of that kind say whether an entry is still needed.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parasuite.model.finding_id import FINDING_ID
from parasuite.model.history_line import remembered_tests
from parasuite.model.json_fields import is_object, is_text, is_texts
from parasuite.model.run_record import RunRecord
from parasuite.plan.errors import ConfigError, did_you_mean, must_be

REASON = "baseline"
"""The reason of an entry that has not been given one."""
_TARGET, _ARGUMENTS, _COPIES, _FINDINGS = "target", "arguments", "copies", "findings"
_KEYS = (_TARGET, _ARGUMENTS, _COPIES, _FINDINGS)
_TABLE = "[findings]"
_ENTRY = re.compile(rf"\s*({FINDING_ID.pattern})\s*=")
_ABOVE = """\
# Findings that this project lives with until they are fixed: a run shows them as suppressed, and fails for others.
# `parasuite baseline --update` adds new ones, and removes those that have not been seen for some runs.
# To say why one stays, write the reason in place of "baseline": such an entry is never removed.

# The run that this file was written from. Only runs like it say which entries are still needed.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """*comment*: behind it, from its # on. *above*: the lines above it that are comments or empty."""

    reason: str = REASON
    comment: str = ""
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """*head*: its lines up to the table. *entries*: by id. *below*: the lines behind the last entry. *target*,
    *arguments*, *copies*: of the run that it was written from.
    """

    head: tuple[str, ...] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    below: tuple[str, ...] = ()
    target: str = ""
    arguments: tuple[str, ...] = ()
    copies: int = 1

    def is_about(self, target: str, arguments: Sequence[str]) -> bool:
        """Whether a run of *target* with these arguments of pytest ran what the file was written from."""
        ours, theirs = (
            remembered_tests(name.rstrip("/"), words)
            for name, words in ((self.target, self.arguments), (target, arguments))
        )
        return ours == theirs

    def changed(self, add: Mapping[str, str], remove: Collection[str]) -> Baseline:
        """This with an entry for each id in *add*, whose values are comments, and without those in *remove*."""
        added = {finding: Entry(comment=f"# {comment}") for finding, comment in add.items()}
        kept = {finding: entry for finding, entry in self.entries.items() if finding not in remove}
        return replace(self, entries={**added, **kept})

    def text(self) -> str:
        """The file."""
        lines = [*self.head]
        for finding, entry in sorted(self.entries.items()):
            comment = f"  {entry.comment}" if entry.comment else ""
            lines += [*entry.above, f"{finding} = {_quoted(entry.reason)}{comment}"]
        return "\n".join([*lines, *self.below]) + "\n"


def new_baseline(record: RunRecord) -> Baseline:
    """An empty baseline for runs like that of *record*."""
    about = [
        f"{_TARGET} = {_quoted(record.described)}",
        f"{_ARGUMENTS} = [{', '.join(map(_quoted, record.pytest_args))}]",
        f"{_COPIES} = {record.copies}",
    ]
    return Baseline(
        head=(*_ABOVE.splitlines(), *about, "", _TABLE),
        target=record.described,
        arguments=record.pytest_args,
        copies=record.copies,
    )


def read_baseline(path: Path) -> Baseline | None:
    """The file *path*; None if there is none. Raises ConfigError for one that is not a baseline."""
    if not os.path.lexists(path):
        return None
    if not os.path.isfile(path):
        raise ConfigError(f"{path} is not a file; the baseline is read from there")
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return _baseline(path, text, table)


def _baseline(path: Path, text: str, table: Mapping[str, object]) -> Baseline:
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}{did_you_mean(key, {each: each for each in _KEYS})}")
    target, arguments, copies = table.get(_TARGET, ""), table.get(_ARGUMENTS, []), table.get(_COPIES, 1)
    if not is_text(target):
        raise must_be(f"{path}: {_TARGET}", "text", target)
    if not is_texts(arguments):
        raise must_be(f"{path}: {_ARGUMENTS}", "a list of texts", arguments)
    if type(copies) is not int or copies < 1:
        raise must_be(f"{path}: {_COPIES}", "a whole number, 1 or more", copies)
    reasons = _reasons(path, table.get(_FINDINGS, {}))
    head, entries, below = _lines(path, text, reasons)
    return Baseline(head=head, entries=entries, below=below, target=target, arguments=tuple(arguments), copies=copies)


def _reasons(path: Path, findings: object) -> dict[str, str]:
    if not is_object(findings):
        raise must_be(f"{path}: {_FINDINGS}", f"a table, below {_TABLE}", findings)
    for finding, reason in findings.items():
        if not FINDING_ID.fullmatch(finding):
            raise must_be(f"{path}: a key below {_TABLE}", "the id of a finding, ten hexadecimal digits", finding)
        if not is_text(reason) or not reason.strip():
            raise must_be(f"{path}: the reason of {finding}", "text that is not empty", reason)
    return {finding: str(reason) for finding, reason in findings.items()}


def _lines(
    path: Path, text: str, reasons: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, Entry], tuple[str, ...]]:
    """The lines up to the table, the entries, and the lines below the last one."""
    # Not splitlines, which knows line ends that TOML does not.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    tables = [number for number, line in enumerate(lines) if line.partition("#")[0].strip() == _TABLE]
    if not tables and not reasons:
        return (*lines, "", _TABLE), {}, ()
    start = tables[0] if tables else len(lines)
    entries: dict[str, Entry] = {}
    above: list[str] = []
    for line in lines[start + 1 :]:
        found = _ENTRY.match(line)
        if found is None:
            above.append(line)
            continue
        entries[found[1]] = Entry(reasons.get(found[1], ""), _comment(line), tuple(above))
        above = []
    if {finding: entry.reason for finding, entry in entries.items()} != reasons or not _are_comments(entries, above):
        raise ConfigError(f"{path}: each finding must have one line of its own below {_TABLE}, such as {_EXAMPLE}")
    return tuple(lines[: start + 1]), entries, tuple(above)


_EXAMPLE = f'4f0c1d2e3a = "{REASON}"'


def _are_comments(entries: Mapping[str, Entry], below: Iterable[str]) -> bool:
    lines = [*below, *(line for entry in entries.values() for line in entry.above)]
    return all(not line.strip() or line.lstrip().startswith("#") for line in lines)


def _comment(line: str) -> str:
    """The comment at the end of an entry's line, "" if it has none. The reason, too, may contain a #."""
    for found in re.finditer("#", line):
        try:
            tomllib.loads(line[: found.start()])
        except ValueError:
            continue
        return line[found.start() :].rstrip()
    return ""


def _quoted(text: str) -> str:
    """*text* as TOML writes it: a basic string, which differs from JSON's only in that it has no DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
