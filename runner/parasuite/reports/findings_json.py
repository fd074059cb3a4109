"""findings.json, format 2: a run with its findings, copies and failed tests, for machines.

docs/findings.schema.json is its schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from parasuite.judge.findings import Effect, Finding, Side
from parasuite.judge.report import Report
from parasuite.model.causes import docs_page
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.proof import Proof
from parasuite.model.suppression import Suppressed
from parasuite.model.words import Protocol
from parasuite.reports.results_json import bad_tests_json, copies_json, overlap_json

FORMAT = 2
"""Raised by one when a reader of the older format would misread the file. Format 1 was an array without a number."""


def findings_json(report: Report) -> str:
    """A JSON object; findings are in the order of the report, the gravest first."""
    found = [_finding(finding, report.start_ns) for finding in report.findings]
    whole = {
        "format": FORMAT,
        "run": _run(report),
        "findings": found,
        "tests": bad_tests_json(report),
        "copies": copies_json(report),
    }
    return json.dumps(whole, indent=1) + "\n"


def _run(report: Report) -> dict[str, object]:
    health = report.health
    return {
        "id": report.run_id,
        "started_at": report.wall + "Z",
        "ended": report.ended,
        "exit_code": int(report.verdict.code),
        "verdict": report.verdict.reason,
        "target": report.target,
        "copies": len(report.copy_ends),
        "root": report.root,
        "network": report.network,
        "visibility": {
            "sensors": dict(health.sensors),
            "proven": health.proven,
            "blind": health.blind,
            "cannot_see": list(report.cannot_see),
            "listeners": health.listeners,
            "calls": health.calls,
            "samples": health.samples,
        },
        "overlap_s": overlap_json(report.overlap),
        "duration_s": round(report.duration_s, 3),
        "notes": list(report.notes),
    }


def _finding(finding: Finding, start_ns: int) -> dict[str, object]:
    return {
        "id": finding.id,
        "cause": finding.cause,
        "severity": finding.severity,
        "evidence": finding.evidence,
        "title": finding.title,
        "hint": finding.hint,
        "docs": docs_page(finding.cause),
        "related": list(finding.related),
        "proof": None if finding.proof is None else _proof(finding.proof),
        "endpoint": _endpoint(finding.endpoint),
        "ephemeral_range": finding.is_ephemeral,
        "drawn_at_random": finding.is_drawn,
        "parties": [_party(party) for party in finding.parties],
        "places": _places(finding.places),
        "tests": list(finding.tests),
        "failed_tests": list(finding.failed_tests),
        "suppressed": _suppressed(finding.suppressed),
        "expired_suppression": _suppressed(finding.expired),
        "window_ms": _rounded(finding.window_ms),
        "sides": [_side(side, start_ns) for side in finding.sides],
        "effects": [_effect(effect, start_ns) for effect in finding.effects],
    }


def _effect(effect: Effect, start_ns: int) -> dict[str, object]:
    return {
        "kind": effect.kind,
        "severity": effect.severity,
        "recovered": effect.recovered,
        "count": effect.count,
        "window_ms": _rounded(effect.window_ms),
        "sides": [_side(side, start_ns) for side in effect.sides],
    }


def _proof(proof: Proof) -> dict[str, object]:
    return {
        "outcome": proof.outcome,
        "message": proof.message,
        "tests": list(proof.tests),
        "endpoints": list(proof.endpoints),
        "visits": proof.visits,
        "visitors": list(proof.visitors),
        "folder": proof.folder or None,
    }


def _suppressed(suppressed: Suppressed | None) -> dict[str, object] | None:
    if suppressed is None:
        return None
    return {"by": suppressed.by, "reason": suppressed.reason, "until": suppressed.until or None}


def _side(side: Side, start_ns: int) -> dict[str, object]:
    fields: dict[str, object] = {
        "role": side.role,
        "party": None if side.party is None else _party(side.party),
        "process": {"pid": side.pid, "name": side.process, "command": side.command},
        "test": side.test,
        "attribution": side.attribution,
        "frames": _places(side.frames),
        "at_s": None if side.at_ns is None else round((side.at_ns - start_ns) / 1e9, 6),
        "options": list(side.options),
    }
    if side.state is not None:
        fields["state"] = side.state
    if side.stranger:
        fields["stranger"] = side.stranger
    return fields


def _party(party: Party) -> dict[str, object]:
    return {"copy": party.copy, "worker": party.worker_name}


def _places(locations: Iterable[Location]) -> list[dict[str, object]]:
    return [location._asdict() for location in locations]


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    if endpoint.protocol is Protocol.UNIX:
        return {"protocol": endpoint.protocol, "path": endpoint.address}
    return {"protocol": endpoint.protocol, "address": endpoint.address, "port": endpoint.port}


def _rounded(window_ms: float | None) -> float | None:
    return None if window_ms is None else round(window_ms, 3)
