"""Every way to get a port that the benchmarks compare; those of other libraries where they are installed."""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netsupport import find_unused_port, reserve_port


@dataclass(frozen=True, slots=True)
class Method:
    """*take* returns a port and a function that releases it. *reuses*: the later bind sets SO_REUSEADDR."""

    name: str
    take: Callable[[], tuple[int, Callable[[], None]]]
    reuses: bool
    draws_max: int = 1_000_000
    """How many ports a small range can give before it is used up."""


def _nothing() -> None:
    """Releases a port that was not reserved."""


def _reserved(**options: Any) -> Callable[[], tuple[int, Callable[[], None]]]:
    def take() -> tuple[int, Callable[[], None]]:
        lease = reserve_port(**options)
        return lease.port, lease.release

    return take


def _picked(pick: Callable[[], int]) -> Callable[[], tuple[int, Callable[[], None]]]:
    return lambda: (int(pick()), _nothing)


def all_methods() -> list[Method]:
    """netsupport's, then the others' that can be imported."""
    methods = [
        Method("netsupport.reserve_port: hold-through", _reserved(), reuses=True),
        Method("netsupport.reserve_port: lease", _reserved(child_reuses_address=False), reuses=False),
        Method("netsupport.find_unused_port", _picked(find_unused_port), reuses=True),
    ]
    with contextlib.suppress(ImportError):
        methods.append(Method("portpicker", _picked(importlib.import_module("portpicker").pick_unused_port), True))
    with contextlib.suppress(ImportError):
        reserve = importlib.import_module("ephemeral_port_reserve").reserve
        # Each port stays in TIME_WAIT for a minute: a range of 256 is used up by half as many.
        methods.append(Method("ephemeral-port-reserve", _picked(reserve), reuses=True, draws_max=60))
    with contextlib.suppress(ImportError):
        methods.append(Method("port-for", _picked(importlib.import_module("port_for").select_random), True))
    with contextlib.suppress(ImportError):
        factory = importlib.import_module("anyio.pytest_plugin").FreePortFactory(socket.SOCK_STREAM)
        # The factory never returns a port twice, and would loop for ever once a small range is used up.
        factory_type = type(factory)
        methods.append(Method("anyio", _picked(lambda: factory_type(socket.SOCK_STREAM)()), reuses=True))
    return methods
