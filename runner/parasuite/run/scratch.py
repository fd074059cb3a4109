"""The copies' temporary files: below a short path during the run, later in the run folder if a copy ended badly."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from parasuite.record.mounts import open_inside, opened
from parasuite.record.tree_copy import TreeCopy
from parasuite.record.untrusted import HAS_DIR_FD, folder_below

SCRATCH_PREFIX = "ps-"
_LARGEST_COPIED_BYTES = 64 << 20


def new_scratch_dir() -> Path:
    """A new folder with a short path, so that the path of a Unix socket fits below it."""
    base = tempfile.gettempdir()
    if len(base) > 20 and os.path.isdir("/tmp"):
        base = "/tmp"
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=base))
    if _is_shared():
        # Other users may enter it but not list it.
        scratch.chmod(0o711)
    return scratch


def make_tmpdir(folder: Path) -> None:
    """Make a copy's own temporary folder, *folder*, in the scratch folder.

    A suite that runs as root and drops its privileges (su, initdb, a server's workers) needs one that its other users
    can write to. So if every user can write to the folder that the suite would have without parasuite, such as /tmp,
    every user can write to this one, with the same protection: no one can remove or rename another user's files (the
    sticky bit), or redirect another user by a link (fs.protected_symlinks, proc_sys_fs(5)). The scratch folder around
    it cannot be listed.
    """
    folder.mkdir()
    if _is_shared():
        folder.chmod(0o1777)


def _is_shared() -> bool:
    """Whether parasuite is root and every user can write to its folder for temporary files, with the sticky bit."""
    return os.name == "posix" and os.geteuid() == 0 and os.stat(tempfile.gettempdir()).st_mode & 0o1007 == 0o1007


def keep_folder(source: Path, root: Path, target: str) -> list[str]:
    """Move the folder *source*, unless it is empty, to *target* below *root*, where there must be nothing yet; the
    files that were left out, each with its reason.

    On the same file system it is a rename, which takes no space and leaves nothing out. To another file system the
    files are copied, except files over 64 MiB (which may consist of holes that copying would fill), sockets, pipes,
    devices and what is mounted in *source*. Raises OSError, and Unreadable if *target* cannot be below *root*.
    """
    if not HAS_DIR_FD:
        return _keep_folder_by_path(source, root / target)
    place, _, name = target.rpartition("/")
    with opened(source.parent) as outer, folder_below(root, place) as inner:
        assert isinstance(inner, int)
        descriptor = open_inside(outer, source.name)
        try:
            if not os.listdir(descriptor):
                return []
            # `make_tmpdir` may have opened it to other users, who no longer need it.
            os.fchmod(descriptor, 0o700)
            # Make the target first: a rename replaces an empty folder, but nothing else that may have been put there.
            os.mkdir(name, 0o700, dir_fd=inner)
            try:
                os.rename(source.name, name, src_dir_fd=outer, dst_dir_fd=inner)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    with contextlib.suppress(OSError):
                        os.rmdir(name, dir_fd=inner)
                    raise
            else:
                return []
            made = open_inside(inner, name)
            try:
                copying = TreeCopy(_LARGEST_COPIED_BYTES)
                copying.copy(descriptor, made)
                return copying.left_out
            finally:
                os.close(made)
        finally:
            os.close(descriptor)


def _keep_folder_by_path(source: Path, target: Path) -> list[str]:
    if any(source.iterdir()):
        shutil.move(source, target)
    return []
