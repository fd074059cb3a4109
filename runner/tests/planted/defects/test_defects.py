"""One defect a test, each named by what it is; copy 0 is there first, the others come in its way.

With PLANTED_APART=1, each copy has a network of its own: then none of them is in another's way there.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE = "127.0.0.1"
APART = os.environ.get("PLANTED_APART") == "1"


def listener(port, host=HERE, reuse_port=False, family=socket.AF_INET, kind=socket.SOCK_STREAM, v6only=True):
    sock = socket.socket(family, kind)
    try:
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def refused():
    return contextlib.nullcontext() if APART else pytest.raises(OSError)


def is_refused(port, **options):
    with refused():
        listener(port, **options).close()


def first_then_others(meet, copy, first, others):
    if copy == 0:
        held = first()
        meet("held")
        meet("tried")
        if held is not None:
            held.close()
    else:
        meet("held")
        others()
        meet("tried")
    meet("over")


def test_refused_fixed_port(meet, copy, port):
    first_then_others(meet, copy, lambda: listener(port), lambda: is_refused(port))


def test_refused_by_a_wildcard(meet, copy, port):
    first_then_others(meet, copy, lambda: listener(port, "0.0.0.0"), lambda: is_refused(port))


def test_refused_by_a_dual_stack(meet, copy, port):
    first_then_others(
        meet, copy, lambda: listener(port, "::", family=socket.AF_INET6, v6only=False), lambda: is_refused(port)
    )


def test_refused_by_a_bound_socket(meet, copy, port):
    def bound():
        sock = socket.socket()
        sock.bind((HERE, port))
        return sock

    first_then_others(meet, copy, bound, lambda: is_refused(port))


def test_refused_by_a_daemon(meet, copy, port):
    def daemon():
        here, there = socket.socketpair()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                here.close()
                server = listener(port)
                there.send(b"x")
                there.recv(1)
                server.close()
                os._exit(0)
            os._exit(0)
        there.close()
        os.wait()
        here.recv(1)
        return here

    first_then_others(meet, copy, daemon, lambda: is_refused(port))


def test_refused_by_multipath(meet, copy, port):
    def multipath():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        sock.bind((HERE, port))
        sock.listen()
        return sock

    first_then_others(meet, copy, multipath, lambda: is_refused(port))


def test_refused_by_node(meet, copy, port, program, serve):
    code = f"require('net').createServer().listen({port}, '{HERE}')"
    first_then_others(meet, copy, lambda: serve([program("node"), "-e", code], port), lambda: is_refused(port))


def test_refused_by_java(meet, copy, port, program, serve):
    source = Path(os.environ["TMPDIR"]) / "Server.java"
    source.write_text(
        "class Server { public static void main(String[] a) throws Exception {"
        f' new java.net.ServerSocket({port}, 5, java.net.InetAddress.getByName("{HERE}")).accept(); }} }}'
    )
    first_then_others(
        meet, copy, lambda: serve([program("java"), str(source)], port), lambda: (program("java"), is_refused(port))
    )


def test_refused_by_openssl(meet, copy, port, program, serve):
    argv = [program("openssl"), "s_server", "-nocert", "-accept", f"{HERE}:{port}"]
    first_then_others(meet, copy, lambda: serve(argv, port), lambda: is_refused(port))


def test_refused_by_static_c(meet, copy, port, program, serve):
    argv = [program(os.environ.get("PLANTED_STATIC", "no static program")), str(port)]
    first_then_others(meet, copy, lambda: serve(argv, port), lambda: is_refused(port))


def test_refused_and_recovered(meet, copy, port):
    def step():
        for number in (port, 0):
            try:
                sock = socket.socket()
                sock.bind((HERE, number))
            except OSError:
                sock.close()
            else:
                return sock.close()

    first_then_others(meet, copy, lambda: listener(port), step)


def test_refused_released_and_lost(meet, copy):
    if copy == 0:
        with socket.socket() as sock:
            sock.bind((HERE, 0))
            number = sock.getsockname()[1]
    said = meet("released", str(number) if copy == 0 else "")
    thief = listener(int(said[0])) if copy == 1 else None
    meet("stolen")
    if copy == 0:
        is_refused(number)
    meet("over")
    if thief:
        thief.close()


def test_refused_held_and_lost(meet, copy):
    def reusing(number):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HERE, number))
        return sock

    hold = reusing(0) if copy == 0 else None
    said = meet("held", str(hold.getsockname()[1]) if hold else "")
    number = int(said[0])
    thief = reusing(number) if copy == 1 else None
    if thief:
        thief.listen()
    meet("stolen")
    if hold:
        with refused():
            reusing(number).close()
        hold.close()
    meet("over")
    if thief:
        thief.close()


def test_shared_by_reuseport(meet, copy, port):
    with listener(port, reuse_port=True):
        meet("up")


def test_shared_wildcard_over_specific(meet, copy, port):
    with listener(port, HERE if copy else "0.0.0.0", reuse_port=True):
        meet("up")


def test_shared_udp(meet, copy, port):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HERE, port))
        meet("up")


def test_crosstalk(meet, copy):
    if copy == 1:
        server = listener(0)
    said = meet("up", str(server.getsockname()[1]) if copy == 1 else "")
    if copy == 0:
        with pytest.raises(ConnectionRefusedError) if APART else contextlib.nullcontext():
            socket.create_connection((HERE, int(said[1]))).close()
    meet("over")
    if copy == 1:
        server.close()


def test_crosstalk_udp(meet, copy):
    if copy == 1:
        server = listener(0, kind=socket.SOCK_DGRAM)
    said = meet("up", str(server.getsockname()[1]) if copy == 1 else "")
    if copy == 0:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (HERE, int(said[1])))
    meet("over")
    if copy == 1:
        server.close()


def test_hard_coded_in_copies_that_never_meet(meet, copy, port):
    for turn in range(int(os.environ["PARASUITE_COPIES"])):
        if turn == copy:
            listener(port).close()  # It lives well under a millisecond.
        meet(f"turn-{turn}")


def test_hard_coded_abstract_name(meet, copy):
    if not sys.platform.startswith("linux"):
        pytest.skip("abstract names are Linux's")
    name = f"\0{os.environ['PLANTED_NAME']}"
    for turn in range(int(os.environ["PARASUITE_COPIES"])):
        if turn == copy:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(name)
        meet(f"turn-{turn}")


def unix_listener(name):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(name)
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def test_refused_abstract_name(meet, copy):
    if not sys.platform.startswith("linux"):
        pytest.skip("abstract names are Linux's")
    name = f"\0{os.environ['PLANTED_NAME']}-refused"

    def is_refused():
        with refused():
            unix_listener(name).close()

    first_then_others(meet, copy, lambda: unix_listener(name), is_refused)


def test_shared_by_taking_a_path_over(meet, copy):
    path = os.environ["PLANTED_PATH"]

    def take_over():
        if copy == 1:
            os.unlink(path)
            unix_listener(path).close()

    first_then_others(meet, copy, lambda: unix_listener(path), take_over)


def test_rebind(meet, copy):
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        number = sock.getsockname()[1]
    listener(number).close()


def test_exposed(meet, copy):
    listener(0, "0.0.0.0").close()


def test_reuse(meet, copy):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HERE, 0))


def test_foreign(meet, copy, port):
    is_refused(port)


GO, BOUND = threading.Event(), threading.Event()


@pytest.fixture(scope="session")
def late_server():
    def wait_and_bind():
        GO.wait()
        listener(0, "0.0.0.0").close()
        BOUND.set()

    thread = threading.Thread(target=wait_and_bind)
    thread.start()
    yield
    thread.join()


def test_session_server_is_started(late_server):
    pass


def test_session_server_binds_later(late_server):
    GO.set()
    BOUND.wait()


def test_orphan(meet, copy):
    if copy == 0:
        code = f"import socket, time; s = socket.create_server(('{HERE}', 0)); print(1, flush=True); time.sleep(600)"
        argv = [sys.executable, "-c", code]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        process.stdout.readline()
        process.stdout.close()
        process.returncode = 0
