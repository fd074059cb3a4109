"""`hard-coded`, `rebind`, `reuse`: where a port's number came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from parasuite.judge.findings.knowledge import NEVER_RELEASED, Facts, source_of, weaker
from parasuite.judge.findings.model import Side
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Bind, Endpoint, Event
from parasuite.model.overlap import overlaps

HARD_CODED_HINT = "bind port 0 and ask the socket for its number; for a program that needs a number, reserve one"
NAME_HINT = "put the socket into the test's own temporary folder, or make its name unique to the process"
REBIND_HINT = (
    "keep the socket that was given the number, or let the server bind port 0 itself and say where it listens; "
    "between release and bind anyone may take the number"
)
REUSE_HINT = "leave SO_REUSEPORT (UDP: SO_REUSEADDR too) unset, so that a second owner is refused instead of let in"
VSOCK_PORT_ANY = 4294967295


_Place = tuple[str, int]
"""An address and its network namespace."""


@dataclass(slots=True)
class _Numbers:
    """Who insisted on one number: of each copy the first, by place."""

    first: dict[tuple[int, _Place], tuple[Endpoint, Side, str]] = field(default_factory=dict)


class HardCoded:
    """One explicit number in two or more copies, listening in each, on endpoints that would exclude each other.

    Time does not matter: copies that never met this night will meet another night. A source that draws its numbers at
    random hits a number twice by chance; it is told by the many numbers that it used in one copy only, and in more
    than one such copy: of a list that all copies walk, only the one that came furthest has numbers of its own.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], _Numbers] = defaultdict(_Numbers)
        self._asked: dict[tuple[str, str], set[int | None]] = defaultdict(set)

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        for hold in changes.listening:
            if hold.endpoint.protocol == "tcp":
                self._note(hold, facts)
        for hold in changes.closed:
            if hold.endpoint.protocol == "udp" and hold.listening:
                self._note(hold, facts)
        if isinstance(event, Bind) and event.copy is not None:
            self._note_asked(event, facts)
        return iter(())

    def conclude(self, facts: Facts) -> Iterator[Occurrence]:
        for hold in facts.ledger.open_holds():
            if hold.endpoint.protocol == "udp" and hold.listening:
                self._note(hold, facts)
        used_by = self._used_by()
        for (protocol, _), numbers in sorted(self._numbers.items()):
            meeting = _meeting(numbers)
            copies = {copy for copy, _ in meeting}
            if len(copies) < 2 or self._by_chance(protocol, copies, meeting, used_by):
                continue
            yield self._occurrence(protocol, list(meeting.values()))

    def _note(self, hold: OpenHold, facts: Facts) -> None:
        port = facts.explicit_port(hold)
        if hold.copy is not None and port:
            side = facts.side("holder", hold)
            self._add(hold.endpoint, hold.copy, side, hold.evidence)

    def _note_asked(self, event: Bind, facts: Facts) -> None:
        """What was asked for, granted or not; Unix names and VSOCK ports are never seen to be granted."""
        asked = event.asked
        assert event.copy is not None
        if asked.protocol in ("unix", "vsock"):
            if asked.address.strip("@") if asked.protocol == "unix" else asked.port < VSOCK_PORT_ANY:
                self._add(asked, event.copy, facts.caller("holder", event, event.options), "attempted")
        elif asked.port and event.errno and not facts.was_assigned(event.copy, asked.port):
            self._asked[asked.protocol, str(asked.port)].add(event.copy)

    def _add(self, endpoint: Endpoint, copy: int, side: Side, evidence: str) -> None:
        number = _number(endpoint)
        first = self._numbers[endpoint.protocol, number].first
        first.setdefault((copy, (endpoint.address, endpoint.netns)), (endpoint, side, evidence))
        self._asked[endpoint.protocol, number].add(copy)

    def _used_by(self) -> dict[tuple[str, str], list[set[int | None]]]:
        """Of each source the copies of each number it insisted on."""
        used: dict[tuple[str, str], list[set[int | None]]] = defaultdict(list)
        for (protocol, number), numbers in self._numbers.items():
            for source in {source_of(side) for _, side, _ in numbers.first.values()}:
                used[protocol, source].append(self._asked[protocol, number])
        return used

    def _by_chance(
        self,
        protocol: str,
        copies: set[int],
        meeting: dict[tuple[int, _Place], tuple[Endpoint, Side, str]],
        used_by: dict[tuple[str, str], list[set[int | None]]],
    ) -> bool:
        if protocol in ("unix", "vsock"):
            return False
        sources = {source_of(side) for _, side, _ in meeting.values()}
        for source in sources:
            numbers = used_by[protocol, source]
            own = [asked for asked in numbers if len(asked) == 1]
            everyone = len(set[int | None]().union(*numbers))
            if len(own) * 2 <= len(numbers) or len(set[int | None]().union(*own)) < 2:
                return False
            if len(copies) * 2 > everyone > 2:
                return False
        return True

    def _occurrence(self, protocol: str, users: list[tuple[Endpoint, Side, str]]) -> Occurrence:
        endpoint = users[0][0]
        sides = {side.copy: side for _, side, _ in reversed(users)}
        number = {"unix": endpoint.address, "vsock": f"vsock port {endpoint.port}"}.get(
            protocol, f"port {endpoint.port}"
        )
        sort = "name" if protocol == "unix" else "number"
        return Occurrence(
            kind="hard-coded",
            evidence=weaker(*(evidence for _, _, evidence in users)),
            endpoint=endpoint,
            port=endpoint.port,
            message=f"{len(sides)} copies use {number}, a {sort} fixed in the suite or in a program that it starts",
            hint=NAME_HINT if protocol == "unix" else HARD_CODED_HINT,
            sides=tuple(sides[copy] for copy in sorted(sides, key=lambda copy: -1 if copy is None else copy)),
        )


