"""ssl promises facts about the OpenSSL below it, its random numbers and its register of ASN.1 objects.

Source: the ssl module's documentation; RAND_add(3), OpenSSL_version(3), OBJ_nid2obj(3), RFC 5280 section 4.2.1.12.
"""

from __future__ import annotations

import _ssl
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PRIVATE: Any = ssl
"""The module with its names that typeshed does not know."""

SERVER_AUTH_OID = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH_OID = "1.3.6.1.5.5.7.3.2"


@pytest.mark.parametrize("flag", ["HAS_SNI", "HAS_ECDH", "HAS_ALPN", "HAS_TLSv1_2", "HAS_TLSv1_3"])
def test_this_openssl_can(flag: str) -> None:
    assert getattr(ssl, flag) is True


@pytest.mark.parametrize("flag", ["HAS_SSLv2", "HAS_SSLv3", "HAS_NPN"])
def test_this_openssl_cannot_any_more(flag: str) -> None:
    assert getattr(ssl, flag) is False


def test_a_common_name_can_be_left_unchecked_where_openssl_has_the_flag() -> None:
    assert ssl.HAS_NEVER_CHECK_COMMON_NAME is hasattr(_ssl, "HOSTFLAG_NEVER_CHECK_SUBJECT")


def test_tls_is_the_new_name_of_sslv23() -> None:
    assert PRIVATE.PROTOCOL_SSLv23 is ssl.PROTOCOL_TLS
    assert PRIVATE._SSLMethod.PROTOCOL_SSLv23 is ssl.PROTOCOL_TLS


def test_old_names_still_mean_the_same_things() -> None:
    assert PRIVATE.socket_error is OSError
    assert ssl.CertificateError is ssl.SSLCertVerificationError
    assert PRIVATE._SSLv2_IF_EXISTS is None
    assert PRIVATE._RESTRICTED_SERVER_CIPHERS == PRIVATE._DEFAULT_CIPHERS


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_ssl._SSLContext, id="context"),
        pytest.param(ssl.MemoryBIO, id="memory BIO"),
        pytest.param(ssl.SSLSession, id="session"),
        pytest.param(PRIVATE._ssl._SSLSocket, id="socket"),
        pytest.param(PRIVATE._ssl.Certificate, id="certificate"),
    ],
)
def test_a_type_written_in_c_cannot_be_changed(make: type) -> None:
    with pytest.raises(TypeError, match="cannot set 'anything' attribute of immutable type"):
        make.anything = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(ssl.SSLSession, id="session"),
        pytest.param(PRIVATE._ssl.Certificate, id="certificate"),
    ],
)
def test_what_a_handshake_makes_cannot_be_made_by_hand(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"cannot create '_ssl.*' instances"):
        make()


def test_a_tls_socket_is_not_constructed_but_wrapped() -> None:
    with pytest.raises(TypeError) as refusal:
        ssl.SSLSocket(None)
    expected = "SSLSocket does not have a public constructor. Instances are returned by SSLContext.wrap_socket()."
    assert str(refusal.value) == expected


def test_the_random_generator_is_seeded() -> None:
    assert ssl.RAND_status() is True


@pytest.mark.parametrize("size", [0, 1, 16, 4096])
def test_random_bytes_are_as_many_as_asked_for(size: int) -> None:
    assert len(ssl.RAND_bytes(size)) == size


def test_random_bytes_do_not_repeat() -> None:
    assert ssl.RAND_bytes(16) != ssl.RAND_bytes(16)


def test_a_negative_number_of_random_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="num must be positive"):
        ssl.RAND_bytes(-5)


@pytest.mark.parametrize(
    "seed", ["text", b"bytes", bytearray(b"changeable bytes")], ids=["text", "bytes", "bytearray"]
)
def test_entropy_may_be_text_or_bytes(seed: Any) -> None:
    assert ssl.RAND_add(seed, 75.0) is None  # type: ignore[func-returns-value]


def test_entropy_is_not_a_number() -> None:
    with pytest.raises(TypeError, match="int"):
        ssl.RAND_add(5, 75.0)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="RAND_pseudo_bytes is gone since Python 3.12")
def test_pseudo_random_bytes_are_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match=r"RAND_pseudo_bytes\(\) is deprecated"):
        data, is_strong = ssl.RAND_pseudo_bytes(16)
    assert (len(data), is_strong) == (16, True)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="RAND_pseudo_bytes is gone since Python 3.12")
def test_a_negative_number_of_pseudo_random_bytes_is_refused() -> None:
    with pytest.warns(DeprecationWarning, match="RAND_pseudo_bytes"), pytest.raises(ValueError, match="positive"):
        ssl.RAND_pseudo_bytes(-5)


def test_number_tuple_and_text_give_the_same_version_of_openssl() -> None:
    major, minor, fix, patch, status = ssl.OPENSSL_VERSION_INFO
    number = major << 28 | minor << 20 | fix << 12 | patch << 4 | status
    assert number == ssl.OPENSSL_VERSION_NUMBER
    # Since 3.0 the third part of the text is the patch, which the tuple holds in its fourth place.
    third = patch if major >= 3 else fix
    assert ssl.OPENSSL_VERSION.startswith(f"OpenSSL {major}.{minor}.{third}")


