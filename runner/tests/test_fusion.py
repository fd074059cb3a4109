"""Two sensors' accounts of one socket become one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.fusion import fuse
from parasuite.model.events import ATTEMPTED, Bind, CopyState, Endpoint, Event, Listen, Release, Seen, Unseen
from parasuite.model.words import CopyPhase, Protocol

from runner.tests.building import by

HERE = Endpoint(Protocol.TCP, "127.0.0.1", 8025)
INODE = 5


def seen(t_ns: int, endpoint: Endpoint = HERE) -> Seen:
    return Seen(t_ns=t_ns, source="sampler", caller=by(0, pid=1), endpoint=endpoint, socket=f"inode:{INODE}")


def unseen(t_ns: int) -> Unseen:
    return Unseen(t_ns=t_ns, source="sampler", caller=by(0, pid=1), endpoint=HERE, socket=f"inode:{INODE}")


def bind(t_ns: int, source: str = "seccomp") -> Bind:
    return Bind(t_ns=t_ns, source=source, caller=by(0, pid=1), cookie=9, inode=INODE, asked=HERE, got=HERE)


def listen(t_ns: int) -> Listen:
    return Listen(t_ns=t_ns, source="seccomp", caller=by(0, pid=1), cookie=9, inode=INODE, got=HERE)


def release(t_ns: int) -> Release:
    return Release(t_ns=t_ns, source="seccomp", cookie=9, inode=INODE)


def fused(*events: Event) -> list[Event]:
    return list(fuse(events))


def test_samples_of_a_socket_with_an_exact_account_are_dropped() -> None:
    exact = [bind(1), listen(2), release(9)]
    assert fused(exact[0], exact[1], seen(5), exact[2], unseen(10)) == exact


def test_a_sample_shows_that_a_bound_socket_listens() -> None:
    shown = fused(bind(1), seen(5))[1]
    assert isinstance(shown, Listen)
    assert (shown.cookie, shown.got, shown.errno, shown.t_ns) == (9, HERE, ATTEMPTED, 5)


def test_that_a_socket_listens_is_shown_once() -> None:
    assert [event.kind for event in fused(bind(1), seen(5), unseen(6), seen(7))] == ["bind", "listen"]


def test_a_sample_with_another_address_says_nothing_of_the_socket() -> None:
    mixed_up = seen(5, HERE._replace(port=8026))
    assert [event.kind for event in fused(bind(1), mixed_up)] == ["bind"]


def test_a_sample_taken_while_the_socket_ended_is_dropped() -> None:
    assert [event.kind for event in fused(bind(1), release(4), seen(5), unseen(8))] == ["bind", "release"]


def test_the_exact_account_of_a_sampled_socket_ends_the_sampled_one() -> None:
    assert [(event.kind, event.t_ns) for event in fused(seen(5), bind(6), unseen(8))] == [
        ("seen", 5),
        ("unseen", 6),
        ("bind", 6),
    ]


def test_a_sample_without_the_socket_ends_an_account_from_inside_the_process() -> None:
    ended = fused(bind(1, source="recorder"), unseen(8))[1]
    assert isinstance(ended, Release)
    assert (ended.cookie, ended.t_ns) == (9, 8)


def test_a_sample_without_the_socket_does_not_end_an_account_from_outside() -> None:
    assert [event.kind for event in fused(bind(1), unseen(8))] == ["bind"]


def test_a_sample_after_a_copys_end_is_dropped() -> None:
    gone = CopyState(t_ns=4, copy=0, state=CopyPhase.GONE)
    assert fused(bind(1), gone, seen(5)) == [bind(1), gone]


@pytest.mark.parametrize("errno", ["EADDRINUSE", "EACCES"])
def test_a_failed_bind_begins_no_account(errno: str) -> None:
    failed = Bind(t_ns=1, caller=by(0, pid=1), cookie=9, inode=INODE, asked=HERE, errno=errno)
    assert fused(failed, seen(5)) == [failed, seen(5)]


Step = Callable[[int], Event]
steps = st.lists(st.sampled_from([seen, unseen, bind, listen, release]), max_size=12)


@given(steps)
def test_a_socket_never_has_two_accounts_at_once(made: list[Step]) -> None:
    events = [step(t_ns) for t_ns, step in enumerate(made, 1)]
    sampled = exact = False
    for event in fused(*events):
        match event:
            case Seen():
                sampled = True
            case Unseen():
                sampled = False
            case Bind() | Listen():
                exact = True
            case Release():
                exact = False
        assert not (sampled and exact)


@given(steps)
def test_fusion_keeps_the_order_of_time(made: list[Step]) -> None:
    events = [step(t_ns) for t_ns, step in enumerate(made, 1)]
    times = [event.t_ns for event in fused(*events)]
    assert all(first <= second for first, second in itertools.pairwise(times))
