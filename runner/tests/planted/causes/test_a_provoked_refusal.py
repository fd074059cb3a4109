"""A test that is refused a fixed port, as it expects, and fails for another reason."""

import errno
import socket

import pytest


def test_that_fails_for_another_reason(ports, in_the_way):
    port = ports["provoked"]

    def is_refused():
        with pytest.raises(OSError) as refused:
            socket.create_server(("127.0.0.1", port))
        assert refused.value.errno == errno.EADDRINUSE

    in_the_way(lambda: socket.create_server(("127.0.0.1", port)), is_refused)
    assert not in_the_way, "another reason"
