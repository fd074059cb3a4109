"""Descriptors that parasuite itself was started with."""

from __future__ import annotations

import contextlib
import os
import sys


def inherited_descriptors() -> list[int]:
    """Descriptors that parasuite was given beyond its standard streams: a shell's `<(...)`, make's jobserver.

    Python opens no descriptor that its children inherit (PEP 446), so an inheritable one came from outside.
    """
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    inherited = []
    for name in os.listdir(folder):
        # The descriptor of the folder itself is closed by now.
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                inherited.append(int(name))
    return inherited
