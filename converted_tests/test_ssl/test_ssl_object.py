"""An SSLObject is TLS without a network: its owner carries the bytes, so every step can be seen.

Source: the ssl module's documentation, "Memory BIO support"; RFC 8446, RFC 5929 section 3 (tls-unique).
"""

from __future__ import annotations

import gc
import ssl
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.support import Ends, Memory, handshake, through_memory, trusting

PRIVATE: Any = ssl


def end_of(pair: Memory, side: str) -> ssl.SSLObject:
    return pair.client if side == "client" else pair.server


def read_into(end: ssl.SSLObject, size: int, buffer: bytearray) -> int:
    count: Any = end.read(size, buffer)
    return int(count)


both_sides = pytest.mark.parametrize("side", ["client", "server"])


@pytest.fixture
def tls12(client_context: ssl.SSLContext, tls12_server_context: ssl.SSLContext) -> Memory:
    """A connection of TLS 1.2, the last version with tls-unique."""
    return through_memory(client_context, tls12_server_context)


def test_an_object_is_not_constructed_but_wrapped() -> None:
    with pytest.raises(TypeError) as refusal:
        ssl.SSLObject()
    expected = "SSLObject does not have a public constructor. Instances are returned by SSLContext.wrap_bio()."
    assert str(refusal.value) == expected


def test_the_first_step_of_a_client_is_to_say_hello_and_wait(memory: Memory) -> None:
    with pytest.raises(ssl.SSLWantReadError) as waiting:
        memory.client.do_handshake()
    assert waiting.value.errno == ssl.SSL_ERROR_WANT_READ
    # A record of type handshake (22) in the clear, in it a ClientHello (1). RFC 8446 sections 5.1 and 4.
    hello = memory.to_server.read()
    assert (hello[0], hello[5]) == (22, 1)


def test_a_server_without_input_says_nothing(memory: Memory) -> None:
    with pytest.raises(ssl.SSLWantReadError):
        memory.server.do_handshake()
    assert memory.to_client.pending == 0


@both_sides
def test_before_the_handshake_nothing_is_agreed(side: str, memory: Memory) -> None:
    end = end_of(memory, side)
    assert (end.version(), end.cipher(), end.shared_ciphers(), end.compression()) == (None, None, None, None)
    assert (end.selected_alpn_protocol(), end.pending(), end.get_channel_binding()) == (None, 0, None)
    assert end.session_reused is False


@both_sides
def test_there_is_no_peer_certificate_before_the_handshake(side: str, memory: Memory) -> None:
    with pytest.raises(ValueError, match=r"^handshake not done yet$"):
        end_of(memory, side).getpeercert()


def test_an_object_knows_its_side_and_the_name_it_asks_for(memory: Memory) -> None:
    assert (memory.client.server_side, memory.server.server_side) == (False, True)
    assert (memory.client.server_hostname, memory.server.server_hostname) == ("localhost", None)


def test_by_default_an_object_is_a_clients() -> None:
    context = trusting(check_hostname=False)
    wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
    assert (wrapped.server_side, wrapped.server_hostname, wrapped.context) == (False, None, context)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("python.example", "python.example", id="text"),
        pytest.param(b"python.example", "python.example", id="bytes"),
        pytest.param("pythön.example", "xn--pythn-mua.example", id="U-label"),
        pytest.param(b"xn--pythn-mua.example", "xn--pythn-mua.example", id="A-label"),
    ],
)
def test_a_name_is_kept_as_a_labels(name: str | bytes, shown: str, client_context: ssl.SSLContext) -> None:
    wrapped = client_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    assert wrapped.server_hostname == shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("", r"server_hostname cannot be an empty string or start with a leading dot\.", id="empty"),
        pytest.param(".example.org", "cannot be an empty string or start with|label", id="a leading dot"),
    ],
)
def test_a_name_without_a_first_label_is_a_value_error(
    name: str, message: str, client_context: ssl.SSLContext
) -> None:
    with pytest.raises(ValueError, match=message):
        client_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)


