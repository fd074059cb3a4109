"""Removes and copies folder trees that test suites have filled, without touching anything outside of them.

A suite can leave a bind mount or a link in its temporary folder. So each folder is opened relative to its parent,
without following a link and without entering another mount: by openat2(2) with RESOLVE_NO_XDEV, or else by comparing
mount ids (proc_pid_fdinfo(5)). Device numbers are not enough, because a bind mount of the same file system has the
same one. The mode of a folder is changed only through a descriptor that was opened in this way.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from parasuite.record.untrusted import HAS_DIR_FD

_DEPTH_MAX = 40  # Each level costs a descriptor, so deeper folders are moved up before they are removed.
_REASONS_SHOWN = 3
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


def _reason(error: OSError) -> str:
    if error.errno == errno.EXDEV:
        return "something is mounted there"
    return error.strerror or str(error)


def remove_tree(folder: Path) -> str:
    """Remove *folder* and everything below it; "" or a line that says what could not be removed, and why."""
    if not HAS_DIR_FD:
        return _remove_by_path(folder)
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return f"{folder} could not be removed: {_reason(error)}"
    try:
        return remove_from(parent, folder.name, folder)
    finally:
        os.close(parent)


def remove_from(parent: int, name: str, folder: Path) -> str:
    """As `remove_tree`, for the folder *name* in the open folder *parent*. *folder* is its path, for the message."""
    removal = _Removal()
    removal.remove(parent, name)
    if not removal.left:
        return ""
    shown = [f"{os.path.normpath(folder / path)}: {reason}" for path, reason in removal.left[:_REASONS_SHOWN]]
    more = f"; and {len(removal.left) - _REASONS_SHOWN} more" if len(removal.left) > _REASONS_SHOWN else ""
    return f"{folder} could not be removed: {'; '.join(shown)}{more}"


def _remove_by_path(folder: Path) -> str:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        return f"{folder} could not be removed: {error.filename}: {error.strerror}"
    return ""


@dataclass(slots=True)
class _Level:
    """An open folder of the walk. *path*: from the root of the tree. *waiting*: folders in it yet to be removed."""

    descriptor: int
    name: str
    path: str
    waiting: list[str]


@dataclass(slots=True)
class _Removal:
    """Removes one tree. *left*: paths that could not be removed, from the root of the tree, with the reason."""

    left: list[tuple[str, str]] = field(default_factory=list)
    _moved: int = 0

    def remove(self, parent: int, name: str) -> None:
        levels: list[_Level] = []
        try:
            self._enter(levels, parent, name, ".")
            while levels:
                level = levels[-1]
                if level.waiting:
                    child = level.waiting.pop()
                    path = os.path.join(level.path, child)
                    if len(levels) < _DEPTH_MAX or not self._moved_up(levels, child):
                        self._enter(levels, level.descriptor, child, path)
                    continue
                levels.pop()
                os.close(level.descriptor)
                above = levels[-1].descriptor if levels else parent
                self._remove_empty(above, level)
        finally:
            for level in levels:
                os.close(level.descriptor)

    def _enter(self, levels: list[_Level], parent: int, name: str, path: str) -> None:
        try:
            descriptor = _opened(parent, name)
        except OSError as error:
            self.left.append((path, _reason(error)))
            return
        level = _Level(descriptor, name, path, [])
        levels.append(level)
        try:
            with os.scandir(descriptor) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self.left.append((path, _reason(error)))
            return
        level.waiting += [child for child, is_folder in found if is_folder]
        for child, is_folder in found:
            if not is_folder:
                self._unlink(descriptor, child, os.path.join(path, child))
        if level.waiting and os.geteuid() != 0:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o700)  # Otherwise the folders in it could not be removed.

    def _unlink(self, folder: int, name: str, path: str) -> None:
        try:
            os.unlink(name, dir_fd=folder)
        except PermissionError:
            # A test may have removed the folder's own permissions.
            try:
                os.fchmod(folder, 0o700)
                os.unlink(name, dir_fd=folder)
            except OSError as error:
                self.left.append((path, _reason(error)))
        except OSError as error:
            self.left.append((path, _reason(error)))

    def _remove_empty(self, parent: int, level: _Level) -> None:
        try:
            os.rmdir(level.name, dir_fd=parent)
        except OSError as error:
            # If something in it could not be removed, that has been reported.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self.left:
                self.left.append((level.path, _reason(error)))

    def _moved_up(self, levels: list[_Level], child: str) -> bool:
        """Move *child* from the deepest level into the root of the tree, to be removed there; whether that worked."""
        self._moved += 1
        name = f".parasuite-deep-{self._moved}"
        try:
            os.rename(child, name, src_dir_fd=levels[-1].descriptor, dst_dir_fd=levels[0].descriptor)
        except OSError:
            return False
        levels[0].waiting.append(name)
        return True


def _opened(parent: int, name: str) -> int:
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


@dataclass(slots=True)
class TreeCopy:
    """Copies the regular files, folders and links of a tree.

    *size_max*: bytes of the largest file to copy. *left_out*: what was not copied, with the reason, a line each;
    sockets, pipes and devices are not listed.
    """

    size_max: int
    left_out: list[str] = field(default_factory=list)

    def copy(self, source: int, target: int, below: str = "", depth: int = 0) -> None:
        """Copy the contents of the open folder *source* into the open folder *target*."""
        for name in sorted(os.listdir(source)):
            path = os.path.join(below, name)
            try:
                self._copy_one(source, target, name, path, depth)
            except OSError as error:
                self.left_out.append(f"{path}: {_reason(error)}")

    def _copy_one(self, source: int, target: int, name: str, path: str, depth: int) -> None:
        status = os.lstat(name, dir_fd=source)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif stat.S_ISREG(status.st_mode):
            if status.st_size > self.size_max:
                self.left_out.append(f"{path}: {status.st_size >> 20:,} MiB, too large to copy")
                return
            self._copy_file(source, target, name)
        elif stat.S_ISDIR(status.st_mode):
            if depth >= _DEPTH_MAX:
                self.left_out.append(f"{path}: too deep to copy")
                return
            with contextlib.ExitStack() as stack:
                inner = _opened(source, name)
                stack.callback(os.close, inner)
                os.mkdir(name, 0o700, dir_fd=target)
                made = open_inside(target, name)
                stack.callback(os.close, made)
                self.copy(inner, made, path, depth + 1)
                os.fchmod(made, stat.S_IMODE(status.st_mode) & 0o777 | 0o700)

    def _copy_file(self, source: int, target: int, name: str) -> None:
        with contextlib.ExitStack() as stack:
            reading = open_inside(source, name, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, reading)
            status = os.fstat(reading)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            writing = os.open(name, flags, status.st_mode & 0o777, dir_fd=target)
            stack.callback(os.close, writing)
            left = self.size_max
            while left > 0 and (chunk := os.read(reading, min(1 << 20, left))):
                left -= len(chunk)
                while chunk:
                    chunk = chunk[os.write(writing, chunk) :]
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of the folder *path*. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
