"""create_default_context gives safe settings for a side, _create_unverified_context the same ones without the checks.

Source: the ssl module's documentation, "Context creation" and "Best defaults".
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import trustme

from converted_tests.test_ssl.certificates import der, hashed_folder
from converted_tests.test_ssl.support import through_memory

PRIVATE: Any = ssl
CertificateFiles = tuple[Path, Path, Path]
HARDENED = ssl.OP_NO_SSLv3 | ssl.OP_NO_COMPRESSION | ssl.OP_SINGLE_DH_USE | ssl.OP_SINGLE_ECDH_USE

default, stdlib = ssl.create_default_context, PRIVATE._create_stdlib_context
both = pytest.mark.parametrize("make", [default, stdlib], ids=["default", "unverified"])


@pytest.fixture(autouse=True)
def _own_platform(certificate_files: CertificateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform trusts one authority, ours; a real bundle would take 30 ms to load, for every context."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files[0]))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)


def summary(context: ssl.SSLContext) -> tuple[Any, ...]:
    return (
        context.protocol.name,
        context.verify_mode.name,
        context.check_hostname,
        context.cert_store_stats()["x509_ca"],
        bool(context.options & HARDENED == HARDENED),
    )


def test_a_default_context_is_for_a_client_that_verifies() -> None:
    assert summary(default()) == ("PROTOCOL_TLS_CLIENT", "CERT_REQUIRED", True, 1, True)


def test_a_default_context_for_servers_wants_certificates() -> None:
    assert summary(default(ssl.Purpose.SERVER_AUTH)) == ("PROTOCOL_TLS_CLIENT", "CERT_REQUIRED", True, 1, True)


def test_a_default_context_for_clients_asks_for_nothing() -> None:
    assert summary(default(ssl.Purpose.CLIENT_AUTH)) == ("PROTOCOL_TLS_SERVER", "CERT_NONE", False, 0, True)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="strict since Python 3.13")
def test_a_default_context_is_strict_since_3_13() -> None:
    wanted = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert default().verify_flags & wanted == wanted


@both
@pytest.mark.parametrize("wrong", [None, "SERVER_AUTH"], ids=["none", "text"])
def test_a_purpose_is_an_object(make: Callable[..., ssl.SSLContext], wrong: Any) -> None:
    with pytest.raises(TypeError) as refusal:
        make(purpose=wrong)
    assert refusal.value.args == (wrong,)


@both
def test_a_third_purpose_is_a_value_error(make: Callable[..., ssl.SSLContext]) -> None:
    email = PRIVATE._ASN1Object.fromname("emailProtection")
    with pytest.raises(ValueError) as refusal:
        make(purpose=email)
    assert refusal.value.args == (email,)


@both
def test_authorities_from_a_file_replace_the_platforms(
    make: Callable[..., ssl.SSLContext], strange_authority: trustme.CA, tmp_path: Path
) -> None:
    strange_authority.cert_pem.write_to_path(tmp_path / "strange.pem")
    context = make(cafile=str(tmp_path / "strange.pem"))
    assert context.get_ca_certs(True) == [der(strange_authority.cert_pem.bytes())]


@both
def test_authorities_from_data_replace_the_platforms(
    make: Callable[..., ssl.SSLContext], strange_authority: trustme.CA
) -> None:
    context = make(cadata=strange_authority.cert_pem.bytes().decode())
    assert context.get_ca_certs(True) == [der(strange_authority.cert_pem.bytes())]


@both
def test_authorities_from_a_folder_replace_the_platforms(
    make: Callable[..., ssl.SSLContext],
    strange_authority: trustme.CA,
    tmp_path: Path,
) -> None:
    context = make(capath=str(hashed_folder(tmp_path, strange_authority.cert_pem.bytes())))
    assert context.get_ca_certs() == []
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strange_authority.issue_cert("localhost").configure_cert(server)
    through_memory(context, server).shaken()
    assert context.get_ca_certs(True) == [der(strange_authority.cert_pem.bytes())]


def test_a_servers_default_context_takes_authorities_too(certificate_files: CertificateFiles) -> None:
    context = default(ssl.Purpose.CLIENT_AUTH, cafile=certificate_files[0])
    assert summary(context) == ("PROTOCOL_TLS_SERVER", "CERT_NONE", False, 1, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, ("PROTOCOL_TLS_CLIENT", "CERT_NONE", False, 0, True), id="a client by default"),
        pytest.param(
            {"purpose": ssl.Purpose.CLIENT_AUTH}, ("PROTOCOL_TLS_SERVER", "CERT_NONE", False, 0, True), id="a server"
        ),
        pytest.param(
            {"cert_reqs": ssl.CERT_REQUIRED}, ("PROTOCOL_TLS_CLIENT", "CERT_REQUIRED", False, 1, True), id="verified"
        ),
        pytest.param(
            {"cert_reqs": ssl.CERT_REQUIRED, "check_hostname": True},
            ("PROTOCOL_TLS_CLIENT", "CERT_REQUIRED", True, 1, True),
            id="with its name",
        ),
        pytest.param(
            {"cert_reqs": None}, ("PROTOCOL_TLS_CLIENT", "CERT_REQUIRED", False, 1, True), id="as the protocol has it"
        ),
        pytest.param(
            {"cert_reqs": None, "check_hostname": True, "purpose": ssl.Purpose.CLIENT_AUTH},
            ("PROTOCOL_TLS_SERVER", "CERT_REQUIRED", True, 1, True),
            id="a server that checks names",
        ),
        pytest.param(
            {"protocol": ssl.PROTOCOL_TLS_SERVER},
            ("PROTOCOL_TLS_SERVER", "CERT_NONE", False, 0, True),
            id="a protocol goes before the purpose",
        ),
        pytest.param(
            {"protocol": ssl.PROTOCOL_TLS_CLIENT, "purpose": ssl.Purpose.CLIENT_AUTH},
            ("PROTOCOL_TLS_CLIENT", "CERT_NONE", False, 0, True),
            id="also before a server's purpose",
        ),
    ],
)
def test_an_unverified_context_takes_its_settings_from_the_call(
    arguments: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert summary(PRIVATE._create_unverified_context(**arguments)) == expected


def test_no_name_is_checked_without_a_certificate() -> None:
    with pytest.raises(ValueError, match=r"^Cannot set verify_mode to CERT_NONE when check_hostname is enabled.$"):
        PRIVATE._create_unverified_context(check_hostname=True)


def test_an_unverified_context_presents_a_chain(certificate_files: CertificateFiles) -> None:
    _, chain, key = certificate_files
    context = stdlib(purpose=ssl.Purpose.CLIENT_AUTH, certfile=str(chain), keyfile=str(key))
    pair = through_memory(default(), context).shaken()
    assert pair.client.getpeercert(True) == der(chain.read_bytes())


def test_an_unverified_context_finds_the_key_in_the_chains_file(
    server_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    combined = tmp_path / "combined.pem"
    server_identity.private_key_and_cert_chain_pem.write_to_path(combined)
    context = stdlib(purpose=ssl.Purpose.CLIENT_AUTH, certfile=str(combined))
    assert through_memory(default(), context).shaken().client.version() == "TLSv1.3"


def test_a_key_needs_its_certificate(certificate_files: CertificateFiles) -> None:
    with pytest.raises(ValueError, match=r"^certfile must be specified$"):
        stdlib(keyfile=str(certificate_files[2]))


def test_https_uses_the_default_context() -> None:
    assert PRIVATE._create_default_https_context is ssl.create_default_context


def test_stdlib_modules_use_the_unverified_context() -> None:
    assert PRIVATE._create_stdlib_context is PRIVATE._create_unverified_context


@both
def test_the_environment_names_a_key_log(
    make: Callable[..., ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "keys.txt"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    assert make().keylog_filename == str(log)
    assert log.exists()


@both
@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_no_keys_are_logged_unless_the_environment_names_a_file(
    make: Callable[..., ssl.SSLContext], value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("SSLKEYLOGFILE", value)
    assert make().keylog_filename is None


@both
def test_an_interpreter_that_ignores_its_environment_logs_no_keys(
    make: Callable[..., ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.txt"))
    with mock.patch.object(sys, "flags", SimpleNamespace(ignore_environment=1)):
        assert make().keylog_filename is None


def test_a_context_made_by_hand_logs_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.txt"))
    assert ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename is None