def test_a_name_with_a_nul_is_refused(client_context: ssl.SSLContext) -> None:
    with pytest.raises(TypeError, match=r"null (byte|character)"):
        client_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org\0evil.com")


def test_the_owner_of_the_c_object_is_the_object(memory: Memory) -> None:
    low_level: Any = memory.client
    assert low_level._sslobj.owner is memory.client


def test_the_handshake_ends_at_both_sides(memory: Memory) -> None:
    handshake(memory.client, memory.server)
    assert (memory.client.version(), memory.server.version()) == ("TLSv1.3", "TLSv1.3")
    assert memory.client.cipher() == memory.server.cipher()
    assert memory.client.shared_ciphers() is None
    assert memory.client.compression() is None
    shared = memory.server.shared_ciphers()
    assert shared is not None
    assert memory.server.cipher() in shared


def test_the_client_sees_the_servers_certificate_and_the_server_none(
    memory: Memory, server_identity: trustme.LeafCert
) -> None:
    memory.shaken()
    expected = ssl.PEM_cert_to_DER_cert(server_identity.cert_chain_pems[0].bytes().decode())
    assert memory.client.getpeercert(True) == expected
    shown = memory.client.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"][0] == ("DNS", "localhost")
    assert (memory.server.getpeercert(), memory.server.getpeercert(binary_form=True)) == (None, None)


def test_both_sides_have_one_channel_binding(tls12: Memory) -> None:
    assert tls12.client.get_channel_binding("tls-unique") is None
    tls12.shaken()
    binding = tls12.client.get_channel_binding("tls-unique")
    assert binding
    assert tls12.client.get_channel_binding() == tls12.server.get_channel_binding("tls-unique") == binding


def test_an_unknown_channel_binding_is_a_value_error(memory: Memory) -> None:
    with pytest.raises(ValueError, match="'unknown' channel binding type not implemented"):
        memory.client.get_channel_binding("unknown")


@both_sides
def test_data_goes_both_ways(side: str, memory: Memory) -> None:
    memory.shaken()
    end, other = (memory.client, memory.server) if side == "client" else (memory.server, memory.client)
    assert end.write(b"hello") == 5
    assert other.read() == b"hello"


def test_reading_before_the_data_has_come_wants_more(memory: Memory) -> None:
    memory.shaken()
    with pytest.raises(ssl.SSLWantReadError):
        memory.server.read()


def test_reading_takes_1024_bytes_at_a_time_and_the_rest_is_pending(memory: Memory) -> None:
    memory.shaken().client.write(b"x" * 3000)
    assert memory.server.read() == b"x" * 1024
    assert memory.server.pending() == 1976
    assert memory.server.read(976) == b"x" * 976
    assert memory.server.pending() == 1000


def test_reading_into_a_buffer_fills_its_beginning(memory: Memory) -> None:
    memory.shaken().client.write(b"hello")
    buffer = bytearray(b"--------")
    assert read_into(memory.server, 3, buffer) == 3
    assert buffer == b"hel-----"
    assert read_into(memory.server, 100, buffer) == 2
    assert buffer == b"lol-----"


def test_reading_1024_bytes_into_a_larger_buffer(memory: Memory) -> None:
    memory.shaken().client.write(b"x" * 3000)
    buffer = bytearray(4000)
    server: Any = memory.server
    assert server.read(buffer=buffer) == 1024


def test_a_negative_size_needs_a_buffer(memory: Memory) -> None:
    memory.shaken().client.write(b"hello")
    with pytest.raises(ValueError, match=r"^size should not be negative$"):
        memory.server.read(-1)
    buffer = bytearray(8)
    assert read_into(memory.server, -1, buffer) == 5


def test_reading_nothing_waits_for_nothing(memory: Memory) -> None:
    memory.shaken()
    assert memory.server.read(0) == b""
    assert read_into(memory.server, 0, bytearray()) == 0


