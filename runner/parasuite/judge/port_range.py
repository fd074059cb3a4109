"""Whether the ephemeral ports of a narrow network ran out: tests that fail of that have not collided.

The kernel refuses a bind to port 0 with EADDRINUSE then, which sensors see, and a connect with EADDRNOTAVAIL, which
only the test that fails of it can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from parasuite.model.events import Bind, Event
from parasuite.model.results import TestResult

RAN_OUT = (
    "the {ports} ephemeral ports of the private network ran out: {what}; that is no collision, so give the network "
    "more of them (--port-range {more})"
)
# What EADDRNOTAVAIL is called: by its name, by glibc, by musl.
_NOT_AVAILABLE = ("EADDRNOTAVAIL", "Cannot assign requested address", "Address not available")


class PortRangeReader:
    """Counts the binds to port 0 that were refused: the events are read only once, for several readers."""

    def __init__(self) -> None:
        self._refused = 0

    def read(self, event: Event) -> None:
        """Take one event."""
        if (
            isinstance(event, Bind)
            and event.errno == "EADDRINUSE"
            and not event.asked.port
            and event.asked.is_internet
        ):
            self._refused += 1

    def notes(self, port_range: int | None, results: Sequence[Sequence[TestResult]]) -> list[str]:
        """A sentence if the ports ran out. *port_range*: how many there were; None for as many as the host has."""
        if port_range is None:
            return []
        failed = sum(_lacked_a_port(result) for copy in results for result in copy)
        what = [
            f"{self._refused:,} binds to port 0 were refused" if self._refused else "",
            f"{failed:,} test results name EADDRNOTAVAIL" if failed else "",
        ]
        if not any(what):
            return []
        return [RAN_OUT.format(ports=port_range, what=" and ".join(filter(None, what)), more=2 * port_range)]


def _lacked_a_port(result: TestResult) -> bool:
    return result.outcome.is_bad and any(name in result.message or name in result.text for name in _NOT_AVAILABLE)
