"""A daemon that forked twice, called setsid, ignores SIGTERM and keeps its listener when the copy is over."""

import os
import signal
import socket


def test_a_daemon_is_left_behind():
    server = socket.create_server(("127.0.0.1", 0))
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pause()
        os._exit(0)
    os.wait()
    server.close()
