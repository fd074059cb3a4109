"""What the client and the hosts of a cluster tell each other. It is pickled, so both must run the same parasuite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run on one host.

    *key*: names it in the whole cluster, and never another one. *arguments*: of `parasuite run`, without those about
    its output. *cwd*: the folder to run it in. *topic*: where its lines of output go. *lease_s*: the run is stopped
    if the client has not renewed it for that long. *archive_bytes_max*: of what is brought back.
    """

    key: str
    arguments: tuple[str, ...]
    cwd: str
    topic: str
    lease_s: float
    archive_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostResult:
    """What a run left. *archive*: its output folder. *left_out*: what was too large for that, a line each.

    *last_lines*: that it printed.
    """

    exit_code: int
    archive: bytes
    left_out: tuple[str, ...]
    last_lines: tuple[str, ...]
