"""The scenarios of asyncore's tests, and a map of channels that is empty again at the end of a test.

asyncore is imported only when one of its tests asks: importing it warns, and newer Pythons need a package for it.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from converted_tests.test_asyncore.support import Channels, Scenario


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Scenario:
    from converted_tests.test_asyncore.support import FAMILIES, Scenario

    name, waiting = request.param
    family = FAMILIES[name]
    if name == "ipv6":
        request.getfixturevalue("ipv6")
    if family is None:
        pytest.skip("Unix sockets are missing on this platform")
    if waiting == "poll" and not hasattr(select, "poll"):
        pytest.skip("select.poll is missing on this platform")
    return Scenario(family, tmp_path / "s", waiting == "poll")


@pytest.fixture
def channels() -> Iterator[Channels]:
    from converted_tests.test_asyncore.support import channel_map

    with channel_map() as own_map:
        yield own_map
