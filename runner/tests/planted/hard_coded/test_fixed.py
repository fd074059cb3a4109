"""The same number in every copy, one copy after the other: no bind fails, and the next run may be unlucky."""

import fcntl
import os
import socket
from pathlib import Path


def test_a_server_on_a_fixed_port(port, until_seen):
    turn = Path(os.environ["PARASUITE_COPY_DIR"]).parent / "turn"
    with turn.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            until_seen(port)
