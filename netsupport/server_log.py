"""What a server's processes wrote: a file without a name, since a pipe would stop a server that nobody reads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

KEPT_BYTES_MAX = 1_000_000


class ServerLog:
    """Standard output and error of a server, in order. Readable while it runs, and, its end, after `close()`."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="netsupport-", suffix=".log")
        os.close(descriptor)
        self._path = Path(name)
        # Appending, so that two processes that open /dev/stdout do not overwrite each other.
        self.sink = self._path.open("ab", buffering=0)
        self._reader = self._path.open("rb", buffering=0)
        self._last = ""
        with contextlib.suppress(PermissionError):
            # Without a name it is gone even if this process is killed. Windows unlinks no open file.
            self._path.unlink()

    def beginning(self) -> str:
        """The first KEPT_BYTES_MAX bytes: where a server says its port."""
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
        """Keep the end and let the file go."""
        self._last = self.end()
        self._reader.close()
        self.sink.close()
        self._path.unlink(missing_ok=True)
