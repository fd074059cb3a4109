"""A context takes its own chain and key and the authorities it trusts from files, folders, bytes and the platform.

Source: SSL_CTX_use_certificate_chain_file(3), SSL_CTX_load_verify_locations(3), RFC 7468 (textual encodings).
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.certificates import der, encrypted_key, hashed_folder, hashed_list, revocation_list
from converted_tests.test_ssl.support import handshake_outcomes, serving, through_memory, trusting

CertificateFiles = tuple[Path, Path, Path]


def server() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def client() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def shown_by(context: ssl.SSLContext, authority: trustme.CA) -> bytes | None:
    """The certificate that a server with *context* presents."""
    return through_memory(trusting(authority), context).shaken().client.getpeercert(binary_form=True)


@pytest.fixture
def combined_file(server_identity: trustme.LeafCert, tmp_path: Path) -> Path:
    path = tmp_path / "combined.pem"
    server_identity.private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture
def raw_identity(server_identity: trustme.LeafCert) -> bytes:
    return der(server_identity.cert_chain_pems[0].bytes())


def test_key_and_chain_come_from_two_files(
    certificate_files: CertificateFiles, authority: trustme.CA, raw_identity: bytes
) -> None:
    _, chain, key = certificate_files
    context = server()
    context.load_cert_chain(str(chain), keyfile=str(key))
    assert shown_by(context, authority) == raw_identity


def test_key_and_chain_come_from_one_file(combined_file: Path, authority: trustme.CA, raw_identity: bytes) -> None:
    context = server()
    context.load_cert_chain(combined_file)
    assert shown_by(context, authority) == raw_identity


def test_a_missing_key_is_looked_for_behind_the_chain(certificate_files: CertificateFiles) -> None:
    _, chain, _ = certificate_files
    with pytest.raises(ssl.SSLError, match="PEM lib"):
        server().load_cert_chain(chain)


def test_a_key_without_a_chain_is_not_enough(certificate_files: CertificateFiles) -> None:
    _, _, key = certificate_files
    with pytest.raises(ssl.SSLError, match=r"PEM lib|PEM_LIB|NO_START_LINE|no start line"):
        server().load_cert_chain(key)


def test_a_file_that_is_not_there_is_enoent(certificate_files: CertificateFiles, tmp_path: Path) -> None:
    _, chain, _ = certificate_files
    wrong: list[Any] = [(tmp_path / "missing",), (chain, tmp_path / "missing")]
    for arguments in wrong:
        with pytest.raises(FileNotFoundError) as refusal:
            server().load_cert_chain(*arguments)
        assert refusal.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", id="nothing between head and tail"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\n@@@@\n-----END CERTIFICATE-----\n", id="not base64"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n", id="not DER"),
        pytest.param(b"hello\n", id="not PEM"),
    ],
)
def test_a_malformed_certificate_is_an_ssl_error(
    content: bytes, certificate_files: CertificateFiles, tmp_path: Path
) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    with pytest.raises(ssl.SSLError):
        server().load_cert_chain(tmp_path / "bad.pem", certificate_files[2])


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n@@@@\n"], ids=["empty", "not base64"])
def test_a_malformed_key_is_an_ssl_error(content: bytes, certificate_files: CertificateFiles, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    with pytest.raises(ssl.SSLError):
        server().load_cert_chain(certificate_files[1], tmp_path / "bad.pem")


def test_a_key_must_belong_to_the_certificate(
    certificate_files: CertificateFiles, client_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    client_identity.private_key_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(ssl.SSLError, match=r"key values mismatch|KEY_VALUES_MISMATCH"):
        server().load_cert_chain(certificate_files[1], tmp_path / "other.pem")


PASSWORD = b"open sesame"


@pytest.fixture
def locked(
    certificate_files: CertificateFiles, server_identity: trustme.LeafCert, tmp_path: Path
) -> tuple[Path, Path]:
    """The server's chain and its key, encrypted with PASSWORD."""
    key = tmp_path / "locked.pem"
    key.write_bytes(encrypted_key(server_identity, PASSWORD))
    return certificate_files[1], key


class _Callable:
    def __call__(self) -> bytes:
        return PASSWORD

    def method(self) -> str:
        return PASSWORD.decode()


