"""The environment that parasuite itself was started with."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def inherited_environment() -> dict[str, str]:
    """The environment for the copies: that of this process, without what Python added to it at its start.

    In the C locale, Python sets LC_CTYPE (PEP 538), which would take every program of a copy out of that locale. The
    kernel keeps the environment that a process was started with, so this can be told on Linux only.
    """
    environ = dict(os.environ)
    if sys.platform == "linux" and "LC_CTYPE" in environ:
        # Without /proc, nothing is started.
        with contextlib.suppress(OSError):
            at_start = Path("/proc/self/environ").read_bytes().split(b"\0")
            if not any(variable.startswith(b"LC_CTYPE=") for variable in at_start):
                del environ["LC_CTYPE"]
    return environ
