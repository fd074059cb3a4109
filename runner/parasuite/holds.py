"""From events to holds: which copy owned which endpoint, from when to when."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.events import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One copy owning one endpoint, half-open `[start_ns, end_ns)`.

    *copy*: None for a process outside the run. *socket*: equal for one socket in many processes (fork, dup, SCM_RIGHTS).
    *evidence*: "exact", "attempted" or "sampled". *asked_port*: the number the program asked for; 0 if the kernel chose,
    None where that is not known. *listening*: whether it accepts (UDP: is unconnected).
    """

    endpoint: Endpoint
    copy: int | None
    socket: str
    start_ns: int
    end_ns: int
    evidence: str
    pid: int = 0
    test: str = ""
    source_line: str = ""
    attribution: str = ""
    asked_port: int | None = None
    options: tuple[str, ...] = ()
    listening: bool = True
