"""`leaked`: a listener that outlived its test.

Theory of operation. A thread runs one test after another. When it makes a call in a test, the test that it was in
before is over, function-scoped fixtures included, and so are the processes that belong to that test. What still
listens then was left behind. What a fixture of a wider scope opened is meant to stay, and is not considered; nor is a
test after which its thread made no call, since nothing shows that it is over.

The kernel's notice that a socket has ended may arrive late: on a busy machine by more than a second, many at once. So
a listener has leaked only if it is still open LATE_NS after its test, and if a socket that was opened later has been
reported as closed. A bind that the listener refuses before that is charged to it at once.

A listener that is opened by the first test that needs it, and kept for those that follow, looks the same. So it is a
note, and grave only once it refuses a bind of a later test (refused.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause
from parasuite.model.events import Event, ProcessEvent, Release
from parasuite.model.party import Party
from parasuite.model.words import AttributedBy, Protocol, Role

_Test: TypeAlias = tuple[int, str]  # The copy, and the test's id.


LATE_NS = 100_000_000


class Leaked:
    """*_running*: the test that each thread was last seen in; tasks of one thread that run tests at once are
    different parties. *_waiting*: when the test of a hold was seen to be over. *_reported_ns*: of the sockets whose
    end has been reported, when the youngest was opened.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[int, int, Party], _Test] = {}
        self._opened_in: dict[_Test, dict[OpenHold, None]] = defaultdict(dict)
        self._waiting: dict[OpenHold, int] = {}
        self._reported_ns = 0

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        while self._waiting and self._is_reported_by_now(next(iter(self._waiting.values())), event.t_ns):
            yield from self._has_leaked(next(iter(self._waiting)), knowledge)
        if isinstance(event, ProcessEvent) and (over := self._test_before(event)):
            for hold in self._opened_in.pop(over, {}):
                if hold.listening and (hold.endpoint.protocol == Protocol.TCP or knowledge.explicit_port(hold)):
                    knowledge.left_behind.add(hold)
                    self._waiting[hold] = event.t_ns
        for hold in changes.opened:
            if (test := _test_of(hold)) and not hold.caller.fixture_scope.outlives_test:
                self._opened_in[test][hold] = None
        for hold in changes.closed:
            if isinstance(event, Release) and event.is_timed:
                self._reported_ns = max(self._reported_ns, hold.start_ns)
            knowledge.left_behind.discard(hold)
            self._waiting.pop(hold, None)
            if (test := _test_of(hold)) and test in self._opened_in:
                self._opened_in[test].pop(hold, None)

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenCause]:
        del knowledge
        return ()

    def _is_reported_by_now(self, over_ns: int, now_ns: int) -> bool:
        """Whether the end of a socket would have been reported by *now_ns*, had it been closed by *over_ns*."""
        return now_ns - over_ns > LATE_NS and self._reported_ns >= over_ns

    def _has_leaked(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[SeenCause]:
        del self._waiting[hold]
        yield SeenCause(
            charge=leak_charge(hold, knowledge),
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            sides=(knowledge.side_of_hold(Role.HOLDER, hold),),
        )

    def _test_before(self, event: ProcessEvent) -> _Test | None:
        """The test that the thread of *event* was in before, if that is over by now."""
        caller, party = event.caller, event.party
        if party is None or not caller.test or caller.attribution is not AttributedBy.THREAD:
            return None
        thread, test = (caller.process.pid, caller.tid, party), (party.copy, caller.test)
        before = self._running.get(thread)
        self._running[thread] = test
        return before if before != test else None


def _test_of(hold: OpenHold) -> _Test | None:
    return (hold.party.copy, hold.caller.test) if hold.party is not None and hold.caller.test else None


def leak_charge(hold: OpenHold, knowledge: Knowledge) -> Charge:
    """By the function, or program, that left *hold* open."""
    return Charge(Cause.LEAKED, hold.endpoint.protocol, knowledge.side_of_hold(Role.HOLDER, hold).origin)
