"""The output of a server, in a file without a name: a pipe that nothing reads would fill up and block the server."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

KEPT_BYTES_MAX = 1_000_000


class ServerLog:
    """Standard output and error of a server, in order. The end of it can still be read after `close()`."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="netsupport-", suffix=".log")
        os.close(descriptor)
        self._path = Path(name)
        # Append mode, so that two processes that open /dev/stdout do not overwrite each other.
        self.sink = self._path.open("ab", buffering=0)
        self._reader = self._path.open("rb", buffering=0)
        self._last = ""
        with contextlib.suppress(PermissionError):
            # Without a name the file disappears even if this process is killed. Windows cannot unlink an open file.
            self._path.unlink()

    def beginning(self) -> str:
        """The first KEPT_BYTES_MAX bytes, where a server prints its port."""
        return self._read(0)

    def end(self) -> str:
        """The last KEPT_BYTES_MAX bytes."""
        if self._reader.closed:
            return self._last
        return self._read(max(0, os.fstat(self._reader.fileno()).st_size - KEPT_BYTES_MAX))

    def _read(self, start: int) -> str:
        self._reader.seek(start)
        return (self._reader.read(KEPT_BYTES_MAX) or b"").decode("utf-8", "backslashreplace")

    def close(self) -> None:
        """Keep the end in memory and delete the file."""
        self._last = self.end()
        self._reader.close()
        self.sink.close()
        self._path.unlink(missing_ok=True)
