"""What a worker of the cluster does for a client: one run, which the client renews, stops and fetches.

Theory of operation. Dask starts a task again if its worker was lost, cannot stop one that runs, and does not tell it
that its client is gone. So a run begins by making the folder that is named after its key: if the folder exists, the
run was started before, and the second start is refused. The run is stopped when the worker dies (see `guardian`),
when the client has not renewed it for the time of its lease, and when the client says so. The client removes the
folder once it has what is in it. If it never does, the folder stays there, so the run can be found.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from distributed import Worker, get_worker

from parasuite.hosts.order import HostResult, Order
from parasuite.record.archives import pack
from parasuite.record.removal import remove_tree

SECOND_START = "it was started before: its worker was restarted in the middle of it"
NOT_RENEWED = "the client has not been heard of"
STOPPED_BEFORE = "it was stopped before it began"
_LOOKS_EVERY_S = 0.2
_LINES_MAX = 5_000
_LINE_CHARACTERS_MAX = 2_000
_LAST_LINES = 5
_ALL_READ_AFTER_S = 10.0


class RunRefused(Exception):
    """A run that is not begun, or whose result no client waits for; the message says why."""


@dataclass(slots=True)
class _State:
    """Of one run of this worker. *stops*: how often the client has asked to stop it."""

    renewed_s: float = field(default_factory=time.monotonic)
    stops: int = 0
    has_begun: bool = False


_STATES: dict[str, _State] = {}
"""By the keys of the runs; the event loop of the worker and the thread of the task share it."""


def folder_of(key: str) -> Path:
    """The folder of a run on its host."""
    return Path(tempfile.gettempdir()) / f"parasuite-{key}"


def renew(key: str, stops: int) -> bool:
    """Called by the client every few seconds: the run goes on, and was asked to stop *stops* times so far.

    Whether it has begun.
    """
    state = _STATES.setdefault(key, _State())
    state.renewed_s, state.stops = time.monotonic(), stops
    return state.has_begun


def discard(key: str) -> str:
    """Remove what is left of the run; "" or a line that says what could not be removed."""
    _STATES.pop(key, None)
    folder = folder_of(key)
    return remove_tree(folder) if folder.exists() else ""


def run_here(order: Order) -> HostResult:
    """The task. Raises RunRefused, and OSError if the host cannot run anything."""
    state = _STATES.setdefault(order.key, _State())
    state.renewed_s = time.monotonic()
    folder = folder_of(order.key)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise RunRefused(SECOND_START) from None
    if state.stops:
        raise RunRefused(STOPPED_BEFORE)
    state.has_begun = True
    command = [sys.executable, "-P", "-m", "parasuite", "run", f"--output-dir={folder / 'out'}", *order.arguments]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "parasuite.hosts.guardian", json.dumps(command)],
        cwd=order.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    ) as guardian:
        assert guardian.stdin is not None
        assert guardian.stdout is not None
        printed = _Printed(order, get_worker(), io.BufferedReader(guardian.stdout))  # type: ignore[type-var]
        reader = threading.Thread(target=printed.read, daemon=True)
        reader.start()
        _watch(order, state, guardian, guardian.stdin)
        reader.join(_ALL_READ_AFTER_S)
    archive, left_out = pack(folder / "out", order.archive_bytes_max)
    return HostResult(
        exit_code=guardian.returncode,
        archive=archive,
        left_out=tuple(left_out),
        last_lines=tuple(printed.last),
    )


def _watch(order: Order, state: _State, guardian: subprocess.Popen[bytes], orders: IO[bytes]) -> None:
    """Pass on what the client asks for until the run has ended. Raises RunRefused if there is no client any more."""
    stopped = 0
    is_deserted = False
    while guardian.poll() is None:
        if not is_deserted and time.monotonic() - state.renewed_s > order.lease_s:
            is_deserted = True
            orders.close()
        if stopped < state.stops and not is_deserted:
            stopped += 1
            with contextlib.suppress(BrokenPipeError):  # It has just ended.
                orders.write(b"stop\n")
        time.sleep(_LOOKS_EVERY_S)
    if is_deserted:
        raise RunRefused(NOT_RENEWED)


class _Printed:
    """Sends each line that the run prints to the client, up to a bound, and keeps the *last* ones."""

    def __init__(self, order: Order, worker: Worker, stream: IO[bytes]) -> None:
        self._order, self._worker, self._stream = order, worker, stream
        self.last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)

    def read(self) -> None:
        count = 0
        while line := self._stream.readline(_LINE_CHARACTERS_MAX):
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.last.append(text)
            count += 1
            if count <= _LINES_MAX:
                self._worker.log_event(self._order.topic, {"key": self._order.key, "text": text})
