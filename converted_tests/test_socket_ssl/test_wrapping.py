"""TLS over a plain socket, as simple as it gets: wrap, read, write, and identify the peer.

The library reference of ssl promises that a wrapped socket reads and writes as a socket does, through TLS.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from converted_tests.peers import (
    TIMEOUT_S,
    Peer,
    Say,
    Take,
    TakeAll,
    listening,
    transcript,
)
from converted_tests.test_socket_ssl.support import NAME, echoing, one_line, refusing, saying, wrapped
from netsupport import HOSTv4, bind_port

LARGE = bytes(range(256)) * 1200


# --- wrapping a connected socket -------------------------------------------------------------------------


def test_a_wrapped_socket_reads_and_writes_through_TLS(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, wrapped(server, client_context) as sock:
        assert sock.write(b"hello\n") == 6
        assert sock.read(6) == b"hello\n"


@pytest.mark.usefixtures("ipv6")
def test_a_wrapped_socket_over_IPv6(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(echoing(), family=socket.AF_INET6, context=server_context) as server:
        with wrapped(server, client_context, "::1") as sock:
            sock.write(b"hello\n")
            assert (sock.read(6), sock.family) == (b"hello\n", socket.AF_INET6)


def test_a_wrapped_Unix_socket(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    with listening(echoing(), family=socket.AF_UNIX, path=tmp_path / "s", context=server_context) as server:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(TIMEOUT_S)
            plain.connect(server.host)
            with client_context.wrap_socket(plain, server_hostname=NAME) as sock:
                sock.write(b"hello\n")
                assert sock.read(6) == b"hello\n"


@pytest.mark.parametrize("server_hostname", [NAME, HOSTv4])
def test_a_certificate_of_a_private_authority_is_verified(
    server_hostname: str, client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server:
        with wrapped(server, client_context, server_hostname) as sock:
            certificate = sock.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", NAME), ("IP Address", HOSTv4), ("IP Address", "0:0:0:0:0:0:0:1"))


@pytest.mark.parametrize(
    ("trusts", "server_hostname", "reason"),
    [
        pytest.param(False, NAME, "unable to get local issuer certificate", id="of an unknown authority"),
        pytest.param(
            True, "example.org", "Hostname mismatch, certificate is not valid for 'example.org'.", id="name"
        ),
        pytest.param(
            True, "127.0.0.2", "IP address mismatch, certificate is not valid for '127.0.0.2'.", id="address"
        ),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_by_both_sides(
    trusts: bool,
    server_hostname: str,
    reason: str,
    client_context: ssl.SSLContext,
    server_context: ssl.SSLContext,
) -> None:
    context = client_context if trusts else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    refused: list[ssl.SSLError] = []
    with listening(refusing(refused, server_context)) as server:
        with pytest.raises(ssl.SSLCertVerificationError) as caught, wrapped(server, context, server_hostname):
            pass
    assert caught.value.verify_message == reason
    assert [type(failure) for failure in refused] == [ssl.SSLError]


def test_a_socket_may_be_wrapped_first_and_connected_then(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, socket.socket() as plain:
        plain.settimeout(TIMEOUT_S)
        with client_context.wrap_socket(plain, server_hostname=NAME) as sock:
            assert sock.version() is None
            sock.connect(server.address)
            sock.write(b"hello\n")
            assert (sock.read(6), sock.version()) == (b"hello\n", "TLSv1.3")


def test_connect_ex_shakes_hands_too(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(echoing(), context=server_context) as server, socket.socket() as plain:
        plain.settimeout(TIMEOUT_S)
        with client_context.wrap_socket(plain, server_hostname=NAME) as sock:
            assert sock.connect_ex(server.address) == 0
            assert sock.getpeercert() is not None


@pytest.mark.parametrize("raises", [True, False], ids=["connect", "connect_ex"])
def test_connecting_a_wrapped_socket_without_a_listener_is_refused(
    raises: bool, client_context: ssl.SSLContext
) -> None:
    with socket.socket() as silent, socket.socket() as plain:
        address = (HOSTv4, bind_port(silent))
        with client_context.wrap_socket(plain, server_hostname=NAME) as sock:
            if raises:
                with pytest.raises(ConnectionRefusedError):
                    sock.connect(address)
            else:
                assert sock.connect_ex(address) == errno.ECONNREFUSED


def test_two_listeners_at_once_have_a_port_each(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"one"), context=server_context) as one:
        with listening(saying(b"two"), context=server_context) as two:
            assert one.port != two.port
            with wrapped(two, client_context) as second, wrapped(one, client_context) as first:
                assert (first.read(), second.read()) == (b"one", b"two")


def test_both_ends_may_be_threads_of_one_process(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    heard: list[bytes] = []

    def hearing() -> Peer:
        heard.append((yield TakeAll(b"welcome\n")))

    with listening(hearing(), context=server_context) as server, wrapped(server, client_context) as sock:
        assert sock.read(100) == b"welcome\n"
        sock.write(b"thanks")
    assert heard == [b"thanks"]


# --- reading and writing ---------------------------------------------------------------------------------


def test_a_read_takes_at_most_the_requested_size(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"hello world"), context=server_context) as server:
        with wrapped(server, client_context) as sock:
            assert (sock.read(5), sock.pending()) == (b"hello", 6)
            assert (sock.read(1), sock.pending()) == (b" ", 5)
            assert (sock.read(100), sock.pending()) == (b"world", 0)


def test_a_banner_may_be_read_byte_by_byte(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(saying(b"* OK"), context=server_context) as server:
        with wrapped(server, client_context) as sock:
            assert [sock.read(1) for _ in range(5)] == [b"*", b" ", b"O", b"K", b""]


def test_a_read_may_fill_a_buffer(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    buffer = bytearray(b"........")
    with listening(saying(b"hello"), context=server_context) as server:
        with wrapped(server, client_context) as sock:
            read: Callable[..., object] = sock.read
            assert (read(3, buffer), bytes(buffer)) == (3, b"hel.....")
            assert (sock.recv_into(buffer, 1), bytes(buffer)) == (1, b"lel.....")


@pytest.mark.parametrize("size", [1, 16384, 16385, len(LARGE)], ids=["1", "a record", "a record and 1", "300 kB"])
def test_any_amount_of_data_makes_the_round_trip(
    size: int, client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    def returning() -> Peer:
        yield Say((yield Take(size=size)))

    with listening(returning(), context=server_context) as server, wrapped(server, client_context) as sock:
        sock.sendall(LARGE[:size])
        assert b"".join(iter(lambda: sock.recv(65536), b"")) == LARGE[:size]


def test_a_file_over_the_socket_reads_lines_and_outlives_it(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying(b"one\ntwo\nthree"), context=server_context) as server:
        with wrapped(server, client_context) as sock, sock.makefile("rb") as file:
            assert file.readline() == b"one\n"
            sock.close()
            assert file.read() == b"two\nthree"


def test_a_page_can_be_read_to_its_end(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    script = """
        S: HTTP/1.0 200 OK
        S:
        S: a page
    """
    asked: list[bytes] = []

    def serving() -> Peer:
        asked.append((yield b""))
        yield from transcript(script)

    with listening(serving(), context=server_context) as server, wrapped(server, client_context) as sock:
        sock.write(b"GET / HTTP/1.0\r\n")
        with sock.makefile("rb") as file:
            assert file.read() == b"HTTP/1.0 200 OK\r\n\r\na page\r\n"
    assert asked == [b"GET / HTTP/1.0"]


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")], ids=str
)
def test_a_connection_knows_its_cipher_and_version(
    version: ssl.TLSVersion, name: str, authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    with listening(echoing(), context=server_context) as server, wrapped(server, context) as sock:
        assert sock.version() == name
        cipher = sock.cipher()
        assert cipher is not None
        # The second field is the version that defined the suite.
        assert (cipher[0] in [known["name"] for known in context.get_ciphers()], cipher[1]) == (True, name)
        assert cipher[2] in (128, 256)
        assert sock.pending() == 0


# --- subject and issuer ----------------------------------------------------------------------------------
def test_subject_and_issuer_are_equal_for_a_self_signed_certificate(self_signed: Path) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(self_signed)
    with listening(echoing(), context=server_context) as server:
        with wrapped(server, ssl.create_default_context(cafile=self_signed)) as sock:
            certificate = sock.getpeercert()
    assert certificate is not None
    assert one_line(certificate["subject"]) == one_line(certificate["issuer"])
    assert one_line(certificate["subject"]) == f"/organizationName=Of its own/commonName={NAME}"


def test_subject_and_issuer_differ_for_a_certificate_of_an_authority(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, wrapped(server, client_context) as sock:
        certificate = sock.getpeercert()
    assert certificate is not None
    assert one_line(certificate["subject"]) != one_line(certificate["issuer"])
    assert one_line(certificate["issuer"]).startswith("/organizationName=trustme v")


# --- random numbers --------------------------------------------------------------------------------------


def test_random_bytes_are_as_many_as_asked_for_and_the_generator_is_seeded() -> None:
    assert ssl.RAND_status() is True
    assert [len(ssl.RAND_bytes(size)) for size in (0, 1, 32)] == [0, 1, 32]
    assert ssl.RAND_bytes(32) != ssl.RAND_bytes(32)


@pytest.mark.parametrize("seed", ["text", b"bytes", bytearray(b"more bytes")], ids=lambda seed: type(seed).__name__)
def test_entropy_may_be_added_from_text_and_bytes(seed: str | bytes | bytearray) -> None:
    ssl.RAND_add(seed, 75.0)
    assert ssl.RAND_status() is True


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(lambda: ssl.RAND_add(1, 0.0), TypeError, id="a number as a seed"),  # type: ignore[arg-type]
        pytest.param(lambda: ssl.RAND_add(b"", "much"), TypeError, id="text as entropy"),  # type: ignore[arg-type]
        pytest.param(lambda: ssl.RAND_bytes("many"), TypeError, id="text as a size"),  # type: ignore[arg-type]
        pytest.param(lambda: ssl.RAND_bytes(-1), ValueError, id="a negative size"),
    ],
)
def test_the_random_functions_refuse_arguments_of_another_kind(
    call: Callable[[], object], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        call()
