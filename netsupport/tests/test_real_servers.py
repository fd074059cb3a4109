"""The servers that people run: openssl s_server, python -m http.server, node; each for real."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netsupport import HOST, Guarantee, HOSTv6, ServerError, leases, reserve_port, running_server
from netsupport.tests import real_tools
from netsupport.tests.scenes import NET_S

OPENSSL = real_tools.needs("openssl")
NGINX = real_tools.needs("nginx")
NODE = real_tools.needs("node")


@pytest.fixture(scope="module")
def s_server(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`openssl s_server` with a certificate of this run."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=netsupport"]
    subprocess.run(["openssl", *request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return ["openssl", "s_server", "-cert", certificate, "-key", key]


def says(address: tuple[str, int], text: bytes) -> None:
    """Say *text* to a TLS server; whatever answers must speak TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, NET_S) as sock, context.wrap_socket(sock) as secured:
        secured.sendall(text)
        secured.unwrap().close()


def until_said(server: Any, text: str) -> None:
    """Read the server's log until it contains *text*; if it never does, pytest's own timeout ends the wait."""
    from netsupport.process_tree import pauses

    for _ in pauses():
        if text in server.output():
            return


@OPENSSL
@pytest.mark.parametrize(
    ("accept", "options", "guarantee"),
    [
        ("0", {"read_port": r"ACCEPT \S*:(\d+)"}, Guarantee.READ_BACK),
        ("0", {"read_port": True}, Guarantee.READ_BACK),
        ("{port}", {}, Guarantee.HOLD_THROUGH),
        ("{port}", {"child_reuses_address": False}, Guarantee.LEASE),
    ],
    ids=["read from its output", "read from the table", "hold", "lease"],
)
def test_s_server_gets_what_a_client_says(
    s_server: list[str], accept: str, options: dict[str, Any], guarantee: Guarantee
) -> None:
    with running_server([*s_server, "-accept", accept], **options) as server:
        assert server.guarantee == guarantee or sys.platform != "linux"
        says(server.address, b"a word to the server\n")
        until_said(server, "a word to the server")


@OPENSSL
@pytest.mark.skipif(sys.platform != "linux", reason="hold-through is Linux's")
def test_a_hold_keeps_other_processes_off_the_ipv6_loopback_of_s_servers_port(
    s_server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[object] = []

    def tried(*arguments: Any, **options: Any) -> leases.PortLease:
        lease = reserve_port(*arguments, **options)
        with squatter_on(lease.port, reuse=False) as refusal:
            refusals.append(refusal)
        return lease

    monkeypatch.setattr(sys.modules[running_server.__module__], "reserve_port", tried)
    with running_server([*s_server, "-accept", "{port}"]) as server:
        says(server.address, b"a word to the server\n")
        until_said(server, "a word to the server")
    assert [type(refusal) for refusal in refusals] == [OSError]
    assert (server.guarantee, server.lost) == (Guarantee.HOLD_THROUGH, ())


@contextlib.contextmanager
def squatter_on(port: int, *, reuse: bool) -> Iterator[socket.socket | OSError]:
    """A listener on `[::1]:port`, or why there can be none."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            sock.bind((HOSTv6, port))
            sock.listen()
        except OSError as refusal:
            yield refusal
        else:
            yield sock


@OPENSSL
def test_s_server_with_a_squatter_on_the_ipv6_loopback_of_a_picked_port_gets_another(
    s_server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picked port is free on 127.0.0.1 and taken on ::1: s_server, which binds [::], fails."""
    squatters: list[tuple[str, int]] = []
    with contextlib.ExitStack() as kept:

        def squatted(*_arguments: Any, **_options: Any) -> leases.PortLease:
            lease = reserve_port(child_reuses_address=False)
            if not squatters:
                squatter = kept.enter_context(squatter_on(lease.port, reuse=True))
                assert isinstance(squatter, socket.socket)
                squatters.append((HOSTv6, lease.port))
            return lease

        monkeypatch.setattr(sys.modules[running_server.__module__], "reserve_port", squatted)
        with running_server([*s_server, "-accept", "{port}"]) as server:
            says(server.address, b"a word to the server\n")
            until_said(server, "a word to the server")
    assert server.port != squatters[0][1]
    assert server.lost[0].startswith(f"port {squatters[0][1]} (lease): ")


@OPENSSL
def test_another_process_that_answers_in_place_of_s_server_is_named(
    s_server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with reserve_port(child_reuses_address=False) as lease, socket.create_server((HOST, lease.port)) as squatter:
        given = leases.PortLease(lease.port, HOST, Guarantee.PICK, "")
        monkeypatch.setattr(sys.modules[running_server.__module__], "reserve_port", lambda *_, **__: given)
        with pytest.raises(ServerError) as failure, running_server([*s_server, "-accept", "{port}"], attempts=1):
            pass
        socket.create_connection(squatter.getsockname(), NET_S).close()
    assert [holder.pid for holder in failure.value.holders if holder.socket.serves] == [os.getpid()]
    assert f"tcp 127.0.0.1:{lease.port} listening: pid {os.getpid()}, " in str(failure.value)


def get(address: tuple[str, int], path: str) -> bytes:
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=NET_S)) as client:
        client.request("GET", path)
        return client.getresponse().read()


