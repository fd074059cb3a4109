"""ForkingMixIn polls the children that it started, one by one, and at its limit waits for any of them.

The promise is in the library reference, "socketserver", ForkingMixIn, and in waitpid(2), a stub here.
"""

from __future__ import annotations

import os
import socketserver
from typing import Any

import pytest

Wait = tuple[int, int]


class Waits:
    """A stub for os.waitpid with given results; `asked` has its arguments."""

    def __init__(self, *answers: Wait | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Wait] = []

    def __call__(self, pid: int, flags: int) -> Wait:
        self.asked.append((pid, flags))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def mixin_with(children: set[int] | None, monkeypatch: pytest.MonkeyPatch, *answers: Wait | Exception) -> Any:
    """A bare ForkingMixIn with these *children*, and what waitpid answers in `waits`."""
    mixin: Any = socketserver.ForkingMixIn()
    mixin.active_children = children
    mixin.waits = Waits(*answers)
    monkeypatch.setattr(os, "waitpid", mixin.waits)
    return mixin


def test_defaults_are_forty_children_five_minutes_and_waiting_at_the_end() -> None:
    mixin: Any = socketserver.ForkingMixIn
    assert (mixin.max_children, mixin.timeout, mixin.block_on_close, mixin.active_children) == (40, 300, True, None)


def test_a_server_that_never_forked_has_nothing_to_collect(monkeypatch: pytest.MonkeyPatch) -> None:
    mixin = mixin_with(None, monkeypatch)
    mixin.collect_children(blocking=True)
    assert (mixin.active_children, mixin.waits.asked) == (None, [])


@pytest.mark.parametrize(("named", "flags"), [({}, os.WNOHANG), ({"blocking": True}, 0)], ids=["default", "blocking"])
def test_children_are_polled_one_by_one_and_waited_for_only_on_request(
    named: dict[str, bool], flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixin = mixin_with({101}, monkeypatch, (0, 0), (101, 0))
    mixin.collect_children(**named)
    assert (mixin.active_children, mixin.waits.asked) == ({101}, [(101, flags)])
    mixin.collect_children(**named)
    assert mixin.active_children == set()


@pytest.mark.parametrize(
    ("children_max", "asked"),
    [
        pytest.param(4, [(101, os.WNOHANG)] * 3, id="below the limit"),
        pytest.param(3, [(-1, 0), (101, os.WNOHANG), (101, os.WNOHANG)], id="at the limit"),
        pytest.param(2, [(-1, 0), (-1, 0), (101, os.WNOHANG)], id="above the limit"),
    ],
)
def test_at_the_limit_any_child_is_waited_for_until_there_are_fewer(
    children_max: int, asked: list[Wait], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixin = mixin_with({101, 102, 103}, monkeypatch)
    mixin.max_children = children_max
    left = sorted(mixin.active_children)

    def waitpid(pid: int, flags: int) -> Wait:
        mixin.waits.asked.append((-1 if pid == -1 else 101, flags))
        return (left.pop() if pid == -1 else 0), 0

    monkeypatch.setattr(os, "waitpid", waitpid)
    mixin.collect_children()
    assert (mixin.waits.asked, mixin.active_children) == (asked, set(left))


def test_at_the_limit_without_any_child_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    mixin = mixin_with({101, 102}, monkeypatch, ChildProcessError("none"))
    mixin.max_children = 1
    mixin.collect_children()
    assert (mixin.active_children, mixin.waits.asked) == (set(), [(-1, 0)])


def test_an_error_while_waiting_leaves_the_children_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = OSError("interrupted")
    mixin = mixin_with({101}, monkeypatch, failure, failure)
    mixin.max_children = 1
    mixin.collect_children()
    assert (mixin.active_children, mixin.waits.asked) == ({101}, [(-1, 0), (101, os.WNOHANG)])
