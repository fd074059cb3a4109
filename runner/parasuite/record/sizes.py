"""How much disk space a folder takes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ENTRIES_MAX = 200_000


def bytes_below(folder: Path) -> int:
    """The sizes of the files below *folder* together. No link is followed, and what cannot be read is left out."""
    total = seen = 0
    waiting = [str(folder)]
    while waiting and seen < _ENTRIES_MAX:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                seen += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total