@pytest.mark.parametrize("host", [HOST, HOSTv6])
def test_http_server_serves_through_a_hold(tmp_path: Path, host: str) -> None:
    (tmp_path / "page").write_text("from this very server")
    command = [sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"]
    with running_server(command, host=host, cwd=tmp_path) as server:
        assert server.guarantee == Guarantee.HOLD_THROUGH or sys.platform != "linux"
        assert get(server.address, "/page") == b"from this very server"


def test_http_server_on_port_0_is_found_by_its_output() -> None:
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "{host}", "{port}"]
    with running_server(command, read_port=r"port (\d+)") as server:
        assert b"<html" in get(server.address, "/").lower()


NGINX_CONFIGURATION = """
pid %(folder)s/pid; error_log stderr; events {}
http {
    access_log off;
    client_body_temp_path %(folder)s/a; proxy_temp_path %(folder)s/b; fastcgi_temp_path %(folder)s/c;
    uwsgi_temp_path %(folder)s/d; scgi_temp_path %(folder)s/e;
    server { listen 127.0.0.1:%(port)d; location / { return 200 "on %(port)d"; } }
}
"""


@NGINX
def test_nginx_serves_on_the_port_that_a_function_wrote_into_its_configuration(tmp_path: Path) -> None:
    def nginx(port: int) -> list[str]:
        (tmp_path / "nginx.conf").write_text(NGINX_CONFIGURATION % {"folder": tmp_path, "port": port})
        return ["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf", "-g", "daemon off;"]

    with running_server(nginx) as server:
        assert server.guarantee == Guarantee.HOLD_THROUGH or sys.platform != "linux"
        assert get(server.address, "/") == f"on {server.port}".encode()


NODE_SERVER = "require('http').createServer((_, answer) => answer.end(String(process.pid))).listen(%s)"


@NODE
@pytest.mark.parametrize(
    ("where", "options", "guarantee"),
    [
        ("{port}, '{host}'", {}, Guarantee.HOLD_THROUGH),
        ("{port}", {}, Guarantee.HOLD_THROUGH),
        ("{port}, '{host}'", {"read_port": True}, Guarantee.READ_BACK),
        ("{fd: {fd}}", {"pass_fd": True}, Guarantee.PASSED),
    ],
    ids=["hold", "hold, dual-stack", "read from the table", "fd"],
)
def test_node_answers_with_the_id_of_the_process_that_was_started(
    where: str, options: dict[str, Any], guarantee: Guarantee
) -> None:
    with running_server(["node", "-e", NODE_SERVER % where], **options) as server:
        assert get(server.address, "/") == str(server.pid).encode()
        assert server.guarantee == guarantee or sys.platform != "linux"


def test_socketserver_which_does_not_set_so_reuseaddr_is_served_by_a_lease() -> None:
    code = (
        "import socketserver, sys; "
        "socketserver.TCPServer(('127.0.0.1', int(sys.argv[1])), socketserver.BaseRequestHandler).serve_forever()"
    )
    with running_server([sys.executable, "-c", code, "{port}"], child_reuses_address=False) as server:
        assert (server.guarantee, server.lost) == (Guarantee.LEASE, ())
        socket.create_connection(server.address, NET_S).close()
