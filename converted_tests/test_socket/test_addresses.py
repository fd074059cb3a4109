"""Addresses go between text and packed bytes, and integers between host and network order, without loss.

Source: inet(3), inet_pton(3), htons(3); RFC 4291 section 2.2 for IPv6 texts.
"""

from __future__ import annotations

import array
import ipaddress
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

LOOPBACK_V6 = bytes(15) + b"\x01"


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("0.0.0.0", b"\0\0\0\0"),
        ("255.255.255.255", b"\xff\xff\xff\xff"),
        ("127.0.0.1", b"\x7f\0\0\x01"),
        ("1.2.3.4", b"\x01\x02\x03\x04"),
        ("170.170.170.170", b"\xaa" * 4),
        ("90.90.90.90", b"\x5a" * 4),
    ],
)
def test_a_dotted_quad_packs_into_its_four_bytes(text: str, packed: bytes) -> None:
    assert (socket.inet_aton(text), socket.inet_pton(socket.AF_INET, text)) == (packed, packed)


@pytest.mark.parametrize(
    ("text", "packed"),
    [("1", b"\0\0\0\x01"), ("127.1", b"\x7f\0\0\x01"), ("10.2.3", b"\x0a\x02\0\x03"), ("0x7f.1", b"\x7f\0\0\x01")],
)
def test_inet_aton_takes_the_short_forms_of_the_manual(text: str, packed: bytes) -> None:
    assert socket.inet_aton(text) == packed


@pytest.mark.parametrize("text", ["", "a", "256.0.0.1", "1.2.3.4.5", "1.2.3.4x", "1.2..4", "-1.2.3.4", "1.2.3.256"])
def test_inet_aton_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(OSError, match="illegal IP address string"):
        socket.inet_aton(text)


@pytest.mark.parametrize(
    "text", ["", "a", "1", "127.1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "0x7f.0.0.1", "::1", "1.2.3.4/8"]
)
def test_inet_pton_takes_nothing_but_a_full_dotted_quad(text: str) -> None:
    with pytest.raises(OSError, match="illegal IP address string"):
        socket.inet_pton(socket.AF_INET, text)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"\x01\x02\x03\x04", id="bytes"),
        pytest.param(bytearray(b"\x01\x02\x03\x04"), id="bytearray"),
        pytest.param(memoryview(b"\x01\x02\x03\x04"), id="memoryview"),
        pytest.param(array.array("B", [1, 2, 3, 4]), id="array"),
    ],
)
def test_four_bytes_of_any_buffer_unpack_into_a_dotted_quad(packed: bytes) -> None:
    assert (socket.inet_ntoa(packed), socket.inet_ntop(socket.AF_INET, packed)) == ("1.2.3.4", "1.2.3.4")


@pytest.mark.parametrize("packed", [b"", b"\0", b"\0" * 3, b"\0" * 5, b"\0" * 16])
def test_a_packed_ipv4_address_has_four_bytes(packed: bytes) -> None:
    with pytest.raises(ValueError, match="invalid length of packed IP address string"):
        socket.inet_ntop(socket.AF_INET, packed)
    with pytest.raises(OSError, match="packed IP wrong length"):
        socket.inet_ntoa(packed)


