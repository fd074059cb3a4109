"""Opens what test suites have made, without following a link and without entering another mount.

A suite can leave a bind mount or a link in its temporary folder. So each folder is opened relative to its parent: by
openat2(2) with RESOLVE_NO_XDEV, or else by comparing mount ids (proc_pid_fdinfo(5)). Device numbers are not enough,
because a bind mount of the same file system has the same one. The mode of a folder is changed only through a
descriptor that was opened in this way.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_SYS_OPENAT2 = 437  # On every architecture that Python runs on but Alpha.
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH of linux/openat2.h
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_O_PATH = getattr(os, "O_PATH", 0)
_MOUNT_ID = re.compile(r"^mnt_id:\s*(\d+)", re.MULTILINE)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(parent: int, name: str, flags: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE)
    descriptor: int = _libc().syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(parent),
        ctypes.c_char_p(os.fsencode(name)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return descriptor


@lru_cache(maxsize=1)
def has_openat2() -> bool:
    """Whether the kernel has openat2 (Linux 5.6 or newer) and no container profile forbids it."""
    if sys.platform != "linux":
        return False
    root = os.open("/", os.O_RDONLY)
    try:
        os.close(_openat2(root, ".", os.O_RDONLY | os.O_DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def _mount(descriptor: int) -> tuple[int, str]:
    """What identifies the mount that an open file is on, as well as this system can tell."""
    mount_id = ""
    with contextlib.suppress(OSError):
        found = _MOUNT_ID.search(Path(f"/proc/self/fdinfo/{descriptor}").read_text())
        mount_id = found[1] if found else ""
    # Without mount ids, device numbers are compared; a bind mount of the same file system then goes unnoticed.
    return (0, mount_id) if mount_id else (os.fstat(descriptor).st_dev, "")


def open_inside(parent: int, name: str, flags: int = _FOLDER) -> int:
    """Open *name* in the folder *parent*, on the same mount.

    Raises OSError; EXDEV for a mount point, ELOOP or ENOTDIR for a link.
    """
    flags |= getattr(os, "O_NOFOLLOW", 0)
    if has_openat2():
        return _openat2(parent, name, flags)
    descriptor = os.open(name, flags, dir_fd=parent)
    if _mount(descriptor) != _mount(parent):
        os.close(descriptor)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    return descriptor


def why_not_opened(error: OSError) -> str:
    if error.errno == errno.EXDEV:
        return "something is mounted there"
    return error.strerror or str(error)


def open_with_permission(parent: int, name: str) -> int:
    """As open_inside, after giving the owner back the permissions on a folder that has none."""
    try:
        return open_inside(parent, name)
    except PermissionError:
        if not _O_PATH:
            raise
    descriptor = open_inside(parent, name, _O_PATH | _FOLDER)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
    finally:
        os.close(descriptor)
    return open_inside(parent, name)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of the folder *path*. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