def _number(endpoint: Endpoint) -> str:
    return endpoint.address if endpoint.protocol == "unix" else str(endpoint.port)


def _meeting(numbers: _Numbers) -> dict[tuple[int, _Place], tuple[Endpoint, Side, str]]:
    """Those of *numbers* whose endpoint overlaps one of another copy: not in networks that each copy made itself."""
    by_place: dict[_Place, dict[int, Endpoint]] = defaultdict(dict)
    for (copy, place), (endpoint, _, _) in numbers.first.items():
        by_place[place][copy] = endpoint
    met: set[_Place] = set()
    for place, users in by_place.items():
        one = next(iter(users.values()))
        for other_place, others in by_place.items():
            if len({*users, *others}) > 1 and overlaps(one, next(iter(others.values()))):
                met.update((place, other_place))
    return {key: numbers.first[key] for key in sorted(numbers.first) if key[1] in met}


class Rebind:
    """A number from the kernel, released, bound again by number in the same copy: in between it was anyone's."""

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        if not isinstance(event, Bind) or not event.asked.port or event.asked.protocol not in ("tcp", "udp"):
            return
        released_ns = facts.assigned.get((event.copy, event.asked.protocol, event.asked.port), NEVER_RELEASED)
        if released_ns == NEVER_RELEASED or event.copy is None:
            return
        for hold in changes.opened:
            window_ms = round(max(0, event.t_ns - released_ns) / 1e6, 3)
            yield Occurrence(
                kind="rebind",
                evidence=hold.evidence,
                endpoint=hold.endpoint,
                port=0,
                message=f"{hold.endpoint} was assigned by the kernel, released, and bound again by number "
                f"{window_ms:.3f} ms later",
                hint=REBIND_HINT,
                sides=(facts.side("holder", hold),),
                window_ms=window_ms,
            )

    def conclude(self, facts: Facts) -> Iterable[Occurrence]:
        del facts
        return ()


class Reuse:
    """A socket that lets others share its number: SO_REUSEPORT on an explicit one, UDP port 0 with reuse options."""

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            if hold.copy is None or hold.evidence == "sampled":
                continue
            if "reuseport" in hold.options and facts.explicit_port(hold):
                yield self._occurrence(hold, "lets any other process of this user share its number", facts)
            elif hold.endpoint.protocol == "udp" and hold.asked_port == 0 and _reusing(hold):
                # Measured on Linux: 1,000 such sockets got 979 different ports.
                yield self._occurrence(
                    hold, "asked for port 0 with reuse options: the kernel may give one number twice", facts
                )

    def conclude(self, facts: Facts) -> Iterable[Occurrence]:
        del facts
        return ()

    def _occurrence(self, hold: OpenHold, does: str, facts: Facts) -> Occurrence:
        return Occurrence(
            kind="reuse",
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            port=facts.explicit_port(hold),
            message=f"a socket on {hold.endpoint} {does}",
            hint=REUSE_HINT,
            sides=(facts.side("holder", hold),),
        )


def _reusing(hold: OpenHold) -> bool:
    return "reuseport" in hold.options or "reuseaddr" in hold.options
