"""ssl names OpenSSL's numbers, and the names of one family form an enumeration.

Source: the IANA registry of TLS parameters, RFC 8446 appendix B (content types, alerts, handshake messages), ssl.h.
"""

from __future__ import annotations

import ssl
import sys
from enum import IntEnum, IntFlag
from typing import Any

import pytest

PRIVATE: Any = ssl

CONTENT_TYPES = {
    "CHANGE_CIPHER_SPEC": 20,
    "ALERT": 21,
    "HANDSHAKE": 22,
    "APPLICATION_DATA": 23,
    "HEADER": 0x100,
    "INNER_CONTENT_TYPE": 0x101,
}

ALERTS = {
    "CLOSE_NOTIFY": 0,
    "UNEXPECTED_MESSAGE": 10,
    "BAD_RECORD_MAC": 20,
    "DECRYPTION_FAILED": 21,
    "RECORD_OVERFLOW": 22,
    "DECOMPRESSION_FAILURE": 30,
    "HANDSHAKE_FAILURE": 40,
    "NO_CERTIFICATE": 41,
    "BAD_CERTIFICATE": 42,
    "UNSUPPORTED_CERTIFICATE": 43,
    "CERTIFICATE_REVOKED": 44,
    "CERTIFICATE_EXPIRED": 45,
    "CERTIFICATE_UNKNOWN": 46,
    "ILLEGAL_PARAMETER": 47,
    "UNKNOWN_CA": 48,
    "ACCESS_DENIED": 49,
    "DECODE_ERROR": 50,
    "DECRYPT_ERROR": 51,
    "EXPORT_RESTRICTION": 60,
    "PROTOCOL_VERSION": 70,
    "INSUFFICIENT_SECURITY": 71,
    "INTERNAL_ERROR": 80,
    "INAPPROPRIATE_FALLBACK": 86,
    "USER_CANCELED": 90,
    "NO_RENEGOTIATION": 100,
    "MISSING_EXTENSION": 109,
    "UNSUPPORTED_EXTENSION": 110,
    "CERTIFICATE_UNOBTAINABLE": 111,
    "UNRECOGNIZED_NAME": 112,
    "BAD_CERTIFICATE_STATUS_RESPONSE": 113,
    "BAD_CERTIFICATE_HASH_VALUE": 114,
    "UNKNOWN_PSK_IDENTITY": 115,
    "CERTIFICATE_REQUIRED": 116,
    "NO_APPLICATION_PROTOCOL": 120,
}

MESSAGES = {
    "HELLO_REQUEST": 0,
    "CLIENT_HELLO": 1,
    "SERVER_HELLO": 2,
    "HELLO_VERIFY_REQUEST": 3,
    "NEWSESSION_TICKET": 4,
    "END_OF_EARLY_DATA": 5,
    "HELLO_RETRY_REQUEST": 6,
    "ENCRYPTED_EXTENSIONS": 8,
    "CERTIFICATE": 11,
    "SERVER_KEY_EXCHANGE": 12,
    "CERTIFICATE_REQUEST": 13,
    "SERVER_DONE": 14,
    "CERTIFICATE_VERIFY": 15,
    "CLIENT_KEY_EXCHANGE": 16,
    "FINISHED": 20,
    "CERTIFICATE_URL": 21,
    "CERTIFICATE_STATUS": 22,
    "SUPPLEMENTAL_DATA": 23,
    "KEY_UPDATE": 24,
    "NEXT_PROTO": 67,
    "MESSAGE_HASH": 254,
    "CHANGE_CIPHER_SPEC": 257,
}

VERSIONS = {
    "MINIMUM_SUPPORTED": -2,
    "SSLv3": 0x300,
    "TLSv1": 0x301,
    "TLSv1_1": 0x302,
    "TLSv1_2": 0x303,
    "TLSv1_3": 0x304,
    "MAXIMUM_SUPPORTED": -1,
}

PROTOCOLS = {
    "PROTOCOL_TLS": 2,
    "PROTOCOL_TLSv1": 3,
    "PROTOCOL_TLSv1_1": 4,
    "PROTOCOL_TLSv1_2": 5,
    "PROTOCOL_TLS_CLIENT": 16,
    "PROTOCOL_TLS_SERVER": 17,
}

ERRORS = {
    "SSL_ERROR_SSL": 1,
    "SSL_ERROR_WANT_READ": 2,
    "SSL_ERROR_WANT_WRITE": 3,
    "SSL_ERROR_WANT_X509_LOOKUP": 4,
    "SSL_ERROR_SYSCALL": 5,
    "SSL_ERROR_ZERO_RETURN": 6,
    "SSL_ERROR_WANT_CONNECT": 7,
    "SSL_ERROR_EOF": 8,
    "SSL_ERROR_INVALID_ERROR_CODE": 10,
}

MODES = {"CERT_NONE": 0, "CERT_OPTIONAL": 1, "CERT_REQUIRED": 2}

VERIFY_FLAGS = {
    "VERIFY_DEFAULT": 0,
    "VERIFY_CRL_CHECK_LEAF": 4,
    "VERIFY_CRL_CHECK_CHAIN": 12,
    "VERIFY_X509_STRICT": 0x20,
    "VERIFY_ALLOW_PROXY_CERTS": 0x40,
    "VERIFY_X509_TRUSTED_FIRST": 0x8000,
    "VERIFY_X509_PARTIAL_CHAIN": 0x80000,
}

