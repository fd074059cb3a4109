"""The output folder, usually .parasuite: what runs and series have in common in it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path

from parasuite.record.folder_lock import LOCK, lock
from parasuite.record.removal import remove_tree

LATEST = "latest"
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""Flags of open(2) for a file that must not exist, and is not a link."""
IDS_TRIED = 100


def make_base(base: Path, folder: str) -> None:
    """Make *base* and its *folder*. A *base* that did not exist gets a .gitignore. Raises OSError."""
    base.parent.mkdir(parents=True, exist_ok=True)
    try:
        base.mkdir()
    except FileExistsError:
        pass  # It may be the user's own folder, with files that are under version control.
    else:
        with open(base / ".gitignore", "x") as stream:
            stream.write("*\n")
    (base / folder).mkdir(exist_ok=True)


def new_locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder in *parent*, named by UTC time and four random digits, and the descriptor that locks it.

    It did not exist before, even if another run began in the same second. Raises OSError.
    """
    for _ in range(IDS_TRIED):
        path = parent / (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(2))
        try:
            path.mkdir()
        except FileExistsError:
            continue
        try:
            return path, lock(path / LOCK)
        except OSError:
            remove_tree(path)
            raise
    raise FileExistsError(errno.EEXIST, f"{IDS_TRIED} names were taken", str(parent))


def replace_file(folder: Path, name: str, text: str | bytes) -> None:
    """Replace the file *name* in one step, so that no reader ever finds half of it. Raises OSError."""
    # The random part keeps two reports that are written at once apart.
    temporary = folder / f".{name}-{os.getpid()}-{secrets.token_hex(4)}"
    with open(os.open(temporary, NEW_FILE, 0o666), "wb") as stream:
        try:
            stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
            stream.flush()
            os.replace(temporary, folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def link_latest(base: Path, target: Path) -> None:
    """Point *base*/latest at *target*, in one step. Does nothing where links cannot be made."""
    link = base / LATEST
    if os.path.lexists(link) and not link.is_symlink():
        return  # The user's own file.
    temporary = link.with_name(f".{link.name}-{target.name}")
    with contextlib.suppress(OSError, NotImplementedError):
        temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        os.replace(temporary, link)


def at_or_latest(path: Path, file: str) -> Path | None:
    """*path* if it has *file*, else the latest run or series below it if that has; None if neither has.

    The file may be of any kind: who reads it reports what is wrong with it. Raises OSError.
    """
    for candidate in (path, path / LATEST):
        if exists(candidate / file):
            return candidate.resolve()
    return None


def exists(path: Path) -> bool:
    """Whether there is anything at *path*. Raises OSError if that cannot be found out."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
