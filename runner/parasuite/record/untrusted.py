"""Opens and reads the files of a run folder, which every copy may write, replace and delete.

A copy runs with the rights of parasuite and knows its folder, so any file there may be a pipe, a folder, a link to an
endless device, huge, or of random bytes. Here it is opened without waiting and without following a link below the run
folder, read only if it is a regular file, and never further than a bound. Unreadable says in words for a report what
cannot be read, and why.
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
"""Bytes of a line; parasuite and its plug-ins write no longer ones."""
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
# O_NONBLOCK: opening a pipe would wait for its writer, and a file that has a lease (fcntl(2)) for its holder.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NOCTTY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
HAS_DIR_FD = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


class Unreadable(Exception):
    """A file or folder that cannot be read; the message names it and says why."""


class Missing(Unreadable):
    """There is no such file."""


@contextlib.contextmanager
def _saying(name: str) -> Iterator[None]:
    """Turn an OSError into Unreadable."""
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{name} is missing") from error
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def folder_below(root: Path, name: str) -> Iterator[int | str]:
    """The folder *name* below *root*, opened without following a link between the two: a descriptor for `dir_fd`,
    or its path where the system has no such thing. Raises Unreadable.
    """
    parts = PurePosixPath(name).parts
    if not HAS_DIR_FD:
        yield str(root.joinpath(*parts))
        return
    with _saying(str(root)):
        descriptor = os.open(root, _FOLDER)
    try:
        for depth, part in enumerate(parts, 1):
            at = "/".join(parts[:depth])
            with _saying(at):
                status = os.lstat(part, dir_fd=descriptor)
            if not stat.S_ISDIR(status.st_mode):
                raise Unreadable(f"{at} is {kind(status.st_mode)}, not a folder")
            with _saying(at):
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(root: Path, name: str) -> BinaryIO:
    """The regular file *name* below *root*, open for reading. Raises Unreadable; Missing if there is none."""
    place = PurePosixPath(name)
    with folder_below(root, str(place.parent)) as folder, _saying(name):
        at: dict[str, Any] = {"dir_fd": folder} if isinstance(folder, int) else {}
        path = place.name if at else os.path.join(str(folder), place.name)
        # Asked first, since to open a device may already set it off.
        _check_regular(name, os.lstat(path, **at))
        descriptor = os.open(path, _READ | getattr(os, "O_BINARY", 0), **at)
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
    """What a file of this *mode* is: "a folder", "a pipe"."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def names(root: Path, folder: str, *endings: str) -> list[str]:
    """The sorted paths below *root* of what *folder* holds with one of *endings*. Raises Unreadable."""
    found = []
    with folder_below(root, folder) as opened, _saying(folder), os.scandir(opened) as entries:
        for count, entry in enumerate(entries):
            if count >= _NAMES_MAX:
                raise Unreadable(f"{folder} holds more than {_NAMES_MAX:,} files")
            if entry.name.endswith(endings):
                found.append(f"{folder}/{entry.name}")
    return sorted(found)


def read_bytes(root: Path, name: str, size_max: int) -> bytes:
    """The whole of a file. Raises Unreadable, for one of more than *size_max* bytes as well."""
    with open_file(root, name) as stream, _saying(name):
        found = bytearray()
        while len(found) <= size_max and (chunk := stream.read(_CHUNK_BYTES)):
            found += chunk
    if len(found) > size_max:
        raise Unreadable(f"{name} is larger than {size_max:,} bytes")
    return bytes(found)


def read_json(root: Path, name: str, size_max: int) -> Any:
    """What the JSON file *name* holds. Raises Unreadable."""
    try:
        return json.loads(read_bytes(root, name, size_max))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} cannot be read: {error}") from error


def tail(root: Path, name: str, size: int) -> bytes:
    """The last *size* bytes of a file. Raises Unreadable."""
    with open_file(root, name) as stream, _saying(name):
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - size))
        return stream.read(size) or b""


class Reader:
    """Reads a file from a place on, a chunk at a time. It is open only while a chunk is read: many may be read at
    once.
    """

    def __init__(self, root: Path, name: str, size_max: int) -> None:
        self.at = 0
        self._root, self._name, self._size_max = root, name, size_max

    def chunk(self) -> bytes:
        """The next bytes, b"" at the end. Raises Unreadable, beyond *size_max* bytes as well."""
        if self.at >= self._size_max:
            raise Unreadable(f"{self._name} is larger than {self._size_max:,} bytes")
        with open_file(self._root, self._name) as stream, _saying(self._name):
            if self._skip_hole(stream):
                return b"\0"
            stream.seek(self.at)
            found = stream.read(_CHUNK_BYTES) or b""
        self.at += len(found)
        return found

    def _skip_hole(self, stream: BinaryIO) -> bool:
        """Whether there was a hole, which may be longer than any disk: one NUL stands for all of it."""
        if not hasattr(os, "SEEK_DATA"):
            return False
        try:
            data_at = os.lseek(stream.fileno(), self.at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return False  # The file system does not know where its holes are.
            data_at = os.fstat(stream.fileno()).st_size
        before, self.at = self.at, max(self.at, data_at)
        return data_at > before


def lines(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The lines of what *read* gives a chunk at a time, each with its end; the last may have none.

    Of a line longer than LINE_MAX only an empty one is given, so that whoever decodes it finds nothing in it.
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
