"""Folders of runs as one compressed file: made on another host, or stored by a CI system as an artifact.

An archive is read as a run folder is: its author is not trusted. Theory of operation: the reader lets the tar
module have only as many bytes as the next header may take, writes regular files and folders with names that stay
below the target, each as a new file, and never a link. So nothing that was there before is written to, and neither
memory, disk, nor the number of files exceeds the bounds, whatever the headers say. What can be read is kept: an
archive that was cut short loses its end, not its beginning.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from parasuite.record.output_folder import NEW_FILE
from parasuite.record.untrusted import Unreadable, open_path, read_bytes

ENDINGS = (".tar.gz", ".tgz")
CUT_SHORT = "{name} is cut short or damaged: {why}; what comes before that was read"
LEFT_OUT = "{name}: {count} of its entries are not unpacked, such as {first}"
_HEADER_BYTES_MAX = 1 << 20  # Of one entry: a long name is a header of its own.
_CHUNK_BYTES = 1 << 16
_PARTS_MAX = 40
_PACKED_FILE_BYTES_MAX = 64 << 20
_FIRST = ("run.json", "series.json", "summary.jsonl", "findings.json", "junit.xml", "junit-merged.xml")
"""What a merge needs is packed before what only a reader of the run looks at."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an archive may be unpacked to: bytes of its files together, and entries."""

    bytes_max: int = 4 << 30
    entries_max: int = 500_000


BOUNDS = Bounds()


class _Damaged(Exception):
    """The rest of an archive cannot be read; the message says why."""


def pack(folder: Path, bytes_max: int) -> tuple[bytes, list[str]]:
    """The files below *folder* as a .tar.gz of about *bytes_max* bytes at most; what was left out, a line each.

    Links, pipes, sockets and devices are left out without a word.
    """
    packed = io.BytesIO()
    left_out: list[str] = []
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        for name, size in sorted(_files_below(folder), key=lambda each: (_rank(each[0]), each[0])):
            # What is not written yet is in the buffers of the compression: some kilobytes.
            if size > _PACKED_FILE_BYTES_MAX or packed.tell() + size > bytes_max:
                left_out.append(f"{name}: {size >> 20:,} MiB")
                continue
            try:
                content = read_bytes(folder, name, _PACKED_FILE_BYTES_MAX)
            except Unreadable as error:
                left_out.append(str(error))
                continue
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return packed.getvalue(), left_out


def _rank(name: str) -> int:
    last = name.rpartition("/")[2]
    return _FIRST.index(last) if last in _FIRST else len(_FIRST)


def _files_below(folder: Path) -> Iterator[tuple[str, int]]:
    """The regular files below *folder*, as paths below it, with their sizes. Follows no link."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                found = list(entries)
        except OSError:
            continue  # A folder that the suite has locked or removed.
        for entry in found:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            elif entry.is_file(follow_symlinks=False):
                yield name, entry.stat(follow_symlinks=False).st_size


def is_archive(path: Path) -> bool:
    """Whether *path* is named as an archive."""
    return path.name.endswith(ENDINGS) and not path.is_dir()


def unpack_file(path: Path, target: Path) -> list[str]:
    """Unpack the archive at *path* into the new folder *target*; as `unpack`. Raises Unreadable, and OSError."""
    with open_path(path) as stream:
        return unpack(stream, target, str(path))


def unpack(stream: BinaryIO, target: Path, name: str, bounds: Bounds = BOUNDS) -> list[str]:
    """Unpack a .tar.gz into the new folder *target*; what could not be read or is not unpacked, a line each.

    *name*: the archive, for those lines. Raises OSError if *target* cannot be written.
    """
    target.mkdir(parents=True)
    unpacking = _Unpacking(target, bounds)
    problems = []
    try:
        unpacking.run(stream)
    except (_Damaged, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
        problems.append(CUT_SHORT.format(name=name, why=error))
    if unpacking.refused:
        problems.append(LEFT_OUT.format(name=name, count=unpacking.refused_count, first=unpacking.refused))
    return problems


class _Rationed(io.RawIOBase):
    """What *source* decompresses to, but no more than *ration* bytes, which its user raises step by step."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self.ration = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(_CHUNK_BYTES if size < 0 else min(size, _CHUNK_BYTES))
        self.ration -= len(chunk)
        if self.ration < 0:
            raise _Damaged("a header is larger than any that parasuite or tar writes")
        return chunk


class _Unpacking:
    """One archive. *refused*: the first entry that was not unpacked, with the reason; *refused_count*: how many."""

    def __init__(self, target: Path, bounds: Bounds) -> None:
        self._target = target
        self._bounds = bounds
        self._bytes_left = bounds.bytes_max
        self.refused = ""
        self.refused_count = 0

    def run(self, stream: BinaryIO) -> None:
        with gzip.GzipFile(fileobj=stream) as decompressed:
            rationed = _Rationed(decompressed)
            rationed.ration = _HEADER_BYTES_MAX
            with tarfile.open(fileobj=rationed, mode="r|") as archive:
                for count, member in enumerate(archive, 1):
                    if count > self._bounds.entries_max:
                        raise _Damaged(f"it has more than {self._bounds.entries_max:,} entries")
                    self._bytes_left -= max(0, member.size)
                    if self._bytes_left < 0:
                        raise _Damaged(f"it has more than {self._bounds.bytes_max >> 20:,} MiB")
                    rationed.ration = _HEADER_BYTES_MAX + member.size
                    self._one(archive, member)
                    archive.members.clear()  # type: ignore[attr-defined]  # Else it would remember every entry.

    def _one(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = PurePosixPath(member.name).parts
        if member.issym() or member.islnk():
            if parts[-1:] != ("latest",):
                self._refuse(member, "a link")
            return
        if not member.isdir() and not member.isreg():
            self._refuse(member, "neither a file nor a folder")
        elif why := _why_not(member.name, parts):
            self._refuse(member, why)
        elif parts:
            self._write(archive, member, self._target.joinpath(*parts))

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        try:
            (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
            descriptor = None if member.isdir() else os.open(path, NEW_FILE, 0o666)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            self._refuse(member, "there is another entry of that name")
            return
        if descriptor is None:
            return
        content = archive.extractfile(member)
        with os.fdopen(descriptor, "wb") as written:
            while content is not None and (chunk := content.read(_CHUNK_BYTES)):
                written.write(chunk)

    def _refuse(self, member: tarfile.TarInfo, why: str) -> None:
        self.refused_count += 1
        self.refused = self.refused or f"{member.name!r:.200} ({why})"


def _why_not(name: str, parts: tuple[str, ...]) -> str:
    """Why no file is made with this *name*; "" if it stays below the target."""
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        return "its name leads outside"
    if len(parts) > _PARTS_MAX or any(len(part.encode(errors="surrogateescape")) > 255 for part in parts):
        return "its name is too long"
    return ""
