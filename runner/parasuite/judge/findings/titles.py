"""One sentence for each finding: what is wrong, and with which port or place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint
from parasuite.model.words import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a title names. *ports*: those insisted on, sorted. *parties*: how many asked for them. *place*: the user's
    function, or the program. *ephemeral*: the range that the kernel draws ports from. *effect*: the gravest.
    """

    endpoint: Endpoint
    ports: tuple[int, ...]
    parties: int
    place: str
    ephemeral: tuple[int, int]
    is_drawn: bool = False
    effect: EffectKind | None = None


def title(cause: Cause, subject: Subject) -> str:
    """The sentence for a finding of *cause*; it contains no copy, process or time."""
    endpoint, place = subject.endpoint, subject.place or "a program"
    match cause:
        case Cause.HARD_CODED:
            return _hard_coded(subject)
        case Cause.LOST_PORT:
            return f"{place} was assigned a port and released it before it was bound again by number"
        case Cause.CLOSED_PORT:
            return f"{place} connects to a port that it has released, and expects nothing to listen there"
        case Cause.REUSE:
            return f"{place} sets options that let a second socket have its port"
        case Cause.EXPOSED:
            return f"{place} listens on {_address(endpoint)}, which other hosts can reach"
        case Cause.LEAKED:
            return f"{place} leaves a listener open after its test has ended"
        case Cause.ORPHAN:
            return f"{place} still held {_endpoint_or_port(endpoint, subject.ports)} after its copy had ended"
        case Cause.STRANGER:
            return f"the suite depends on a process outside the run, {f'at {endpoint}' if subject.ports else place}"
        case Cause.UNKNOWN:
            met = (
                "reached a server of another party" if subject.effect is EffectKind.CROSSTALK else "met another party"
            )
            return f"{place} {met}; where the port came from was not seen"


def _hard_coded(subject: Subject) -> str:
    endpoint, parties = subject.endpoint, subject.parties
    asked = f"{parties} parties asked for it" if parties > 1 else "one party asked for it"
    if endpoint.protocol == Protocol.UNIX:
        return f"the path {endpoint.address} is fixed: {asked}"
    if subject.is_drawn:
        return f"{subject.place} draws its ports at random, and two parties may draw the same"
    if len(subject.ports) > 1:
        asked = asked.replace("for it", "for them")
        return f"the ports {_joined(subject.ports)} are fixed in {subject.place}: {asked}"
    name = f"VSOCK port {endpoint.port}" if endpoint.protocol == Protocol.VSOCK else _port(endpoint)
    return f"{name} is fixed: {asked}{_in_ephemeral_range(subject)}"


def _in_ephemeral_range(subject: Subject) -> str:
    first, last = subject.ephemeral
    if not subject.endpoint.is_internet or not first <= subject.endpoint.port <= last:
        return ""
    return f"; it lies in the ephemeral range ({first}-{last}), so any outgoing connection may take it"


def _port(endpoint: Endpoint) -> str:
    return f"{'UDP' if endpoint.protocol == Protocol.UDP else 'TCP'} port {endpoint.port}"


def _endpoint_or_port(endpoint: Endpoint, ports: Collection[int]) -> str:
    """*endpoint*, if its port is fixed; else its address, since a port from the kernel is another one in each run."""
    return str(endpoint) if ports or not endpoint.is_internet else f"a port on {_address(endpoint)}"


def _address(endpoint: Endpoint) -> str:
    return f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address


def _joined(ports: tuple[int, ...], shown: int = 4) -> str:
    """`5173, 5174 and 5175`; with more than *shown*, the first and the last."""
    words = [str(port) for port in ports]
    if len(words) > shown:
        return f"{words[0]}, {words[1]}, ... {words[-1]}"
    return f"{', '.join(words[:-1])} and {words[-1]}"
