"""A client of a port that was given back: it expects that nobody answers, and nobody does."""

import socket

import pytest


def refusing_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_client_without_a_server():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", refusing_port()))
