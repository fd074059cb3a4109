"""The owner of a port is killed by SIGKILL: whatever the guarantee, nothing that it had is left."""

from __future__ import annotations

from typing import Any

import pytest

KEPT = {"kept while it lived": True, "server ended": True, "free again": True}


@pytest.mark.parametrize(
    "rung", ["socket", "passed", "read-back", "reserved server", "hold", "hold-through", "lease"]
)
def test_the_port_of_a_killed_owner_is_free_again(scene: Any, rung: str) -> None:
    assert scene("sigkilled", rung) == KEPT


def test_a_picked_port_is_not_kept(scene: Any) -> None:
    assert scene("sigkilled", "pick") == KEPT | {"kept while it lived": False}
