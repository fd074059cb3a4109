"""Services outside the run that a suite is meant to use: `[[tool.parasuite.ambient]]` of its project."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from parasuite.model.events import Endpoint
from parasuite.model.overlap import canonical, overlaps
from parasuite.model.words import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbientService:
    """A service of the machine that is there before the run and after it: a database, a resolver, a proxy.

    *port*: of TCP or UDP, 0 for a Unix socket. *address*: numeric, "" for every address of this host. *path*: of a
    Unix socket, absolute, or "@name" for an abstract name; "" for TCP and UDP. *reason*: why the suite may use it,
    for people.
    """

    reason: str
    protocol: Protocol = Protocol.TCP
    port: int = 0
    address: str = ""
    path: str = ""

    def matches(self, endpoint: Endpoint) -> bool:
        """Whether a client of *endpoint*, or a socket that is bound to it, has to do with this service.

        A service of one address matches the wildcard as well, since a bind of the wildcard asks for that address,
        too. Only endpoints in the run's own network match, except Unix paths: they are the same in every network.
        """
        if endpoint.protocol != self.protocol:
            return False
        if self.protocol is Protocol.UNIX:
            return _normal(endpoint.address) == _normal(self.path)
        if endpoint.port != self.port or not endpoint.network.is_ours:
            return False
        if not self.address:
            return True
        return overlaps(canonical(Endpoint(self.protocol, self.address, self.port)), canonical(endpoint))

    def __str__(self) -> str:
        if self.protocol is Protocol.UNIX:
            return f"unix:{self.path}"
        return str(Endpoint(self.protocol, self.address or "*", self.port))


def _normal(path: str) -> str:
    return path if path.startswith("@") else posixpath.normpath(path)
