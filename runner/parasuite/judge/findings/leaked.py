"""`leaked`: a listener that outlived its test.

Theory of operation. A thread runs one test after another. When it makes a call in a test, the test that it was in
before is over, function-scoped fixtures included, and so are the processes that belong to that test. What still
listens GRACE_NS later was left behind: a release is told some milliseconds late. What a fixture of a wider scope
opened is meant to stay, and is not considered; nor is a test after which its thread made no call, since nothing shows
that it is over.

A listener of a test that is over and that refuses a bind of a later test needs no such patience: the refusal proves
that it is there (`Knowledge.left_behind`).

A listener that is opened by the first test that needs it, and kept for those that follow, looks the same. So it is a
note, and grave only once it refuses a bind of a later test (refused.py).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause
from parasuite.model.events import Event, ProcessEvent
from parasuite.model.words import AttributedBy, Protocol, Role

GRACE_NS = 100_000_000
_Test: TypeAlias = tuple[int, str]  # The copy, and the test's id.


class Leaked:
    """*_running*: the test that each thread (pid and thread id) was last seen in."""

    def __init__(self) -> None:
        self._running: dict[tuple[int, int], _Test] = {}
        self._opened_in: dict[_Test, dict[OpenHold, None]] = defaultdict(dict)
        self._due: deque[tuple[int, OpenHold]] = deque()

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        while self._due and self._due[0][0] < event.t_ns:
            hold = self._due.popleft()[1]
            if hold.released_ns is None and hold.listening:
                yield _cause(hold, knowledge)
        if isinstance(event, ProcessEvent) and (over := self._test_before(event)):
            for hold in self._opened_in.pop(over, {}):
                if hold.endpoint.protocol == Protocol.TCP or knowledge.explicit_port(hold):
                    knowledge.left_behind.add(hold)
                    self._due.append((event.t_ns + GRACE_NS, hold))
        for hold in changes.opened:
            if (test := _test_of(hold)) and not hold.caller.fixture_scope.outlives_test:
                self._opened_in[test][hold] = None
        for hold in changes.closed:
            knowledge.left_behind.discard(hold)
            if (test := _test_of(hold)) and test in self._opened_in:
                self._opened_in[test].pop(hold, None)

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenCause]:
        del knowledge
        return ()

    def _test_before(self, event: ProcessEvent) -> _Test | None:
        """The test that the thread of *event* was in before, if that is over by now."""
        caller, party = event.caller, event.party
        if party is None or not caller.test or caller.attribution is not AttributedBy.THREAD:
            return None
        thread, test = (caller.process.pid, caller.tid), (party.copy, caller.test)
        before = self._running.get(thread)
        self._running[thread] = test
        return before if before != test else None


def _test_of(hold: OpenHold) -> _Test | None:
    return (hold.party.copy, hold.caller.test) if hold.party is not None and hold.caller.test else None


def leak_charge(hold: OpenHold, knowledge: Knowledge) -> Charge:
    """By the function, or program, that left *hold* open."""
    return Charge(Cause.LEAKED, hold.endpoint.protocol, knowledge.side_of_hold(Role.HOLDER, hold).origin)


def _cause(hold: OpenHold, knowledge: Knowledge) -> SeenCause:
    return SeenCause(
        charge=leak_charge(hold, knowledge),
        evidence=hold.evidence,
        endpoint=hold.endpoint,
        sides=(knowledge.side_of_hold(Role.HOLDER, hold),),
    )
