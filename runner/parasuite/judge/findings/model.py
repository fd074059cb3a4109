"""What a finding is: a kind, its evidence, its sides."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.model.events import Endpoint

SEVERITIES = ("warning", "error")
SEVERITY_OF = {
    "refused": "error",
    "shared": "error",
    "crosstalk": "error",
    "orphan": "error",
    "foreign": "warning",
    "hard-coded": "warning",
    "rebind": "warning",
    "exposed": "warning",
    "reuse": "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One party. *role*: "wanted", "held", "client", "server" or "holder". *source*: "file:line:function"."""

    role: str
    copy: int | None
    pid: int = 0
    process: str = ""
    command: str = ""
    test: str = ""
    attribution: str = ""
    source: str = ""
    since_ns: int | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A kind, its evidence, its sides.

    *id*: the same defect has the same id in every run. *window_ms*: of a rebind.
    """

    id: str
    kind: str
    severity: str
    evidence: str
    endpoint: Endpoint
    copies: tuple[int, ...]
    count: int
    message: str
    hint: str
    sides: tuple[Side, ...]
    window_ms: float | None = None