@pytest.mark.parametrize(
    "password",
    [
        pytest.param(PASSWORD.decode(), id="text"),
        pytest.param(PASSWORD, id="bytes"),
        pytest.param(bytearray(PASSWORD), id="bytearray"),
        pytest.param(lambda: PASSWORD.decode(), id="function giving text"),
        pytest.param(lambda: PASSWORD, id="function giving bytes"),
        pytest.param(lambda: bytearray(PASSWORD), id="function giving a bytearray"),
        pytest.param(_Callable(), id="object that can be called"),
        pytest.param(_Callable().method, id="method"),
    ],
)
def test_a_password_opens_the_key(
    password: Any, locked: tuple[Path, Path], authority: trustme.CA, raw_identity: bytes
) -> None:
    context = server()
    context.load_cert_chain(*locked, password=password)
    assert shown_by(context, authority) == raw_identity


@pytest.mark.parametrize("password", ["wrong", lambda: "wrong"], ids=["text", "function"])
def test_a_wrong_password_is_an_ssl_error(password: Any, locked: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLError):
        server().load_cert_chain(*locked, password=password)


@pytest.mark.parametrize("password", [True, 5], ids=["boolean", "number"])
def test_a_password_is_text_or_bytes(password: Any, locked: tuple[Path, Path]) -> None:
    with pytest.raises(TypeError, match=r"^password should be a string or callable$"):
        server().load_cert_chain(*locked, password=password)


def test_a_function_must_give_a_password(locked: tuple[Path, Path]) -> None:
    with pytest.raises(TypeError, match=r"^password callback must return a string$"):
        server().load_cert_chain(*locked, password=lambda: 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrapped", [lambda text: text, lambda text: lambda: text], ids=["text", "function"])
def test_a_password_can_be_too_long(wrapped: Callable[[str], Any], locked: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=r"^password cannot be longer than 1024 bytes$"):
        server().load_cert_chain(*locked, password=wrapped("a" * 102400))


def test_what_a_password_function_raises_is_passed_on(locked: tuple[Path, Path]) -> None:
    def password() -> str:
        raise LookupError("no password today")

    with pytest.raises(LookupError, match=r"^no password today$"):
        server().load_cert_chain(*locked, password=password)


def test_a_password_function_is_not_called_for_an_open_key(certificate_files: CertificateFiles) -> None:
    def password() -> str:
        raise AssertionError("called without need")

    server().load_cert_chain(*certificate_files[1:], password=password)


def authorities_of(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


@pytest.mark.parametrize("how", [str, bytes, Path], ids=["text", "bytes", "path"])
def test_authorities_come_from_a_file(how: Callable[[Any], Any], certificate_files: CertificateFiles) -> None:
    context = client()
    context.load_verify_locations(
        cafile=how(str(certificate_files[0]).encode()) if how is bytes else certificate_files[0]
    )
    assert authorities_of(context) == 1


def test_file_folder_and_data_may_be_none_all_but_one(certificate_files: CertificateFiles) -> None:
    context = client()
    context.load_verify_locations(certificate_files[0], None, None)
    assert authorities_of(context) == 1


@pytest.mark.parametrize("arguments", [(), (None, None, None)], ids=["nothing", "three times none"])
def test_authorities_must_come_from_somewhere(arguments: tuple[None, ...]) -> None:
    with pytest.raises(TypeError, match=r"^cafile, capath and cadata cannot be all omitted$"):
        client().load_verify_locations(*arguments)


def test_a_missing_file_of_authorities_is_enoent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refusal:
        client().load_verify_locations(tmp_path / "missing")
    assert refusal.value.errno == errno.ENOENT


def test_a_malformed_file_of_authorities_is_an_ssl_error(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_bytes(b"hello\n")
    with pytest.raises(ssl.SSLError, match=r"no certificate or crl found|NO_CERTIFICATE_OR_CRL_FOUND|PEM lib"):
        client().load_verify_locations(tmp_path / "bad.pem")


@pytest.mark.parametrize("argument", ["cafile", "capath"])
def test_a_place_of_authorities_is_a_path(argument: str) -> None:
    with pytest.raises(TypeError, match=rf"^{argument} should be a valid filesystem path$"):
        client().load_verify_locations(**{argument: True})  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [str, lambda path: str(path).encode()], ids=["text", "bytes"])
def test_authorities_come_from_a_folder_when_they_are_needed(
    how: Callable[[Path], Any], authority: trustme.CA, server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    context = client()
    context.load_verify_locations(capath=how(hashed_folder(tmp_path, authority.cert_pem.bytes())))
    assert context.get_ca_certs() == []
    through_memory(context, server_context).shaken()
    assert context.get_ca_certs(binary_form=True) == [der(authority.cert_pem.bytes())]


@pytest.fixture
def two_pems(authority: trustme.CA, strange_authority: trustme.CA) -> tuple[str, str]:
    return authority.cert_pem.bytes().decode(), strange_authority.cert_pem.bytes().decode()


@pytest.mark.parametrize(
    ("data", "count"),
    [
        pytest.param("{0}", 1, id="one"),
        pytest.param("{1}", 1, id="the other"),
        pytest.param("{0}{1}", 2, id="both"),
        pytest.param("{0}{0}{1}{0}", 2, id="repeated"),
        pytest.param("head\n{0}rubbish\n{1}tail", 2, id="with junk around"),
        pytest.param("{0}\n\n{1}\n\n", 2, id="with empty lines"),
    ],
)
def test_authorities_come_from_text(data: str, count: int, two_pems: tuple[str, str]) -> None:
    context = client()
    context.load_verify_locations(cadata=data.format(*two_pems))
    assert authorities_of(context) == count


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("order", "count"),
    [
        pytest.param((0,), 1, id="one"),
        pytest.param((0, 1), 2, id="both"),
        pytest.param((0, 1, 0), 2, id="repeated"),
    ],
)
def test_authorities_come_from_der(
    order: tuple[int, ...], count: int, kind: Callable[[bytes], Any], two_pems: tuple[str, str]
) -> None:
    context = client()
    context.load_verify_locations(cadata=kind(b"".join(der(two_pems[i].encode()) for i in order)))
    assert authorities_of(context) == count


def test_authorities_are_added_to_those_before(two_pems: tuple[str, str]) -> None:
    context = client()
    context.load_verify_locations(cadata=two_pems[0])
    context.load_verify_locations(cadata=two_pems[1])
    context.load_verify_locations(cadata=two_pems[0])
    assert authorities_of(context) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("rubbish", "no start line: cadata does not contain a certificate", id="text"),
        pytest.param(b"rubbish", "not enough data: cadata does not contain a certificate", id="bytes"),
    ],
)
def test_data_without_a_certificate_is_an_ssl_error(data: str | bytes, message: str) -> None:
    with pytest.raises(ssl.SSLError) as refusal:
        client().load_verify_locations(cadata=data)
    assert message in str(refusal.value)


