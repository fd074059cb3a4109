"""Reads back what a run has written of its findings, from its folder, which every copy could write to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

from parasuite.model.causes import Cause
from parasuite.model.json_fields import Fields, is_bool, is_object, is_objects, is_text, is_texts, is_whole
from parasuite.model.location import Location
from parasuite.model.suspect import StoredFinding
from parasuite.model.words import Protocol
from parasuite.record.untrusted import Unreadable, read_json

FINDINGS_FILE = "findings.json"
_FILE_BYTES_MAX = 256 << 20
_PORT_MAX = 65535
_LINE_MAX = 1 << 31


def stored_findings(root: Path) -> list[StoredFinding]:
    """The findings in the run folder *root*. Raises Unreadable; Missing if the run was not judged."""
    value = read_json(root, FINDINGS_FILE, _FILE_BYTES_MAX)
    rows = value.get("findings") if is_object(value) else None
    if not is_objects(rows):
        raise Unreadable(f"{FINDINGS_FILE} is damaged: it has no list of findings")
    findings = []
    for number, row in enumerate(rows):
        fields = Fields(row, f"findings[{number}].")
        findings.append(_finding(fields, row))
        if fields.wrong:
            raise Unreadable(f"{FINDINGS_FILE} is damaged: missing or of another type: {', '.join(fields.wrong)}")
    return findings


def _finding(fields: Fields, row: Mapping[str, object]) -> StoredFinding:
    endpoint = fields.inner("endpoint")
    protocol = endpoint.member("protocol", Protocol.UNKNOWN)
    is_path = protocol is Protocol.UNIX
    sides = _objects(row, "sides")
    return StoredFinding(
        id=fields.take("id", is_text, ""),
        cause=fields.member("cause", Cause.UNKNOWN),
        title=fields.take("title", is_text, ""),
        protocol=protocol,
        address=endpoint.take("path" if is_path else "address", is_text, ""),
        port=0 if is_path else endpoint.take("port", _is_port, 0),
        tests=tuple(fields.take("tests", is_texts, [])),
        places=tuple(location for side in sides for location in _locations(side)),
        programs=tuple(name for side in sides for name in _names(side)),
        # Versions before this key existed have written format 2, too.
        is_drawn=fields.take("drawn_at_random", is_bool, False) if "drawn_at_random" in row else False,
    )


def _objects(row: Mapping[str, object], name: str) -> list[dict[str, object]]:
    value = row.get(name)
    return value if is_objects(value) else []


def _locations(side: Mapping[str, object]) -> Iterator[Location]:
    """Its innermost frame."""
    for frame in _objects(side, "frames")[:1]:
        fields = Fields(frame)
        location = Location(
            fields.take("file", is_text, ""),
            fields.take("line", _is_line, 0),
            fields.take("function", is_text, ""),
        )
        if not fields.wrong:
            yield location


def _names(side: Mapping[str, object]) -> Iterator[str]:
    process = side.get("process")
    if is_object(process) and is_text(name := process.get("name")):
        yield name


def _is_port(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, _PORT_MAX)


def _is_line(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, _LINE_MAX)
