"""Which two sockets may share a port, per system: data, with the source of each verdict.

An address is written as a server's configuration would write it; `::only` is the IPv6 wildcard with IPV6_V6ONLY.
Options are written `first/second`: none, RA (SO_REUSEADDR), RP (SO_REUSEPORT), EX (SO_EXCLUSIVEADDRUSE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

OK, INUSE, ACCESS = "ok", "in use", "no access"


@dataclass(frozen=True, slots=True)
class Case:
    """Two sockets on one port, and per pair of options whether the second may bind.

    *state* of the first: "listening", "bound" (a TCP socket that does not listen) or "udp". *second_protocol*: "" for
    the same as the first's.
    """

    first: str
    second: str
    state: str
    verdicts: dict[str, str]
    second_protocol: str = ""

    def __str__(self) -> str:
        return f"{self.first} then {self.second}, {self.state}{self.second_protocol and ', ' + self.second_protocol}"


STATES = ("listening", "bound", "udp")


def _every(verdict: str, options: tuple[str, ...]) -> dict[str, str]:
    return {f"{first}/{second}": verdict for first in options for second in options}


# Linux: measured on 6.18, and read in inet_csk_bind_conflict() and udp_lib_lport_inuse(); one user.
_POSIX = ("none", "RA", "RP")
_LINUX_OVERLAPS = [
    ("127.0.0.1", "127.0.0.1"),
    ("::1", "::1"),
    ("0.0.0.0", "0.0.0.0"),
    ("::only", "::only"),
    ("::", "::"),
    ("0.0.0.0", "127.0.0.1"),
    ("127.0.0.1", "0.0.0.0"),
    ("::only", "::1"),
    ("::1", "::only"),
    ("::", "::1"),
    ("::1", "::"),
    ("0.0.0.0", "::"),
    ("::", "0.0.0.0"),
    ("127.0.0.1", "::"),
    ("::", "127.0.0.1"),
    ("127.0.0.1", "::ffff:127.0.0.1"),
    ("::ffff:127.0.0.1", "127.0.0.1"),
]
_LINUX_APART = [
    ("127.0.0.1", "::only"),
    ("0.0.0.0", "::only"),
    ("::only", "127.0.0.1"),
    ("::only", "0.0.0.0"),
    ("127.0.0.1", "::1"),
    ("::1", "127.0.0.1"),
    ("127.0.0.1", "127.0.0.2"),
]
_LINUX_OVERLAP_VERDICTS = {
    "listening": _every(INUSE, _POSIX) | {"RP/RP": OK},
    "bound": _every(INUSE, _POSIX) | {"RA/RA": OK, "RP/RP": OK},
    "udp": _every(INUSE, _POSIX) | {"RA/RA": OK, "RP/RP": OK},
}


def linux() -> Iterator[Case]:
    for state in STATES:
        for first, second in _LINUX_OVERLAPS:
            yield Case(first, second, state, _LINUX_OVERLAP_VERDICTS[state])
        for first, second in _LINUX_APART:
            yield Case(first, second, state, _every(OK, _POSIX))
    for address in ("127.0.0.1", "0.0.0.0", "::"):
        yield Case(address, address, "listening", _every(OK, _POSIX), second_protocol="udp")
        yield Case(address, address, "udp", _every(OK, _POSIX), second_protocol="tcp")


# macOS: read in xnu-11417, in_pcbbind() and in6_pcbbind(), TCP and UDP alike, one user; never run by us.
_MAC = ("none/none", "RA/none", "none/RA", "RA/RA", "RP/RP")
_MAC_SAME = (INUSE, INUSE, INUSE, INUSE, OK)
_MAC_COVERED = (INUSE, INUSE, OK, OK, OK)
_MAC_APART = (OK, OK, OK, OK, OK)
_MAC_PAIRS = {
    ("127.0.0.1", "127.0.0.1"): _MAC_SAME,
    ("::1", "::1"): _MAC_SAME,
    ("0.0.0.0", "0.0.0.0"): _MAC_SAME,
    ("::", "::"): _MAC_SAME,
    ("0.0.0.0", "127.0.0.1"): _MAC_COVERED,
    ("127.0.0.1", "0.0.0.0"): _MAC_COVERED,
    ("0.0.0.0", "::"): _MAC_APART,
    ("::", "0.0.0.0"): _MAC_SAME,
    ("::", "127.0.0.1"): _MAC_COVERED,
    ("127.0.0.1", "::"): _MAC_COVERED,
    ("127.0.0.1", "::1"): _MAC_APART,
    ("::1", "127.0.0.1"): _MAC_APART,
}


def macos() -> Iterator[Case]:
    for state in ("listening", "udp"):
        for (first, second), verdicts in _MAC_PAIRS.items():
            yield Case(first, second, state, dict(zip(_MAC, verdicts, strict=True)))


# Windows: Microsoft, "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE", one user; never run by us.
_WINDOWS = ("none", "RA", "EX")
_WINDOWS_SAME = {
    "none": (INUSE, ACCESS, INUSE),
    "RA": (INUSE, OK, INUSE),
    "EX": (INUSE, ACCESS, INUSE),
}
_WINDOWS_WILDCARD_FIRST = {
    "none": (OK, OK, OK),
    "RA": (OK, OK, OK),
    "EX": (ACCESS, ACCESS, ACCESS),
}
_WINDOWS_SPECIFIC_FIRST = {
    "none": (OK, OK, INUSE),
    "RA": (OK, OK, INUSE),
    "EX": (OK, OK, INUSE),
}
_WINDOWS_PAIRS = {
    ("127.0.0.1", "127.0.0.1"): _WINDOWS_SAME,
    ("0.0.0.0", "0.0.0.0"): _WINDOWS_SAME,
    ("::1", "::1"): _WINDOWS_SAME,
    ("0.0.0.0", "127.0.0.1"): _WINDOWS_WILDCARD_FIRST,
    ("::only", "::1"): _WINDOWS_WILDCARD_FIRST,
    ("127.0.0.1", "0.0.0.0"): _WINDOWS_SPECIFIC_FIRST,
    ("::1", "::only"): _WINDOWS_SPECIFIC_FIRST,
}


def windows() -> Iterator[Case]:
    for state in ("listening", "udp"):
        for (first, second), rows in _WINDOWS_PAIRS.items():
            verdicts = {
                f"{mine}/{theirs}": verdict
                for mine, row in rows.items()
                for theirs, verdict in zip(_WINDOWS, row, strict=True)
            }
            yield Case(first, second, state, verdicts)
        apart = {f"{mine}/{theirs}": OK for mine in _WINDOWS for theirs in _WINDOWS}
        yield Case("0.0.0.0", "::only", state, apart)


TABLES = {"linux": list(linux()), "darwin": list(macos()), "win32": list(windows())}
