"""Which network each event of a run happened in, where each copy has a network of its own (`--network each`).

Theory of operation. Sensors call the network that parasuite lets a copy use 0 (OUR_NETWORK), whichever it is: one
that is inside a copy cannot know more, and one that is outside looks into that copy's network for its processes.
Networks that the *suite* made have other numbers. From there on two questions have different answers:

- *Can two sockets meet?* Not if they are in networks of different copies. `with_networks` gives the network of each
  copy a number of its own before anything is judged, and endpoints of different networks do not overlap
  (model/overlap.py). So no hold of one copy is `shared` with, refuses or answers another copy's.
- *Is a port fixed?* As if the copies shared a network, which is what they do in all other runs: a port that two
  copies ask for is one that they would collide on. `as_shared` gives the endpoint that it would have been then. To
  find all fixed ports, also those that are asked for only after others were had, is what these networks are for.

In a network that a suite made for itself, both answers are no: there it chooses ports that no one else can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.model.events import (
    Bind,
    Connect,
    Endpoint,
    Event,
    Listen,
    Orphaned,
    PortTaken,
    ProcessEvent,
    RunStarted,
    Seen,
    Send,
    SocketCall,
    Unseen,
)
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.words import NetworkMode


def with_networks(events: Iterable[Event]) -> Iterator[Event]:
    """*events*, with those of copies that have a network each in that network."""
    has_own_networks = False
    for event in events:
        if isinstance(event, RunStarted):
            has_own_networks = event.network_mode is NetworkMode.EACH
        elif has_own_networks and isinstance(event, ProcessEvent) and event.party is not None:
            _move(event, Network.of_copy(event.party.copy))
        yield event


def as_shared(endpoint: Endpoint) -> Endpoint:
    """*endpoint* as it would be if the copies shared a network."""
    return endpoint._replace(network=OUR_NETWORK) if endpoint.network.is_of_copy else endpoint


def _move(event: Event, network: Network) -> None:
    """Put *event* into *network*, unless it happened in a network that the suite made."""
    if isinstance(event, SocketCall) and event.network.is_ours:
        event.network = network
    match event:
        case Bind():
            event.asked = _moved(event.asked, network)
            event.got = None if event.got is None else _moved(event.got, network)
        case Listen() if event.got is not None:
            event.got = _moved(event.got, network)
        case Connect() | Send():
            event.destination = _moved(event.destination, network)
        case Seen() | Unseen() | Orphaned() | PortTaken():
            event.endpoint = _moved(event.endpoint, network)


def _moved(endpoint: Endpoint, network: Network) -> Endpoint:
    return endpoint._replace(network=network) if endpoint.network.is_ours else endpoint
