"""One socket in many processes, and SO_REUSEPORT inside one copy: nothing to report."""

import os
import socket


def _listener():
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


def _forked(body):
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return pid


def test_a_forked_child_has_the_listener_too(until_seen):
    server, port = _listener()
    stay_reader, stay_writer = os.pipe()

    def stay():
        os.close(stay_writer)
        os.read(stay_reader, 1)

    with server:
        child = _forked(stay)
        until_seen(port)
    os.close(stay_writer)
    os.waitpid(child, 0)


def test_a_listener_is_passed_to_another_process(until_seen):
    server, port = _listener()
    here, there = socket.socketpair()

    def take_over():
        here.close()
        server.close()
        _, (descriptor,), _, _ = socket.recv_fds(there, 1, 1)
        there.recv(1)
        os.close(descriptor)

    with here, there:
        child = _forked(take_over)
        socket.send_fds(here, [b"x"], [server.fileno()])
        until_seen(port)
        server.close()
        here.close()
        os.waitpid(child, 0)


def test_a_copy_shares_a_port_with_itself(until_seen):
    sockets = [socket.socket() for _ in range(2)]
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sockets[0].bind(("127.0.0.1", 0))
    port = sockets[0].getsockname()[1]
    sockets[1].bind(("127.0.0.1", port))
    for sock in sockets:
        sock.listen()
    until_seen(port)
    for sock in sockets:
        sock.close()
