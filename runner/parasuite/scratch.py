"""The copies' temporary files: below a short path while they run, beside the run if their copy did not end well."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

_LARGEST_COPIED_BYTES = 64 << 20


def new_scratch_dir() -> Path:
    """A new folder with a short path: a Unix socket's path must fit below it."""
    base = tempfile.gettempdir()
    if len(base) > 20 and os.path.isdir("/tmp"):
        base = "/tmp"
    return Path(tempfile.mkdtemp(prefix="ps-", dir=base))


def keep(source: Path, target: Path) -> list[str]:
    """Move the folder *source* to *target*; the files that were left out, each with its reason.

    On one file system it is a rename: it takes no room and nothing is left out. On another the files are copied, but
    not those of more than 64 MiB, which may be holes that no copy keeps, nor sockets, pipes and devices. Raises
    OSError or shutil.Error for what could not be copied.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return []
    left_out: list[str] = []

    def ignore(folder: str, names: list[str]) -> list[str]:
        found = []
        for name in names:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
                found.append(name)
            elif stat.S_ISREG(facts.st_mode) and facts.st_size > _LARGEST_COPIED_BYTES:
                left_out.append(f"{os.path.relpath(path, source)}: {facts.st_size >> 20:,} MiB, too large to copy")
                found.append(name)
        return found

    shutil.copytree(source, target, symlinks=True, ignore=ignore)
    return left_out


def remove(folder: Path) -> str:
    """Remove *folder* and all below it; a line that says why not, or "" if it is gone."""
    try:
        shutil.rmtree(folder)
    except OSError:
        _allow(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            return f"{folder} could not be removed: {error.filename}: {error.strerror}"
    return ""


def _allow(folder: Path) -> None:
    """Give back the permissions of each folder below *folder*: a test may have taken them away."""
    # From the top down, since what a folder holds can be read only after it was allowed.
    for place, names, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
