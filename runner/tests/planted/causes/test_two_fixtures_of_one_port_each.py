"""Two fixtures, each with a fixed port; the copies use them one after the other."""

import socket

import pytest


@pytest.fixture
def mail(ports, in_turn):
    in_turn(lambda: _mail(ports["mail"]))


def _mail(port):
    socket.create_server(("127.0.0.1", port)).close()


@pytest.fixture
def web(ports, in_turn):
    in_turn(lambda: _web(ports["web"]))


def _web(port):
    socket.create_server(("127.0.0.1", port)).close()


def test_with_mail(mail):
    pass


def test_with_web(web):
    pass