@pytest.mark.parametrize("packed", [b"", b"\0" * 4, b"\0" * 15, b"\0" * 17, b"\0" * 18])
def test_a_packed_ipv6_address_has_sixteen_bytes(packed: bytes) -> None:
    with pytest.raises(ValueError, match="invalid length of packed IP address string"):
        socket.inet_ntop(socket.AF_INET6, packed)


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("::", bytes(16)),
        ("::1", LOOPBACK_V6),
        ("1::", b"\0\x01" + bytes(14)),
        ("0::0", bytes(16)),
        ("1:2:3:4:5:6:7:8", struct.pack("!8H", 1, 2, 3, 4, 5, 6, 7, 8)),
        ("45EF:76CB::BABE", b"\x45\xef\x76\xcb" + bytes(10) + b"\xba\xbe"),
        ("::ffff:1.2.3.4", bytes(10) + b"\xff\xff\x01\x02\x03\x04"),
        ("::254.42.23.64", bytes(12) + b"\xfe\x2a\x17\x40"),
        ("1:2:3:4:5:6:1.2.3.4", struct.pack("!6H", 1, 2, 3, 4, 5, 6) + b"\x01\x02\x03\x04"),
    ],
)
def test_an_ipv6_text_packs_into_sixteen_bytes(text: str, packed: bytes) -> None:
    assert socket.inet_pton(socket.AF_INET6, text) == packed


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(":", id="one colon"),
        pytest.param(":::", id="three colons"),
        pytest.param("1:2:3:4:5:6:7", id="seven groups"),
        pytest.param("1:2:3:4:5:6:7:8:9", id="nine groups"),
        pytest.param("1:2:3:4:5:6:7:8:", id="colon at the end"),
        pytest.param(":1:2:3:4:5:6:7:8", id="colon at the start"),
        pytest.param("1::2::3", id="two gaps"),
        pytest.param("12345::", id="group of five digits"),
        pytest.param("0x1::", id="hexadecimal prefix"),
        pytest.param("g::", id="not a digit"),
        pytest.param("::1q", id="letter behind"),
        pytest.param("::1 ", id="space behind"),
        pytest.param("::1.2.3", id="short embedded quad"),
        pytest.param("::1.2.3.4.5", id="long embedded quad"),
        pytest.param("1.2.3.4::", id="quad in front"),
        pytest.param("1:2:3:4:5:6:7:1.2.3.4", id="seven groups and a quad"),
        pytest.param("::1%lo", id="zone"),
        pytest.param("1.2.3.4", id="IPv4"),
    ],
)
def test_inet_pton_refuses_malformed_ipv6(text: str) -> None:
    with pytest.raises(OSError, match="illegal IP address string"):
        socket.inet_pton(socket.AF_INET6, text)


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (bytes(16), "::"),
        (LOOPBACK_V6, "::1"),
        (bytearray(LOOPBACK_V6), "::1"),
        (b"\0\x01" + bytes(14), "1::"),
        (bytes(10) + b"\xff\xff\x01\x02\x03\x04", "::ffff:1.2.3.4"),
        (struct.pack("!8H", 1, 0xEF, 3, 4, 5, 6, 7, 0xABCD), "1:ef:3:4:5:6:7:abcd"),
        (struct.pack("!8H", 1, 0, 0, 2, 0, 0, 0, 3), "1:0:0:2::3"),
    ],
)
def test_an_ipv6_address_unpacks_into_its_shortest_text(packed: bytes, text: str) -> None:
    assert socket.inet_ntop(socket.AF_INET6, packed) == text


@pytest.mark.parametrize("convert", [socket.inet_pton, socket.inet_ntop])
def test_a_family_without_such_addresses_is_refused(convert: object) -> None:
    value = "1.2.3.4" if convert is socket.inet_pton else b"\x01\x02\x03\x04"
    assert callable(convert)
    with pytest.raises((OSError, ValueError)):
        convert(-1, value)


@given(st.integers(0, 2**32 - 1))
def test_any_ipv4_address_survives_the_way_to_text_and_back(number: int) -> None:
    packed = number.to_bytes(4, "big")
    text = str(ipaddress.IPv4Address(number))
    assert socket.inet_ntoa(packed) == socket.inet_ntop(socket.AF_INET, packed) == text
    assert socket.inet_aton(text) == socket.inet_pton(socket.AF_INET, text) == packed


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**48 - 1) | st.integers(0, 255).map(lambda bits: bits << 100))
def test_any_ipv6_address_survives_the_way_to_text_and_back(number: int) -> None:
    packed = number.to_bytes(16, "big")
    text = socket.inet_ntop(socket.AF_INET6, packed)
    assert ipaddress.IPv6Address(text).packed == packed
    assert socket.inet_pton(socket.AF_INET6, text) == packed
    assert socket.inet_pton(socket.AF_INET6, ipaddress.IPv6Address(number).exploded) == packed


@given(st.text(st.sampled_from("0123456789abcf.:x% "), max_size=24))
def test_any_text_packs_into_sixteen_bytes_or_raises_oserror(text: str) -> None:
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return
    assert ipaddress.IPv6Address(text).packed == packed


@given(st.integers(0, 0xFFFF))
def test_a_short_is_turned_into_network_order_and_back(number: int) -> None:
    turned = int.from_bytes(number.to_bytes(2, "big"), sys.byteorder)
    assert socket.htons(number) == socket.ntohs(number) == turned
    assert socket.ntohs(turned) == number


@given(st.integers(0, 0xFFFF_FFFF))
def test_a_long_is_turned_into_network_order_and_back(number: int) -> None:
    turned = int.from_bytes(number.to_bytes(4, "big"), sys.byteorder)
    assert socket.htonl(number) == socket.ntohl(number) == turned
    assert socket.ntohl(turned) == number


@pytest.mark.parametrize(
    ("turn", "limit"),
    [
        pytest.param(socket.htons, 2**16, id="htons"),
        pytest.param(socket.ntohs, 2**16, id="ntohs"),
        pytest.param(socket.htonl, 2**32, id="htonl"),
        pytest.param(socket.ntohl, 2**32, id="ntohl"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(turn: object, limit: int) -> None:
    assert callable(turn)
    assert turn(limit - 1) == limit - 1
    for number in (-1, limit, 2**64):
        with pytest.raises(OverflowError):
            turn(number)
    with pytest.raises(TypeError):
        turn("1")
