"""A pytest plug-in that runs only the tests in a file: those of the finding that `parasuite repro` provokes.

Ids as arguments would not do: pytest reads them relative to the folder that it was started in, and writes them
relative to its root folder, and a command line has room for some thousands only.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

_OPTION = "--parasuite-selected"


def pytest_addoption(parser: Any) -> None:
    parser.addoption(_OPTION, metavar="FILE", help="run only the tests whose ids are in this list (JSON)")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    with open(config.getoption(_OPTION), encoding="utf-8") as stream:
        wanted = set(json.load(stream))
    selected: list[Any] = []
    deselected: list[Any] = []
    for item in items:
        # A file that could not be collected is in the list by its own name.
        is_wanted = item.nodeid in wanted or item.nodeid.partition("::")[0] in wanted
        (selected if is_wanted else deselected).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = selected
