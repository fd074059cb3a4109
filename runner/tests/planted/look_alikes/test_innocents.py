"""What looks like a defect and is none."""

import os
import random
import socket
import struct
import threading


def test_a_copy_refuses_itself():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as second:
        try:
            second.bind(server.getsockname())
        except OSError:
            return
    raise AssertionError


def test_a_connection_of_ones_own_and_its_time_wait_refuse():
    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()
    client = socket.create_connection(address)
    accepted, _ = server.accept()
    server.close()
    accepted.close()
    client.recv(1)
    client.close()
    with socket.socket() as again:
        try:
            again.bind(address)
        except OSError:
            return
    raise AssertionError


def test_equal_numbers_on_addresses_of_each_copys_own():
    copy = int(os.environ["PARASUITE_COPY"])
    with socket.create_server((f"127.0.1.{copy + 1}", int(os.environ["PLANTED_PORT"]))):
        pass


def test_reuseport_inside_one_copy():
    sockets = []
    number = 0
    for _ in range(3):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", number))
        number = sock.getsockname()[1]
        sock.listen()
        sockets.append(sock)
    for sock in sockets:
        sock.close()


def test_one_socket_in_many_processes():
    server = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        server.listen()
        os._exit(0)
    os.waitpid(pid, 0)
    server.close()


def test_random_explicit_ports_of_datagram_clients():
    peer = socket.socket(type=socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    for _ in range(50):
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            try:
                client.bind(("127.0.0.1", random.SystemRandom().randrange(20000, 30000)))
            except OSError:
                continue
            client.connect(peer.getsockname())
    peer.close()


def test_sockets_bound_and_never_listening():
    for _ in range(20):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))


def test_a_client_of_its_own_server_in_another_thread():
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        server.accept()[0].close()

    thread = threading.Thread(target=answer)
    thread.start()
    socket.create_connection(server.getsockname()).close()
    thread.join()
    server.close()


def test_options_that_were_set_after_the_bind_let_this_copy_in_twice():
    with socket.socket() as held, socket.socket() as second:
        held.bind(("127.0.0.1", 0))
        for sock in (held, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.bind(held.getsockname())


def test_addresses_that_python_itself_refuses():
    for address in (("127.0.0.1", "1"), ("127.0.0.1", 65536), ("::1", 1)):
        with socket.socket() as sock:
            try:
                sock.bind(address)
            except (TypeError, OverflowError, OSError):
                continue
        raise AssertionError(address)


def test_port_0_of_a_range_that_this_copy_has_taken():
    with socket.socket() as held, socket.socket() as second:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        try:
            second.setsockopt(
                socket.IPPROTO_IP, 51, struct.pack("@I", port << 16 | port)
            )  # IP_LOCAL_PORT_RANGE of ip(7).
        except OSError:
            return  # A kernel before 6.3.
        try:
            second.bind(("127.0.0.1", 0))
        except OSError:
            return
    raise AssertionError


def test_a_unix_socket_in_the_tests_own_folder(tmp_path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.bind(str(tmp_path / f"{kind}.sock"))


def test_a_unix_path_that_its_own_copy_binds_again(tmp_path):
    path = tmp_path / "it.sock"
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for sock in (first, second):
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            sock.listen()


def test_a_unix_path_that_can_never_be_bound():
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind("/nonexistent/folder/it.sock")
        except OSError:
            return
    raise AssertionError


def test_a_unix_path_that_a_file_is_in_the_way_of(tmp_path):
    (tmp_path / "it.sock").touch()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(str(tmp_path / "it.sock"))
        except OSError:
            return
    raise AssertionError


def test_a_unix_socket_that_is_passed_to_another_process(tmp_path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "it.sock"))
    server.listen()
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        server.close()
        _, (descriptor,), _, _ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=descriptor) as passed:
            passed.accept()[0].close()
        os._exit(0)
    socket.send_fds(here, [b"x"], [server.fileno()])
    server.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "it.sock"))
        assert client.recv(1) == b""
    os.waitpid(pid, 0)
