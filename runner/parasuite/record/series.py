"""The folder of a series: which runs belong together, and the reports about all of them."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

from parasuite.model.series_record import FILE_BYTES_MAX, FILE_NAME, SeriesRecord, SeriesRecordError
from parasuite.record.output_folder import at_or_latest, link_latest, make_base, new_locked_folder, replace_file
from parasuite.record.removal import remove_tree
from parasuite.record.run_folder import RunFolderError
from parasuite.record.untrusted import Unreadable, read_json


class SeriesFolder:
    """`series.json` and the reports of a series. Its runs stay where they are, in folders of their own.

    series.json is written before the first copy of each round starts. So whatever ends parasuite, the rounds so far
    can be reported, the last one as far as it got.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def series_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, base: Path) -> SeriesFolder:
        """A new folder below *base*/series, to which *base*/latest points.

        It is locked while this process lives, or until `close`, so that no other parasuite removes it or its runs.
        Raises RunFolderError if *base* cannot be written.
        """
        try:
            make_base(base, "series")
            path, descriptor = new_locked_folder(base / "series")
        except OSError as error:
            raise RunFolderError(
                f"cannot write the folder {base / 'series'}: {error.strerror}; name another with --output-dir"
            ) from error
        folder = cls(path)
        folder._lock = descriptor
        link_latest(base, path)
        return folder

    @classmethod
    def create_at(cls, path: Path) -> SeriesFolder:
        """A new folder at *path*, outside any output folder. Raises RunFolderError, also if there is one."""
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise RunFolderError(f"{path} exists: name a folder that does not") from error
        except OSError as error:
            raise RunFolderError(f"{path} cannot be made: {error.strerror}") from error
        return cls(path.resolve())

    @classmethod
    def find(cls, path: Path) -> SeriesFolder | None:
        """The series at *path*, or the latest one below it; None if *path* is something else."""
        found = at_or_latest(path, FILE_NAME)
        return None if found is None else cls(found)

    def discard(self) -> None:
        """Remove the folder, which this process has just made."""
        self.close()
        remove_tree(self.path)

    def close(self) -> None:
        """Let other runs remove the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def new_folder(self, kind: str, name: str) -> Path:
        """A path below the series for the runs of one source, where nothing is yet: *kind*/001-*name*."""
        parent = self.path / kind
        count = len(list(parent.iterdir())) if parent.exists() else 0
        return parent / f"{count + 1:03d}-{name}"

    def relative(self, run: Path) -> str:
        """The folder of a run as series.json names it."""
        return PurePosixPath(os.path.relpath(run, self.path)).as_posix()

    def run_path(self, name: str) -> Path:
        """The folder of the run that series.json names so."""
        return Path(os.path.normpath(self.path / name))

    def write(self, name: str, text: str) -> None:
        """Replace the file *name* in one step. Raises OSError."""
        replace_file(self.path, name, text)

    def write_record(self, record: SeriesRecord) -> None:
        """Replace series.json. Raises OSError."""
        self.write(FILE_NAME, json.dumps(record.to_json(), indent=1) + "\n")

    def read_record(self) -> SeriesRecord:
        """What `write_record` wrote. Raises RunFolderError for everything else."""
        try:
            return SeriesRecord.from_json(read_json(self.path, FILE_NAME, FILE_BYTES_MAX))
        except Unreadable as error:
            raise RunFolderError(f"the series {self.path} cannot be read: {error}") from error
        except SeriesRecordError as error:
            raise RunFolderError(f"{self.path / FILE_NAME} {error}") from error
