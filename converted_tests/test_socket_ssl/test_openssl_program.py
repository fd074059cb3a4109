"""TLS with a process that is not Python: the openssl program as a server and as a client.

openssl-s_server(1) and openssl-s_client(1) describe the program; netsupport finds and keeps its port.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from converted_tests.peers import (
    TIMEOUT_S,
    Peer,
    Say,
    listening,
    open_listener,
)
from converted_tests.test_socket_ssl.support import NAME, one_line, wrapped
from netsupport import RunningServer, ServerError, running_server

# --- the openssl program, a process of its own -----------------------------------------------------------

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not installed")


def s_server(certificate: Path, key: Path) -> list[str]:
    """A command that sends every line back, last character first: the echo that openssl offers."""
    return [str(OPENSSL), "s_server", "-accept", "{host}:{port}", "-cert", str(certificate), "-key", str(key), "-rev"]


@pytest.fixture(scope="module")
def external(self_signed: Path) -> Iterator[RunningServer]:
    """An external server with the self-signed certificate."""
    with running_server(s_server(self_signed, self_signed)) as server:
        yield server


@needs_openssl
def test_an_external_server_answers_a_line_in_exact_sizes(external: RunningServer, self_signed: Path) -> None:
    with wrapped(external, ssl.create_default_context(cafile=self_signed)) as sock:
        assert sock.write(b"hello\n") == 6
        assert (sock.read(2), sock.read(4)) == (b"ol", b"leh\n")
        sock.write(b"a second one\n")
        assert sock.read(13) == b"eno dnoces a\n"


@needs_openssl
def test_an_external_server_shows_equal_subject_and_issuer(external: RunningServer, self_signed: Path) -> None:
    with wrapped(external, ssl.create_default_context(cafile=self_signed)) as sock:
        certificate = sock.getpeercert()
    assert certificate is not None
    assert one_line(certificate["subject"]) == one_line(certificate["issuer"])


@needs_openssl
def test_an_external_server_with_an_unknown_certificate_is_refused(
    external: RunningServer, client_context: ssl.SSLContext
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        with wrapped(external, client_context):
            pass


@needs_openssl
def test_a_second_external_server_has_a_port_of_its_own_and_ends_with_its_block(
    external: RunningServer, certificate_files: tuple[Path, Path, Path], client_context: ssl.SSLContext
) -> None:
    _, chain, key = certificate_files
    with running_server(s_server(chain, key)) as server:
        assert server.port != external.port
        assert len({server.pid, external.pid, os.getpid()}) == 3
        with wrapped(server, client_context) as sock:
            sock.write(b"ab\n")
            assert (sock.read(3), sock.getpeername()) == (b"ba\n", server.address)
        assert server.process.poll() is None
    assert server.process.poll() is not None


@needs_openssl
def test_an_external_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    with pytest.raises(ServerError) as caught:
        with running_server(s_server(missing, missing)):
            pass
    assert caught.value.exit_status == 1
    assert str(missing) in caught.value.output


@needs_openssl
def test_an_external_client_talks_to_a_server_of_this_process(
    certificate_files: tuple[Path, Path, Path], server_context: ssl.SSLContext
) -> None:
    authority, _, _ = certificate_files
    heard: list[bytes] = []

    def answering() -> Peer:
        heard.append((yield b""))
        yield Say(b"good bye\n")

    with listening(answering(), context=server_context) as server:
        command = [str(OPENSSL), "s_client", "-connect", f"{server.host}:{server.port}", "-servername", NAME]
        done = subprocess.run(
            [*command, "-CAfile", str(authority), "-verify_return_error", "-quiet"],
            input=b"hello\n",
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert (heard, done.stdout) == ([b"hello"], b"good bye\n")


def test_a_listener_has_a_port_that_no_other_socket_can_bind() -> None:
    with open_listener() as listener, socket.socket() as other, pytest.raises(OSError) as caught:
        other.bind(listener.getsockname())
    assert caught.value.errno == errno.EADDRINUSE