def test_verify_paths_are_openssls_where_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file_variable, file_built_in, folder_variable, folder_built_in = PRIVATE._ssl.get_default_verify_paths()
    monkeypatch.delenv(file_variable, raising=False)
    monkeypatch.delenv(folder_variable, raising=False)
    paths: Any = ssl.get_default_verify_paths()
    assert paths == (
        file_built_in if Path(file_built_in).is_file() else None,
        folder_built_in if Path(folder_built_in).is_dir() else None,
        "SSL_CERT_FILE",
        file_built_in,
        "SSL_CERT_DIR",
        folder_built_in,
    )
    assert type(paths).__name__ == "DefaultVerifyPaths"
    assert paths._fields == (
        "cafile",
        "capath",
        "openssl_cafile_env",
        "openssl_cafile",
        "openssl_capath_env",
        "openssl_capath",
    )


def test_the_environment_names_other_verify_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    paths: Any = ssl.get_default_verify_paths()
    assert (paths.cafile, paths.capath) == (str(bundle), str(tmp_path))


def test_a_verify_path_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    paths: Any = ssl.get_default_verify_paths()
    assert (paths.cafile, paths.capath) == (None, None)


def test_a_folder_is_no_verify_file_and_a_file_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "file"))
    paths: Any = ssl.get_default_verify_paths()
    assert (paths.cafile, paths.capath) == (None, None)


SERVER_AUTH = (129, "serverAuth", "TLS Web Server Authentication", SERVER_AUTH_OID)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(lambda: PRIVATE._ASN1Object(SERVER_AUTH_OID), id="by OID"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromnid(129), id="by OpenSSL's number"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromname("serverAuth"), id="by short name"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromname("TLS Web Server Authentication"), id="by long name"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromname(SERVER_AUTH_OID), id="by OID as a name"),
    ],
)
def test_an_asn1_object_is_found(found: Callable[[], Any]) -> None:
    thing = found()
    assert isinstance(thing, PRIVATE._ASN1Object)
    assert thing == SERVER_AUTH
    assert (thing.nid, thing.shortname, thing.longname, thing.oid) == SERVER_AUTH


def test_an_asn1_object_has_no_room_for_more() -> None:
    with pytest.raises(AttributeError):
        PRIVATE._ASN1Object.fromnid(129).extra = 1


@pytest.mark.parametrize(
    ("find", "message"),
    [
        pytest.param(lambda: PRIVATE._ASN1Object("serverAuth"), "unknown object 'serverAuth'", id="a name as an OID"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromnid(-1), "NID must be positive", id="a negative number"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromnid(100000), "unknown NID 100000", id="too high a number"),
        pytest.param(lambda: PRIVATE._ASN1Object.fromname("no such"), "unknown object 'no such'", id="unknown name"),
    ],
)
def test_an_unknown_asn1_object_is_a_value_error(find: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        find()
    assert str(refusal.value).startswith(message)


def test_the_two_purposes_are_the_extended_key_usages_of_rfc_5280() -> None:
    assert [(purpose.name, purpose.oid) for purpose in ssl.Purpose] == [
        ("SERVER_AUTH", SERVER_AUTH_OID),
        ("CLIENT_AUTH", CLIENT_AUTH_OID),
    ]
    assert ssl.Purpose.SERVER_AUTH.nid == 129
    assert ssl.Purpose.CLIENT_AUTH.shortname == "clientAuth"
    assert isinstance(ssl.Purpose.CLIENT_AUTH, PRIVATE._ASN1Object)


def test_a_protocol_code_has_a_name() -> None:
    assert PRIVATE.get_protocol_name(ssl.PROTOCOL_TLS_CLIENT) == "PROTOCOL_TLS_CLIENT"
    assert PRIVATE.get_protocol_name(2) == "PROTOCOL_TLS"
    assert PRIVATE.get_protocol_name(17) == "PROTOCOL_TLS_SERVER"


def test_a_protocol_code_of_nothing_is_unknown() -> None:
    assert PRIVATE.get_protocol_name(-7) == "<unknown>"


def test_only_stream_sockets_can_be_wrapped(client_context: ssl.SSLContext) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(NotImplementedError, match=r"^only stream sockets are supported$"):
            client_context.wrap_socket(datagrams, server_hostname="localhost")
        assert datagrams.fileno() >= 0


@pytest.mark.skipif(sys.platform != "win32", reason="certificate stores are a thing of Windows")
def test_windows_lists_its_certificates() -> None:
    certificates = PRIVATE.enum_certificates("CA")
    assert {encoding for _, encoding, _ in certificates} <= {"x509_asn", "pkcs_7_asn"}


@pytest.mark.skipif(sys.platform != "win32", reason="certificate stores are a thing of Windows")
def test_windows_lists_its_revocation_lists() -> None:
    assert all(isinstance(crl, bytes) for crl, _ in PRIVATE.enum_crls("CA"))


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows the functions are there")
def test_elsewhere_there_is_no_certificate_store_to_list() -> None:
    assert not hasattr(ssl, "enum_certificates")
    assert not hasattr(ssl, "enum_crls")


@pytest.mark.parametrize(
    "method",
    [
        "getpeercert",
        "selected_alpn_protocol",
        "cipher",
        "shared_ciphers",
        "compression",
        "pending",
        "unwrap",
        "version",
    ],
)
def test_a_tls_socket_explains_its_methods_as_a_tls_object_does(method: str) -> None:
    text = getattr(ssl.SSLObject, method).__doc__
    assert text
    assert getattr(ssl.SSLSocket, method).__doc__ == text
