"""The exact sensor as the supervisor runs it: one Watch, its file of events, its account of itself."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from parasuite.endpoints import canonical_address, is_loopback, is_wildcard
from parasuite.events import SensorState, encode
from parasuite.sensors import seccomp
from parasuite.sensors.watch import NAME, Watch


class Exact:
    """*message*: the orchestrator's, with *events* (a file), *addresses* (this host's), *pages* (copy to folder),
    *recorded*.

    Raises OSError where the file or the kernel's tables are not to be had.
    """

    def __init__(self, message: dict[str, Any], copy_of: Callable[[int], int | None]) -> None:
        local = {canonical_address(address) for address in message["addresses"]}
        pages = {int(copy): folder for copy, folder in message["pages"].items()}
        self._lines: list[str] = []
        self._descriptor = os.open(message["events"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._failed = False
        self._watch = Watch(
            lambda event: self._lines.append(encode(event)),
            copy_of,
            lambda address: is_loopback(address) or is_wildcard(address) or canonical_address(address) in local,
            pages,
            message["recorded"],
        )
        self.say("up")

    def fileno(self) -> int:
        return self._watch.fileno()

    def timeout_s(self) -> float | None:
        """As Watch has it."""
        return self._watch.timeout_s()

    def adopt(self, copy: int, installed: seccomp.Installed) -> None:
        """As Watch has it."""
        self._watch.adopt(copy, installed)

    def serve(self) -> None:
        """Handle what has arrived and write it down."""
        self._watch.serve()
        if self._watch.failure and not self._failed:
            self.say("blind", self._watch.failure)
        self._flush()

    def say(self, state: str, why: str = "") -> None:
        """Write down how the sensor is; once it was blind in one thing, it does not end in order."""
        self._failed = self._failed or state == "blind"
        event = SensorState(
            t_ns=time.monotonic_ns(),
            source=NAME,
            sensor=NAME,
            state=state,
            why=why,
            calls=self._watch.counts["call"],
            cpu_s=round(time.process_time(), 3),
        )
        self._lines.append(encode(event))
        self._flush()

    def _flush(self) -> None:
        # A full disk loses events; the orchestrator writes to the same one, and says so.
        if self._lines:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()

    def end(self) -> None:
        """Say what was seen worse than it could have been, and close."""
        for note in self._watch.notes():
            self.say("partial", note)
        if not self._failed:
            self.say("down")
        self.close()

    def close(self) -> None:
        """Close every descriptor; in a forked child too."""
        self._watch.close()
        os.close(self._descriptor)
