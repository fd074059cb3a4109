"""From the events of a run to its findings: one reading, each event shown to every detector."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from parasuite.judge.findings.crosstalk import Crosstalk
from parasuite.judge.findings.exposed import Exposed
from parasuite.judge.findings.finding import Finding
from parasuite.judge.findings.hard_coded import HardCoded
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.leaked import Leaked
from parasuite.judge.findings.lost_port import LostPort
from parasuite.judge.findings.orphan import Orphan
from parasuite.judge.findings.refused import Refused
from parasuite.judge.findings.reuse import Reuse
from parasuite.judge.findings.seen import Detector, Seen
from parasuite.judge.findings.shared import Shared
from parasuite.judge.findings.table import FindingTable
from parasuite.judge.fusion import fuse
from parasuite.judge.ledger import in_order
from parasuite.judge.networks import with_networks
from parasuite.judge.parties import with_workers
from parasuite.judge.timeline import Timeline, TimelineReader
from parasuite.model.ambient import AmbientService
from parasuite.model.events import Event
from parasuite.model.results import TestsAtOnce

# Notes about refusals that are no findings; {binds} is `1 bind was` or `2 binds were`.
WITHOUT_HOLDER = "{binds} refused by a holder that was gone before it could be looked up"
BY_CLOSED_CONNECTION = (
    "{binds} refused because of a closed connection, which the kernel still keeps (TIME_WAIT, FIN_WAIT): "
    "bind port 0, or set SO_REUSEADDR on the server"
)
BY_FILE = "{binds} refused because of a file at the path of a Unix socket, which no one has open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """*findings*: errors first. *notes*: what was seen and could not be judged, one line each. *timeline*: who held
    what, and when.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    timeline: Timeline = field(default_factory=Timeline)


def find(
    events: Iterable[Event], ambient: Collection[AmbientService] = (), at_once: Sequence[TestsAtOnce] = ()
) -> Judgement:
    """What *events*, sorted by time, prove. Reads them once; time and memory are linear in their number.

    *ambient*: services outside the run that the suite is meant to use; nothing is said of them. *at_once*: which
    tests of each copy ran at the same time.
    """
    knowledge, table, refused, timeline = Knowledge(), FindingTable(), Refused(), TimelineReader()
    detectors: tuple[Detector, ...] = (
        Leaked(),  # Before `refused`, which asks what has leaked.
        refused,
        Shared(),
        Crosstalk(),
        Orphan(),
        HardCoded(),
        LostPort(),
        Exposed(),
        Reuse(),
    )
    for event in fuse(with_workers(with_networks(in_order(events)), at_once)):
        changes = knowledge.apply(event)
        for detector in detectors:
            for seen in detector.observe(event, changes, knowledge):
                if not _is_meant(seen, ambient):
                    table.add(seen)
                    timeline.name(seen.endpoint, knowledge.ledger)
        timeline.read(event.t_ns, changes)
    for detector in detectors:
        for seen in detector.conclude(knowledge):
            if not _is_meant(seen, ambient):
                table.add(seen)
                timeline.name(seen.endpoint, knowledge.ledger)
    return Judgement(
        findings=tuple(table.findings(knowledge)),
        notes=tuple(_notes(refused)),
        timeline=timeline.timeline(knowledge.ledger.open_holds()),
    )


def _is_meant(seen: Seen, ambient: Collection[AmbientService]) -> bool:
    """Whether *seen* happened with a service outside the run that the suite is meant to use."""
    with_stranger = any(side.party is None for side in seen.sides)
    return with_stranger and any(service.matches(seen.endpoint) for service in ambient)


def _notes(refused: Refused) -> Iterable[str]:
    if refused.without_holder:
        yield WITHOUT_HOLDER.format(binds=_binds(refused.without_holder))
    if refused.by_closed_connection:
        yield BY_CLOSED_CONNECTION.format(binds=_binds(refused.by_closed_connection))
    if refused.by_file:
        yield BY_FILE.format(binds=_binds(refused.by_file))


def _binds(count: int) -> str:
    return "1 bind was" if count == 1 else f"{count:,} binds were"