# Of OpenSSL 1.1.1 and 3; older and newer ones may number them otherwise.
OPTIONS = {
    "OP_NO_SSLv2": 0,
    "OP_SINGLE_DH_USE": 0,
    "OP_SINGLE_ECDH_USE": 0,
    "OP_NO_TICKET": 1 << 14,
    "OP_NO_COMPRESSION": 1 << 17,
    "OP_ENABLE_MIDDLEBOX_COMPAT": 1 << 20,
    "OP_CIPHER_SERVER_PREFERENCE": 1 << 22,
    "OP_NO_SSLv3": 1 << 25,
    "OP_NO_TLSv1": 1 << 26,
    "OP_NO_TLSv1_2": 1 << 27,
    "OP_NO_TLSv1_1": 1 << 28,
    "OP_NO_TLSv1_3": 1 << 29,
    "OP_NO_RENEGOTIATION": 1 << 30,
}

# RFC 8446 knows more alerts than OpenSSL has public names for, and spells one otherwise.
ALERT_DESCRIPTIONS = {
    f"ALERT_DESCRIPTION_{'USER_CANCELLED' if name == 'USER_CANCELED' else name}": value
    for name, value in ALERTS.items()
    if name
    not in {
        "DECRYPTION_FAILED",
        "NO_CERTIFICATE",
        "EXPORT_RESTRICTION",
        "INAPPROPRIATE_FALLBACK",
        "MISSING_EXTENSION",
        "CERTIFICATE_REQUIRED",
        "NO_APPLICATION_PROTOCOL",
    }
}


@pytest.mark.parametrize(
    ("family", "members"),
    [
        pytest.param("_TLSContentType", CONTENT_TYPES, id="content types"),
        pytest.param("_TLSAlertType", ALERTS, id="alerts"),
        pytest.param("_TLSMessageType", MESSAGES, id="handshake messages"),
        pytest.param("TLSVersion", VERSIONS, id="versions"),
        pytest.param("_SSLMethod", PROTOCOLS, id="protocols"),
        pytest.param("AlertDescription", ALERT_DESCRIPTIONS, id="alert descriptions"),
        pytest.param("SSLErrorNumber", ERRORS, id="error numbers"),
        pytest.param("VerifyMode", MODES, id="verify modes"),
    ],
)
def test_an_enumeration_has_exactly_these_members(family: str, members: dict[str, int]) -> None:
    enumeration = getattr(ssl, family)
    assert issubclass(enumeration, IntEnum)
    assert {name: int(value) for name, value in enumeration.__members__.items()} == members


@pytest.mark.parametrize(
    ("family", "prefix", "members"),
    [
        pytest.param("VerifyFlags", "VERIFY_", VERIFY_FLAGS, id="verify flags"),
        pytest.param("Options", "OP_", OPTIONS, id="options"),
    ],
)
def test_flags_have_at_least_these_members_and_only_of_their_kind(
    family: str, prefix: str, members: dict[str, int]
) -> None:
    enumeration = getattr(ssl, family)
    assert issubclass(enumeration, IntFlag)
    found = {name: int(value) for name, value in enumeration.__members__.items()}
    assert {name: found.get(name) for name in members} == members
    assert {name for name in found if not name.startswith(prefix)} == set()


@pytest.mark.parametrize(
    "family",
    ["_SSLMethod", "Options", "AlertDescription", "SSLErrorNumber", "VerifyFlags", "VerifyMode"],
)
def test_every_member_is_also_a_constant_of_the_module(family: str) -> None:
    members = getattr(ssl, family).__members__
    assert {name: getattr(ssl, name) for name in members} == dict(members)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the option has a name since Python 3.12")
def test_kernel_tls_has_an_option() -> None:
    assert int(PRIVATE.OP_ENABLE_KTLS) == 8


@pytest.mark.parametrize(
    ("member", "text", "description"),
    [
        pytest.param(ssl.PROTOCOL_TLS_CLIENT, "16", "<_SSLMethod.PROTOCOL_TLS_CLIENT: 16>", id="protocol"),
        pytest.param(ssl.CERT_REQUIRED, "2", "<VerifyMode.CERT_REQUIRED: 2>", id="verify mode"),
        pytest.param(ssl.TLSVersion.TLSv1_3, "772", "<TLSVersion.TLSv1_3: 772>", id="version"),
    ],
)
def test_a_member_prints_as_its_number_and_shows_its_name(member: Any, text: str, description: str) -> None:
    assert (str(member), repr(member)) == (text, description)


@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
def test_a_context_knows_its_protocol_as_a_member(protocol: Any) -> None:
    context = ssl.SSLContext(int(protocol))
    assert context.protocol is protocol


@pytest.mark.parametrize(
    ("member", "number"),
    [
        pytest.param(PRIVATE._TLSContentType.HANDSHAKE, 22, id="content type"),
        pytest.param(PRIVATE._TLSAlertType.UNKNOWN_CA, 48, id="alert"),
        pytest.param(PRIVATE._TLSMessageType.FINISHED, 20, id="message"),
    ],
)
def test_a_number_gives_its_member(member: Any, number: int) -> None:
    assert type(member)(number) is member


def test_only_tls_unique_is_promised_as_a_channel_binding() -> None:
    assert ssl.CHANNEL_BINDING_TYPES == ["tls-unique"]