def test_a_size_of_zero_means_all_of_a_buffer(memory: Memory) -> None:
    memory.shaken().client.write(b"hello")
    buffer = bytearray(4)
    assert read_into(memory.server, 0, buffer) == 4
    assert buffer == b"hell"


def test_one_side_that_unwraps_waits_for_the_other(memory: Memory) -> None:
    memory.shaken()
    with pytest.raises(ssl.SSLWantReadError):
        memory.client.unwrap()
    assert memory.server.read() == b""
    memory.server.unwrap()
    memory.client.unwrap()


def test_reading_after_both_close_notifies_is_an_error(memory: Memory) -> None:
    memory.shaken()
    with pytest.raises(ssl.SSLWantReadError):
        memory.client.unwrap()
    memory.server.unwrap()
    with pytest.raises(ssl.SSLZeroReturnError):
        memory.client.read()


def test_a_network_that_ends_without_close_notify_is_an_error(memory: Memory) -> None:
    memory.shaken()
    memory.to_server.write_eof()
    with pytest.raises(ssl.SSLEOFError) as end:
        memory.server.read()
    assert end.value.errno == ssl.SSL_ERROR_EOF


def test_a_network_that_ends_in_the_handshake_is_an_error(memory: Memory) -> None:
    memory.to_server.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        memory.server.do_handshake()


def test_bytes_that_are_no_tls_are_an_error(memory: Memory) -> None:
    memory.to_server.write(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(ssl.SSLError) as failure:
        memory.server.do_handshake()
    assert (failure.value.library, failure.value.reason) == ("SSL", "HTTP_REQUEST")


def test_the_context_of_an_object_can_be_replaced(memory: Memory, authority: trustme.CA) -> None:
    other = trusting(authority)
    memory.client.context = other
    assert memory.client.context is other
    memory.shaken()
    assert memory.client.context is other


def test_a_context_is_a_context(memory: Memory) -> None:
    with pytest.raises(TypeError, match=r"^The value must be a SSLContext$"):
        memory.client.context = None  # type: ignore[assignment]


def test_a_server_can_ask_for_a_certificate_later_only_with_tls_1_3(tls12: Memory) -> None:
    with pytest.raises(ssl.SSLError, match=r"WRONG_SSL_VERSION|wrong ssl version"):
        tls12.shaken().server.verify_client_post_handshake()


@both_sides
def test_next_protocol_negotiation_is_deprecated_and_selects_nothing(side: str, memory: Memory) -> None:
    with pytest.warns(DeprecationWarning, match=r"^ssl NPN is deprecated, use ALPN instead$") as warnings:
        assert end_of(memory, side).selected_npn_protocol() is None
    assert [warning.filename for warning in warnings] == [__file__]


def test_a_dropped_object_is_freed_at_once(client_context: ssl.SSLContext) -> None:
    wrapped = client_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    gone = weakref.ref(wrapped)
    gc.disable()
    try:
        del wrapped
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(ssl.SSLObject, "get_verified_chain"), reason="public since Python 3.13")
def test_chains_are_lists_of_der(memory: Memory, server_identity: trustme.LeafCert, authority: trustme.CA) -> None:
    memory.shaken()
    client: Any = memory.client
    server: Any = memory.server
    leaf, root = (
        ssl.PEM_cert_to_DER_cert(pem.bytes().decode())
        for pem in (server_identity.cert_chain_pems[0], authority.cert_pem)
    )
    assert (client.get_verified_chain(), client.get_unverified_chain()) == ([leaf, root], [leaf])
    assert (server.get_verified_chain(), server.get_unverified_chain()) == ([], [])


def test_the_compression_method_is_openssls(memory: Memory, ends: Ends) -> None:
    # By default OpenSSL no longer compresses, so a real connection has no compression to show.
    for end in (memory.client, ends[0]):
        end.__dict__["_sslobj"] = SimpleNamespace(compression=lambda: "ZLIB")
        assert end.compression() == "ZLIB"
