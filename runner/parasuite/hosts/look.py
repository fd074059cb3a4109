"""What a worker of a cluster is. Standard library only: its code is sent to hosts that may have no parasuite."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import socket
import sys
from pathlib import Path


def look() -> dict[str, str]:
    """`host`, `space`, `python` and `parasuite`, as text to compare and to show.

    *space*: equal for two workers whose sockets can meet: the boot of the kernel and the network namespace. (Host
    names do not tell: containers share a network, and one host can have several.) *parasuite*: a hash of its code, or
    why there is none.
    """
    return {
        "host": socket.gethostname(),
        "space": f"{_boot()} {_network()}",
        "python": platform.python_version(),
        "parasuite": _parasuite(),
    }


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()  # Another system than Linux: it has one network.


def _network() -> int:
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0


def _parasuite() -> str:
    found = importlib.util.find_spec("parasuite")
    if found is None or not found.submodule_search_locations:
        return f"not installed for {sys.executable}"
    root = Path(found.submodule_search_locations[0])
    code = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        code.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return f"code {code.hexdigest()[:12]}"
