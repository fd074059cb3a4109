"""The exact sensor as the supervisor runs it: a SyscallWatch, its file of events, its states."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterable, Sequence

from parasuite.model.events import Event, SensorState
from parasuite.model.lines import encode
from parasuite.model.overlap import canonical_address, is_loopback, is_wildcard
from parasuite.model.suspect import Suspect
from parasuite.model.words import SensorStatus
from parasuite.sensors.seccomp.filter import Installed
from parasuite.sensors.seccomp.watch import NAME, SyscallWatch

# At most this much is lost if the supervisor is killed.
GATHERED_S, GATHERED_EVENTS = 0.1, 256


class SeccompSensor:
    """*events_path*: the file to append events to. *addresses*: this host's own. *page_folders*: by copy, where its
    recorders publish tests and lines; () without recorders. *is_recorded*: the recorders write events of their own.
    *events_bytes_max*: of the file; past it the sensor is blind, and only its own states are written. *copy_of*,
    *poll*: as for SyscallWatch.

    Raises OSError if the file or the kernel's tables cannot be opened.
    """

    def __init__(
        self,
        *,
        events_path: str,
        addresses: Iterable[str],
        page_folders: Sequence[str],
        is_recorded: bool,
        events_bytes_max: int,
        copy_of: Callable[[int], int | None],
        poll: select.poll,
    ) -> None:
        local = {canonical_address(address) for address in addresses}
        self._unwritten: list[Event] = []
        self._write_at_s: float | None = None
        self._descriptor = os.open(events_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._bytes_left = events_bytes_max
        self._written = 0
        self._failed = False
        self._lost = ""
        self._watch = SyscallWatch(
            self._unwritten.append,
            copy_of,
            lambda address: is_loopback(address) or is_wildcard(address) or canonical_address(address) in local,
            dict(enumerate(page_folders)),
            poll,
            is_recorded,
            run_folder=os.path.dirname(os.path.dirname(events_path)),
        )
        self.record_state(SensorStatus.UP)

    def timeout_s(self) -> float | None:
        """After which time `serve` has work although no descriptor is ready; None: never."""
        due_s = [] if self._write_at_s is None else [max(0.0, self._write_at_s - time.monotonic())]
        watch_s = self._watch.timeout_s()
        return min(due_s if watch_s is None else [*due_s, watch_s], default=None)

    def adopt(self, copy: int, installed: Installed) -> None:
        """As SyscallWatch has it."""
        self._watch.adopt(copy, installed)

    def provoke(self, suspect: Suspect) -> None:
        """As SyscallWatch has it."""
        self._watch.provoke(suspect)

    def serve(self, ready: Sequence[tuple[int, int]]) -> None:
        """Serve the watch, then write the buffered events (batching is cheaper)."""
        self._watch.serve(ready)
        if self._watch.failure and not self._failed:
            self.record_state(SensorStatus.BLIND, self._watch.failure)
        if not self._unwritten:
            return
        now_s = time.monotonic()
        if self._write_at_s is None:
            self._write_at_s = now_s + GATHERED_S
        elif len(self._unwritten) >= GATHERED_EVENTS or now_s >= self._write_at_s:
            self._write()

    def record_state(self, state: SensorStatus, why: str = "") -> None:
        """Record the sensor's state. After the first "blind", no "down" is written."""
        self._failed = self._failed or state == SensorStatus.BLIND
        event = SensorState(
            t_ns=time.monotonic_ns(),
            source=NAME,
            sensor=NAME,
            state=state,
            why=why,
            calls=self._watch.calls,
            cpu_s=round(time.process_time(), 3),
        )
        self._unwritten.append(event)
        self._write()

    def _write(self) -> None:
        is_full = self._bytes_left < 0
        kept = [event for event in self._unwritten if isinstance(event, SensorState) or not is_full]
        lines = "".join(encode(event) + "\n" for event in kept).encode()
        self._unwritten.clear()
        self._write_at_s = None
        self._written += len(kept)
        self._bytes_left -= len(lines)
        try:
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
        except OSError as error:
            self._lost = self._lost or (error.strerror or str(error))
        if self._bytes_left < 0 and not is_full:
            reached = f"it stopped recording after {self._written:,} events, the most that one run keeps"
            self.record_state(SensorStatus.BLIND, f"{reached}; run fewer of the tests in one run (-k, a folder)")

    def end(self) -> None:
        """Record what was observed less well than it could be, and close."""
        self._watch.finish()
        for note in self._watch.notes():
            self.record_state(SensorStatus.PARTIAL, note)
        if self._lost:
            # If there is no room for this either, the missing "down" says the same.
            with contextlib.suppress(OSError):
                os.write(self._descriptor, b"\n")  # Or a torn line would take this with it.
            self.record_state(SensorStatus.BLIND, f"its events could not all be written: {self._lost}")
        if not self._failed:
            self.record_state(SensorStatus.DOWN)
        self._write()
        self.close()

    def close(self) -> None:
        """Close every descriptor; in a forked child too."""
        self._watch.close()
        os.close(self._descriptor)
