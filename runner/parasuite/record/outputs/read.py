"""Reads test results out of what a copy printed, where the command or the output says which tool wrote it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from parasuite.model.words import TestTool
from parasuite.record.outputs.cargo import parse_cargo
from parasuite.record.outputs.go import go_event, parse_go, parse_go_json
from parasuite.record.outputs.node_spec import parse_node_spec
from parasuite.record.outputs.results import Lines, Parsed
from parasuite.record.outputs.tap import VERSION, parse_tap
from parasuite.record.untrusted import Reader, Unreadable, lines

_BYTES_MAX = 64 << 20  # More would take longer to read than a user waits.
_HEAD_LINES = 1000
_LINE_CHARS_MAX = 2000  # Except of JSON. The time that a pattern takes may grow faster than the line.
_PARSER_OF = {TestTool.GO: parse_go, TestTool.CARGO: parse_cargo, TestTool.NODE: parse_node_spec}


def output_results(root: Path, name: str, tool: TestTool) -> Parsed:
    """The results in the output *name* below *root*; none where neither the command nor the output tells the tool.

    *tool*: what the command says. TAP and the stream of `go test -json` are recognised by their form.
    """
    reading = _Reading(root, name)
    found = reading.lines()
    head = list(itertools.islice(found, _HEAD_LINES))
    parser = _parser_of(head, tool)
    if parser is None:
        return Parsed([])
    parsed = parser(itertools.chain(head, found))
    return replace(parsed, lists_all=parsed.lists_all and not reading.was_cut)


def _parser_of(head: list[str], tool: TestTool) -> Callable[[Lines], Parsed] | None:
    for line in head:
        if VERSION.match(line):
            return parse_tap
        if go_event(line) is not None:
            return parse_go_json
    return _PARSER_OF.get(tool)


class _Reading:
    """*was_cut*: whether the file could not be read to its end."""

    def __init__(self, root: Path, name: str) -> None:
        self.was_cut = False
        self._reader = Reader(root, name, _BYTES_MAX)

    def lines(self) -> Iterator[str]:
        try:
            for line in lines(self._reader.chunk):
                text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                yield text if text.startswith("{") else text[:_LINE_CHARS_MAX]
        except Unreadable:
            self.was_cut = True
