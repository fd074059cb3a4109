"""What every report is made from: one whole run, judged from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from parasuite.judge.findings import Explanation, Finding
from parasuite.judge.health import Health
from parasuite.judge.provocation import Provocation
from parasuite.judge.timeline import Timeline
from parasuite.judge.verdict import Verdict
from parasuite.model.control import Control
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap
from parasuite.model.suppression import AllowComment, Remark
from parasuite.model.words import FailOn, NetworkMode, RunEnd

COPY_ITSELF = "copy"
"""The id of the result of a copy as a whole, if no test explains how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, judged. *copy_ends*, *results*: one per copy, in the copies' order.

    *wall*: when the run began, ISO 8601, UTC. *started_s*: the same moment in seconds since 1970. *selection*: the
    arguments of pytest. *start_ns*: the same moment by CLOCK_MONOTONIC, for comparison with the times of events.
    *cannot_see*: what the sensors of this run are blind to, a phrase each. *notes*: what else a reader must know, a
    sentence each. *explanations*: of failed tests, by copy and the test's id. *ended*: how the run ended. *root*: the
    folder that its copies were started in, where relative paths of source files begin. *root_in_repository*: the same
    relative to its repository, "" if it is that or none is known. *stacks*: for each copy, if it timed out, where it
    was then, as from head_of_stacks. *comments*: in the source code, that may suppress findings; to be stored.
    *remarks*: on suppressions that do not count; their texts are among the notes. *network*, *port_range*: as in
    RunRecord. *provocation*: what parasuite did as the other side of a finding. *controls*: what its failed
    tests do alone. *timeline*: who held what, and when. *round_name*: as in RunRecord.
    """

    run_id: str
    folder: str
    target: str
    wall: str
    host: str
    duration_s: float
    start_ns: int
    fail_on: FailOn
    copy_ends: Sequence[CopyEnd]
    results: Sequence[Sequence[TestResult]]
    findings: Sequence[Finding]
    health: Health
    verdict: Verdict
    overlap: Overlap = field(default_factory=Overlap)
    cannot_see: Sequence[str] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[Remark] = ()
    explanations: Mapping[tuple[int, str], Explanation] = field(default_factory=dict)
    ended: RunEnd = RunEnd.COMPLETE
    network: NetworkMode = NetworkMode.HOST
    port_range: int | None = None
    started_s: float = 0.0
    selection: Sequence[str] = ()
    round_name: str = ""
    root: str = ""
    root_in_repository: str = ""
    stacks: Sequence[Sequence[str]] = ()
    comments: tuple[AllowComment, ...] = ()
    provocation: Provocation = field(default_factory=Provocation)
    controls: Sequence[Control] = ()
    timeline: Timeline = field(default_factory=Timeline)
