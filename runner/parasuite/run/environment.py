"""The environment that parasuite itself was started with."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit


def inherited_environment() -> dict[str, str]:
    """The environment for the copies: that of this process, without what Python added to it at its start.

    In the C locale, Python sets LC_CTYPE (PEP 538), which would take every program of a copy out of that locale. The
    kernel keeps the environment that a process was started with, so this is known on Linux only.
    """
    environ = dict(os.environ)
    if sys.platform == "linux" and "LC_CTYPE" in environ:
        # Without /proc, nothing is started.
        with contextlib.suppress(OSError):
            at_start = Path("/proc/self/environ").read_bytes().split(b"\0")
            if not any(variable.startswith(b"LC_CTYPE=") for variable in at_start):
                del environ["LC_CTYPE"]
    return environ


def proxies_of_this_host(environ: Mapping[str, str], addresses: Collection[str]) -> tuple[int, ...]:
    """The ports of the proxies that the variables NAME_proxy name, if they are on this host. *addresses*: its own."""
    ports = set()
    for name, value in environ.items():
        # Without a scheme, as in "127.0.0.1:3128", everything would be a path.
        with contextlib.suppress(ValueError):
            url = urlsplit(value if "://" in value else f"//{value}")
            if name.lower().endswith("_proxy") and url.port and _is_this_host(url.hostname or "", addresses):
                ports.add(url.port)
    return tuple(sorted(ports))


def _is_this_host(host: str, addresses: Collection[str]) -> bool:
    if host == "localhost" or host in addresses:
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
