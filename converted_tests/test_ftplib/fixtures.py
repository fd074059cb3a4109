"""Active mode, in which the client listens, without a listener that other hosts reach."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from converted_tests.peers import OfThisHost


@pytest.fixture(scope="module")
def active_mode_stays_on_this_host() -> Iterator[None]:
    """ftplib listens for an active transfer on the wildcard, by create_server; here such a server is `OfThisHost`."""
    create_server = socket.create_server

    def create(address: Any, **named: Any) -> socket.socket:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", OfThisHost)
            return create_server(address, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_server", create)
        yield
