"""The sensors: one row each, with what it sees and what it cannot see.

Everything outside `sensors/` asks this table; nothing there compares a sensor's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class SensorName(StrEnum):
    """What observes sockets, the most exact first."""

    SECCOMP = "seccomp"
    RECORDER = "recorder"
    SAMPLER = "sampler"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorInfo:
    """*summary*: what it sees. *cannot_see*: what it is blind to even where everything works, a phrase each.

    *is_linux_only*: whether other systems lack it. *is_supervised*: the supervisor runs it, and it sees every
    listener. *is_inside*: it runs inside the processes that it observes, so it knows the result of a call that
    another sensor only saw attempted, but not when native code closes a socket, nor that its process died.
    *is_sampling*: it looks now and then, and sees what exists at that moment.
    """

    summary: str
    cannot_see: tuple[str, ...]
    is_linux_only: bool = False
    is_supervised: bool = False
    is_inside: bool = False
    is_sampling: bool = False


SENSORS = {
    SensorName.SECCOMP: SensorInfo(
        summary="every bind, listen, connect and release, of any program, with its result",
        cannot_see=(
            "where sendmsg and io_uring send or connect to, and io_uring's binds",
            "sockets that a copy inherited, and those that a daemon outside the run binds for it (dockerd, systemd)",
            "32-bit programs on a 64-bit kernel",
            "whether a bind of a VSOCK socket succeeded (an attempt can only show a hard-coded port)",
            "who connects or sends to a Unix socket, and what became of one that was closed within milliseconds",
            "releases and holders inside network namespaces that a copy makes for itself",
            "which process of another user is in the way or is talked to, unless parasuite runs as root",
        ),
        is_linux_only=True,
        is_supervised=True,
    ),
    SensorName.RECORDER: SensorInfo(
        summary="which test and which line, in Python processes",
        cannot_see=(
            "programs that are not Python, and Python under -I, -E or -S, except for their listeners once a second",
            "the last close of a socket that several processes share",
            "who stood in the way of a refused bind, unless it was a Python of another copy",
            "what native code does with a socket that it made itself",
            "whether a Unix socket was still open when another party took its path over",
        ),
        is_inside=True,
    ),
    SensorName.SAMPLER: SensorInfo(
        summary="listeners, at most once a second",
        cannot_see=(
            "a listener that lives less than about a second (20 % of those that live 200 ms are seen)",
            "a TCP socket that is bound and does not listen, and any bind that was refused",
            "connections: which copy's client met which copy's server",
            "which test or line opened a socket, beyond the test that ran in its copy when it was first seen",
            "listeners in network namespaces that a copy makes for itself",
        ),
        is_sampling=True,
    ),
}


SELF_TEST = "self-test"
"""The name under which the probe records, as if it were a sensor, whether the collision that it planted was seen."""


def is_inside(source: str) -> bool:
    """Whether *source*, the writer of an event, is a sensor that runs inside the observed processes."""
    return source in _INSIDE


def is_sampling(source: str) -> bool:
    """Whether *source*, the writer of an event, is a sensor that looks now and then."""
    return source in _SAMPLING


_INSIDE = frozenset(str(name) for name, info in SENSORS.items() if info.is_inside)
_SAMPLING = frozenset(str(name) for name, info in SENSORS.items() if info.is_sampling)


WITHOUT_PRIVILEGE = (
    "what setuid programs (sudo, su, ping) do with their privilege: in the copies they have none, because parasuite "
    "does not run as root and its filter needs no_new_privs; --sensors recorder,sampler leaves it to them"
)


def cannot_see(names: Iterable[str], *, without_privilege: bool) -> tuple[str, ...]:
    """What the most exact sensor among *names* is blind to, a phrase each; () if none of them is a sensor.

    *without_privilege*: programs had to be denied new privileges for it (PR_SET_NO_NEW_PRIVS(2const)).
    """
    known = set(names)
    best = next((info for name, info in SENSORS.items() if name in known), None)
    if best is None:
        return ()
    return (*best.cannot_see, WITHOUT_PRIVILEGE) if without_privilege and best.is_linux_only else best.cannot_see