def test_der_with_junk_behind_is_an_ssl_error(two_pems: tuple[str, str]) -> None:
    with pytest.raises(ssl.SSLError):
        client().load_verify_locations(cadata=der(two_pems[0].encode()) + b"rubbish")


@pytest.mark.parametrize("data", [object(), 5], ids=["object", "number"])
def test_data_is_text_or_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match=r"^cadata should be an ASCII string or a bytes-like object$"):
        client().load_verify_locations(cadata=data)


def test_empty_data_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^Empty certificate data$"):
        client().load_verify_locations(cadata=b"")


def test_a_store_counts_certificates_authorities_and_revocation_lists(
    authority: trustme.CA, server_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    context = client()
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}
    context.load_verify_locations(cadata=server_identity.cert_chain_pems[0].bytes().decode())
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 0}
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    assert context.cert_store_stats() == {"x509": 2, "crl": 0, "x509_ca": 1}
    (tmp_path / "crl.pem").write_bytes(revocation_list(authority))
    context.load_verify_locations(tmp_path / "crl.pem")
    assert context.cert_store_stats() == {"x509": 2, "crl": 1, "x509_ca": 1}


def test_the_own_chain_is_not_in_the_store(certificate_files: CertificateFiles) -> None:
    context = server()
    context.load_cert_chain(*certificate_files[1:])
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}


def test_only_authorities_are_listed(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    context = client()
    context.load_verify_locations(cadata=server_identity.cert_chain_pems[0].bytes().decode())
    assert context.get_ca_certs() == []
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    assert context.get_ca_certs(True) == [der(authority.cert_pem.bytes())]
    (shown,) = context.get_ca_certs()
    assert shown["subject"] == shown["issuer"]
    assert shown["notAfter"] == "Jan  1 00:00:00 3000 GMT"


def test_a_revocation_list_is_found_in_a_folder(
    authority: trustme.CA, server_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    context = client()
    folder = hashed_folder(tmp_path, authority.cert_pem.bytes())
    context.load_verify_locations(
        capath=hashed_list(folder, authority, revocation_list(authority, [server_identity]))
    )
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    pair = through_memory(context, serving(server_identity))
    refusal, _ = handshake_outcomes(pair.client, pair.server)
    assert isinstance(refusal, ssl.SSLCertVerificationError)
    assert refusal.verify_message == "certificate revoked"
