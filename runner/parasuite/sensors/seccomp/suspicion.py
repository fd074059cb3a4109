"""Which calls of a copy ask for what a finding is about, and which endpoints to take before or after them. Pure.

Theory of operation. The finding was made in an earlier run; the copy that is provoked is alone. A call is suspect if

- `hard-coded`: it binds the port of the finding by number. The port is taken just before, and kept.
- `lost-port`: it binds, by number, a port that the kernel assigned to this copy before and that no one holds now: the
  window of the finding. Between two places that draw and bind, only those of the finding are meant.
- `closed-port`: it connects to such a port.
- `reuse`: it has bound port 0 with options that let a second owner in. The second owner comes after it.

A drawn port is taken once for each test: a test that draws another port after a refusal then gets it, as it would if
another process had been in its way.

A stand-in has the same options as the suspect if the port is hard-coded, as another copy of the suite would: it is
then let in, or keeps the suspect out. With SO_REUSEADDR on a datagram socket, the socket that was bound last
receives what is sent, so there the stand-in comes after the suspect, too.

Only addresses of the loopback interface are taken, which no other host can reach. That is enough: a bind of the
wildcard address is refused because of a socket on 127.0.0.1, and of two sockets that may share a port the one with
the more specific address is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from parasuite.model.causes import Cause
from parasuite.model.events import Endpoint
from parasuite.model.overlap import V4_WILDCARD, V6_WILDCARD, canonical, is_loopback
from parasuite.model.party import Caller
from parasuite.model.suspect import Suspect, place_of
from parasuite.model.words import Protocol, SocketOption


class Suspicion:
    """*suspect*: what to look for. *is_held*: whether any socket has a port now.

    The methods are called for each call of one copy, in order. *name*: of the process that makes the call.
    """

    def __init__(self, suspect: Suspect, is_held: Callable[[Protocol, int], bool]) -> None:
        self._suspect = suspect
        self._is_held = is_held
        self._drawn: dict[int, bool] = {}  # Port -> whether the finding is about the place that drew it.
        self._provoked: set[str] = set()  # Tests whose drawn port was taken.

    @property
    def protocol(self) -> Protocol:
        """Of the ports that the finding is about."""
        return self._suspect.protocol

    def learn(self, caller: Caller, name: str, asked: Endpoint, got: Endpoint) -> None:
        """A bind to *asked* gave the socket *got*."""
        if not asked.port and got.protocol is self._suspect.protocol:
            self._drawn[got.port] = self._is_of_finding(caller, name)

    def before_bind(self, caller: Caller, name: str, asked: Endpoint, options: Collection[SocketOption]) -> bool:
        """Whether to take the port before this bind."""
        if asked.protocol is not self._suspect.protocol or not asked.port:
            return False
        if self._suspect.cause is Cause.HARD_CODED:
            return asked.port == self._suspect.port and not lets_last_in(asked.protocol, options)
        if self._suspect.cause is Cause.LOST_PORT:
            return self._is_window(caller, name, asked.port)
        return False

    def after_bind(
        self, caller: Caller, name: str, asked: Endpoint, got: Endpoint, options: Collection[SocketOption]
    ) -> bool:
        """Whether to bind the port as well, now that this bind has succeeded."""
        if got.protocol is not self._suspect.protocol:
            return False
        if self._suspect.cause is Cause.HARD_CODED:
            return asked.port == self._suspect.port and lets_last_in(got.protocol, options)
        lets_in = SocketOption.REUSEPORT in options or lets_last_in(got.protocol, options)
        return self._suspect.cause is Cause.REUSE and not asked.port and lets_in and self._is_of_finding(caller, name)

    def before_connect(self, caller: Caller, name: str, to: Endpoint) -> bool:
        """Whether to take the port before this connect, or datagram, to it."""
        if self._suspect.cause is not Cause.CLOSED_PORT or to.protocol is not self._suspect.protocol:
            return False
        return self._is_window(caller, name, to.port)

    def _is_window(self, caller: Caller, name: str, port: int) -> bool:
        """Whether *port* was drawn, is free now, and is the first one of this test that the finding is about."""
        if port not in self._drawn or caller.test in self._provoked:
            return False
        if not self._drawn[port] and not self._is_of_finding(caller, name):
            return False
        if self._is_held(self._suspect.protocol, port):
            return False
        self._provoked.add(caller.test)
        return True

    def _is_of_finding(self, caller: Caller, name: str) -> bool:
        """Whether the finding is about the place that makes the call, or about its program."""
        if not self._suspect.places and not self._suspect.programs:
            return True
        location = caller.location
        if location is not None and place_of(location) in self._suspect.places:
            return True
        return (location is None or location.is_installed) and name in self._suspect.programs


def lets_last_in(protocol: Protocol, options: Collection[SocketOption]) -> bool:
    """Whether these options let another socket be bound later, and then receive all that is sent."""
    return protocol is Protocol.UDP and SocketOption.REUSEADDR in options and SocketOption.REUSEPORT not in options


def endpoints_to_take(asked: Endpoint) -> tuple[Endpoint, ...]:
    """The loopback endpoints that are in the way of *asked*; () if none is."""
    asked = canonical(asked)
    if is_loopback(asked.address):
        addresses = [asked.address]
    elif asked.address == V4_WILDCARD:
        addresses = ["127.0.0.1"]
    elif asked.address == V6_WILDCARD:
        addresses = ["::1"] if asked.v6only else ["127.0.0.1", "::1"]
    else:
        addresses = []
    return tuple(Endpoint(asked.protocol, address, asked.port, asked.network) for address in addresses)
