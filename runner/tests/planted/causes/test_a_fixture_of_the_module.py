"""A module's fixture with a fixed port: its error is raised again in each of its tests."""

import socket

import pytest


@pytest.fixture(scope="module")
def service(ports, meet_as, copy):
    port = ports["module"]
    if copy == 0:
        with socket.create_server(("127.0.0.1", port)):
            meet_as("module", "held")
            meet_as("module", "tried")
            yield
    else:
        meet_as("module", "held")
        try:
            server = socket.create_server(("127.0.0.1", port))
        finally:
            meet_as("module", "tried")
        server.close()
        yield


def test_first_with_the_service(service):
    pass


def test_second_with_the_service(service):
    pass


def test_third_with_the_service(service):
    pass
