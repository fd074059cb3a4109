"""Opens and reads the files of a run folder, which every copy can write, replace and delete.

A copy has the same permissions as parasuite and knows its folder, so any file there may be a pipe, a folder, a link
to an endless device, huge, or full of random bytes. The functions here never wait for a pipe, follow no link below
the run folder, read regular files only, and stop at a bound. The message of Unreadable says what cannot be read, and
why, in words that fit into a report.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

LINE_MAX = 1 << 20
"""Bytes of a line. parasuite and its plug-ins write shorter ones."""
_CHUNK_BYTES = 1 << 16
_NAMES_MAX = 200_000
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Without O_NONBLOCK, opening a pipe waits for its writer, and opening a leased file (fcntl(2)) for the lease holder.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NOCTTY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
HAS_DIR_FD = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


class Unreadable(Exception):
    """A file or folder that cannot be read; the message names it and says why."""


class Missing(Unreadable):
    """A file or folder that does not exist."""


@contextlib.contextmanager
def _raising_unreadable(name: str) -> Iterator[None]:
    """Turn an OSError into Unreadable."""
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{name} is missing") from error
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def folder_below(root: Path, name: str) -> Iterator[int | str]:
    """The folder *name* below *root*, opened without following a link between the two.

    A descriptor, to be used as `dir_fd`; on systems without `dir_fd`, a path. Raises Unreadable.
    """
    parts = PurePosixPath(name).parts
    if not HAS_DIR_FD:
        yield str(root.joinpath(*parts))
        return
    with _raising_unreadable(str(root)):
        descriptor = os.open(root, _FOLDER)
    try:
        for depth, part in enumerate(parts, 1):
            at = "/".join(parts[:depth])
            with _raising_unreadable(at):
                status = os.lstat(part, dir_fd=descriptor)
            if not stat.S_ISDIR(status.st_mode):
                raise Unreadable(f"{at} is {kind(status.st_mode)}, not a folder")
            with _raising_unreadable(at):
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(root: Path, name: str) -> BinaryIO:
    """The regular file *name* below *root*, open for reading. Raises Unreadable; Missing if there is none."""
    place = PurePosixPath(name)
    with folder_below(root, str(place.parent)) as folder, _raising_unreadable(name):
        at: dict[str, Any] = {"dir_fd": folder} if isinstance(folder, int) else {}
        path = place.name if at else os.path.join(str(folder), place.name)
        # Checked before it is opened too, because merely opening a device can have an effect.
        _check_regular(name, os.lstat(path, **at))
        descriptor = os.open(path, _READ | getattr(os, "O_BINARY", 0), **at)
        return _checked(name, descriptor)


def open_path(path: Path) -> BinaryIO:
    """The regular file at *path*, which links may lead to, open for reading. Raises Unreadable; Missing."""
    with _raising_unreadable(str(path)):
        _check_regular(str(path), os.stat(path))
        descriptor = os.open(path, (_READ & ~getattr(os, "O_NOFOLLOW", 0)) | getattr(os, "O_BINARY", 0))
        return _checked(str(path), descriptor)


def _checked(name: str, descriptor: int) -> BinaryIO:
    """The open file *descriptor*, which must be a regular file; if it is none, it is closed."""
    try:
        _check_regular(name, os.fstat(descriptor))
    except Unreadable:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=0)


def _check_regular(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"{name} is {kind(status.st_mode)}, not a file")


def kind(mode: int) -> str:
    """What kind of file has this *mode*, in words: "a folder", "a pipe"."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def names(root: Path, folder: str, *endings: str) -> list[str]:
    """The entries of *folder* that end with one of *endings*, sorted, as paths below *root*. Raises Unreadable."""
    found = []
    with folder_below(root, folder) as opened, _raising_unreadable(folder), os.scandir(opened) as entries:
        for count, entry in enumerate(entries):
            if count >= _NAMES_MAX:
                raise Unreadable(f"{folder} contains more than {_NAMES_MAX:,} files")
            if entry.name.endswith(endings):
                found.append(f"{folder}/{entry.name}")
    return sorted(found)


def read_bytes(root: Path, name: str, size_max: int) -> bytes:
    """All bytes of a file. Raises Unreadable, also if they are more than *size_max*."""
    with open_file(root, name) as stream, _raising_unreadable(name):
        found = bytearray()
        while len(found) <= size_max and (chunk := stream.read(_CHUNK_BYTES)):
            found += chunk
    if len(found) > size_max:
        raise Unreadable(f"{name} is larger than {size_max:,} bytes")
    return bytes(found)


def read_json(root: Path, name: str, size_max: int) -> Any:
    """The value in the JSON file *name*. Raises Unreadable."""
    try:
        return json.loads(read_bytes(root, name, size_max))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} cannot be read: {error}") from error


def tail(root: Path, name: str, size: int) -> bytes:
    """The last *size* bytes of a file. Raises Unreadable."""
    with open_file(root, name) as stream, _raising_unreadable(name):
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - size))
        return stream.read(size) or b""


class Reader:
    """Reads a file from the offset *at* on, a chunk at a time.

    The file is open only while a chunk is read, so that more files than descriptors can be read side by side.
    """

    def __init__(self, root: Path, name: str, size_max: int) -> None:
        self.at = 0
        self._root, self._name, self._size_max = root, name, size_max

    def chunk(self) -> bytes:
        """The next bytes, b"" at the end. Raises Unreadable, also once *size_max* bytes have been read."""
        if self.at >= self._size_max:
            raise Unreadable(f"{self._name} is larger than {self._size_max:,} bytes")
        with open_file(self._root, self._name) as stream, _raising_unreadable(self._name):
            if self._skip_hole(stream):
                return b"\0"
            stream.seek(self.at)
            found = stream.read(_CHUNK_BYTES) or b""
        self.at += len(found)
        return found

    def _skip_hole(self, stream: BinaryIO) -> bool:
        """Skip a hole, which may be longer than any disk; whether there was one. It is read as a single NUL."""
        if not hasattr(os, "SEEK_DATA"):
            return False
        # Before the search: what is written after it is not a hole, and must not be skipped.
        size = os.fstat(stream.fileno()).st_size
        try:
            data_at = os.lseek(stream.fileno(), self.at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return False  # The file system cannot report holes.
            data_at = size
        before, self.at = self.at, max(self.at, data_at)
        return data_at > before


def lines(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The lines in the chunks that *read* returns, each with its line end, which the last one may lack.

    A line longer than LINE_MAX is replaced by an empty one, which no decoder accepts.
    """
    rest, too_long = b"", False
    while chunk := read():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield b"\n" if too_long or len(line) > LINE_MAX else line + b"\n"
            too_long = False
        if len(rest) > LINE_MAX:
            rest, too_long = b"", True
    if rest or too_long:
        yield b"" if too_long else rest
