"""findings.json: the findings for machines, one object each, sorted by severity, kind and id."""

from __future__ import annotations

import json

from parasuite.judge.findings import Finding, Side
from parasuite.judge.report import Report
from parasuite.model.events import Endpoint
from parasuite.model.words import Protocol


def findings_json(report: Report) -> str:
    """A JSON array; its fields are described in docs/architecture.md."""
    return json.dumps([_finding(finding) for finding in report.findings], indent=1) + "\n"


def _finding(finding: Finding) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": finding.id,
        "kind": finding.kind,
        "severity": finding.severity,
        "evidence": finding.evidence,
        "endpoint": _endpoint(finding.endpoint),
        "copies": [party.copy for party in finding.parties],
        "count": finding.count,
        "message": finding.message,
        "hint": finding.hint,
        "sides": [_side(side) for side in finding.sides],
    }
    if finding.window_ms is not None:
        fields["window_ms"] = round(finding.window_ms, 3)
    return fields


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    if endpoint.protocol is Protocol.UNIX:
        return {"protocol": endpoint.protocol, "path": endpoint.address}
    return {"protocol": endpoint.protocol, "address": endpoint.address, "port": endpoint.port}


def _side(side: Side) -> dict[str, object]:
    return {
        "role": side.role,
        "copy": None if side.party is None else side.party.copy,
        "pid": side.pid,
        "process": side.process,
        "command": side.command,
        "test": side.test,
        "attribution": side.attribution,
        "source": "" if side.location is None else str(side.location),
        "since_ns": side.since_ns,
        "options": list(side.options),
    }
