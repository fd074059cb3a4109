"""Laws that hold for TLS over any network: how bytes are cut does not matter, and rubbish is an SSLError, never more.

Source: RFC 8446 sections 5.1 (records) and 6.2 (decode errors), the ssl module's documentation of SSLObject.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import ssl

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.strategies import pieces_of, wire_bytes
from converted_tests.test_ssl.support import serving, through_memory, trusting


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA, server_identity: trustme.LeafCert) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return trusting(authority), serving(server_identity)


@settings(max_examples=25)
@given(st.data())
def test_cutting_what_is_sent_changes_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], data: st.DataObject
) -> None:
    text = data.draw(wire_bytes)
    pair = through_memory(*contexts).shaken()
    pair.client.write(text)
    records = pair.to_server.read()
    received = b""
    for piece in data.draw(pieces_of(records)):
        pair.to_server.write(piece)
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                received += pair.server.read(7)
    assert received == text


@settings(max_examples=25)
@given(st.lists(st.integers(1, 300), min_size=1))
def test_cutting_a_handshake_changes_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], sizes: list[int]
) -> None:
    pair = through_memory(*contexts)
    client, server = pair.client, pair.server
    waiting = {client, server}
    for end, wire in itertools.islice(itertools.cycle([(client, pair.to_client), (server, pair.to_server)]), 8):
        flight = io.BytesIO(wire.read())
        for size in itertools.cycle(sizes):
            piece = flight.read(size)
            wire.write(piece)
            if end in waiting:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                    waiting.remove(end)
            if not piece:
                break
    assert not waiting
    assert (client.version(), client.cipher()) == (server.version(), server.cipher())


@given(st.binary(max_size=300))
def test_anything_but_a_hello_is_an_ssl_error(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], rubbish: bytes
) -> None:
    for side in ("client", "server"):
        pair = through_memory(*contexts)
        end, wire = (pair.client, pair.to_client) if side == "client" else (pair.server, pair.to_server)
        wire.write(rubbish)
        wire.write_eof()
        with pytest.raises(ssl.SSLError):
            end.do_handshake()


@settings(max_examples=25)
@given(st.data())
def test_a_flipped_bit_in_a_record_is_an_ssl_error(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], data: st.DataObject
) -> None:
    pair = through_memory(*contexts).shaken()
    pair.client.write(b"a secret")
    record = bytearray(pair.to_server.read())
    position = data.draw(st.integers(0, len(record) - 1))
    record[position] ^= 1 << data.draw(st.integers(0, 7))
    pair.to_server.write(record)
    pair.to_server.write_eof()
    with pytest.raises(ssl.SSLError):
        pair.server.read()


@given(st.text(max_size=300))
def test_a_server_name_is_sent_in_ascii_or_refused(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], host: str
) -> None:
    try:
        client = contexts[0].wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)
    except (ValueError, TypeError, ssl.SSLError):
        # Empty, too long, a leading dot, a NUL or not to be encoded.
        return
    assert client.server_hostname is not None
    assert client.server_hostname.isascii()


@given(st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=20), max_size=5, unique=True))
def test_every_list_of_protocols_is_sent_as_lengths_and_names(protocols: list[str]) -> None:
    sent: list[bytearray] = []

    class Context(ssl.SSLContext):
        def _set_alpn_protocols(self, names: bytearray) -> None:
            sent.append(names)

    Context(ssl.PROTOCOL_TLS_CLIENT).set_alpn_protocols(protocols)
    rest, found = bytes(sent[0]), []
    while rest:
        found.append(rest[1 : 1 + rest[0]].decode())
        rest = rest[1 + rest[0] :]
    assert found == protocols
