"""Which test of a Rust test binary a thread works for: libtest runs each test in a thread that it names after it.

The kernel keeps 15 bytes of a thread's name, and a thread that a test starts inherits it, unless it is given one of
its own (then it may work for any test). So threads of one name that may have been cut are either of one test or of
several. The first call of such a thread decides: if it is about a port that another thread of the name was assigned,
it belongs to that one's test (it serves there, or is its client); else it is a test of its own.
"""

from __future__ import annotations

from parasuite.model.events import Bind, Connect, ProcessEvent, Send
from parasuite.model.words import AttributedBy, Protocol
from parasuite.model.workers import Worker

_NAME_BYTES_MAX = 15


class TestThreads:
    """Learns from the events of a run, in order of time. Memory grows with the threads and their assigned ports."""

    __test__ = False

    def __init__(self) -> None:
        self._of_thread: dict[tuple[int, int, str], Worker] = {}
        self._of_port: dict[tuple[int, str, Protocol, int], Worker] = {}

    def worker(self, event: ProcessEvent) -> Worker | None:
        """The test thread that made the call of *event*; None if it was none."""
        caller = event.caller
        if caller.attribution is not AttributedBy.THREAD_NAME:
            return None
        process, tid, name = caller.process, caller.tid, caller.test
        if len(name.encode("utf-8", "backslashreplace")) < _NAME_BYTES_MAX:
            return Worker("libtest", name, process.pid, process.start_s)
        thread = (process.pid, tid, name)
        worker = self._of_thread.get(thread)
        if worker is None:
            worker = self._of_port_of(event) or Worker("libtest", name, tid, process.start_s)
            self._of_thread[thread] = worker
        if isinstance(event, Bind) and not event.asked.port and event.got is not None:
            self._of_port[process.pid, name, event.got.protocol, event.got.port] = worker
        return worker

    def _of_port_of(self, event: ProcessEvent) -> Worker | None:
        if isinstance(event, Bind):
            endpoint = event.asked
        elif isinstance(event, Connect | Send):
            endpoint = event.destination
        else:
            return None
        return self._of_port.get((event.caller.process.pid, event.caller.test, endpoint.protocol, endpoint.port))
