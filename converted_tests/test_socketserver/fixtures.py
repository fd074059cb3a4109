"""A class of server, skipped where its family of addresses is off."""

from __future__ import annotations

import socket
import socketserver

import pytest


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> type[socketserver.TCPServer]:
    """The class named by an indirect parameter."""
    server_class: type[socketserver.TCPServer] = request.param
    if server_class.address_family == socket.AF_INET6:
        request.getfixturevalue("ipv6")
    return server_class
