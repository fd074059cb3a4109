"""Copies folder trees that test suites have filled, without reading anything outside of them; see `mounts`."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field

from parasuite.record.mounts import open_inside, open_with_permission, why_not_opened

_DEPTH_MAX = 40  # Each level costs two descriptors.


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
                self.left_out.append(f"{path}: {why_not_opened(error)}")

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
                inner = open_with_permission(source, name)
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
