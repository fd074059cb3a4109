"""The authorities that the platform trusts come from OpenSSL's paths, the environment and, on Windows, stores.

Source: SSL_CTX_set_default_verify_paths(3), the ssl documentation of load_default_certs; a stand-in plays Windows.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.certificates import der, hashed_folder
from converted_tests.test_ssl.support import through_memory

CertificateFiles = tuple[Path, Path, Path]


def client() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def authorities_of(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_the_platforms_paths_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A real bundle would take 30 ms to load.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    assert client().set_default_verify_paths() is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("purpose", [None, "SERVER_AUTH", 5], ids=["none", "text", "number"])
def test_certificates_of_the_platform_are_loaded_for_a_purpose(purpose: Any) -> None:
    with pytest.raises(TypeError) as refusal:
        client().load_default_certs(purpose)
    assert refusal.value.args == (purpose,)


@pytest.mark.parametrize("purpose", [(), (ssl.Purpose.SERVER_AUTH,), (ssl.Purpose.CLIENT_AUTH,)], ids=str)
def test_the_environment_names_the_platforms_certificates(
    purpose: tuple[Any, ...], certificate_files: CertificateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files[0]))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = client()
    context.load_default_certs(*purpose)
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}


def test_the_environment_names_a_folder_of_certificates(
    authority: trustme.CA, server_context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed_folder(tmp_path, authority.cert_pem.bytes())))
    context = client()
    context.load_default_certs()
    through_memory(context, server_context).shaken()
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}


class WindowsStores:
    """The certificate stores of Windows, as `enum_certificates` returns them."""

    def __init__(self, **stores: list[tuple[bytes, str, Any]]) -> None:
        self._stores = stores
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[tuple[bytes, str, Any]]:
        self.asked.append(name)
        if name not in self._stores:
            raise PermissionError(f"store {name} is not for you")
        return self._stores[name]


SERVER_OID, CLIENT_OID = ssl.Purpose.SERVER_AUTH.oid, ssl.Purpose.CLIENT_AUTH.oid


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[WindowsStores], None]:
    """Make the module believe it is on Windows, where the platform's certificates are in stores."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))

    def install(stores: WindowsStores) -> None:
        monkeypatch.setattr(ssl, "enum_certificates", stores, raising=False)
        monkeypatch.setattr(ssl, "sys", SimpleNamespace(platform="win32", flags=sys.flags))

    return install


@pytest.mark.parametrize(
    ("encoding", "trust", "purpose", "count"),
    [
        pytest.param("x509_asn", True, ssl.Purpose.SERVER_AUTH, 1, id="trusted for everything"),
        pytest.param("x509_asn", {SERVER_OID}, ssl.Purpose.SERVER_AUTH, 1, id="trusted for the purpose"),
        pytest.param("x509_asn", {SERVER_OID}, ssl.Purpose.CLIENT_AUTH, 0, id="trusted for another purpose"),
        pytest.param("x509_asn", {CLIENT_OID, SERVER_OID}, ssl.Purpose.CLIENT_AUTH, 1, id="trusted for both"),
        pytest.param("x509_asn", set(), ssl.Purpose.SERVER_AUTH, 0, id="trusted for nothing"),
        pytest.param("pkcs_7_asn", True, ssl.Purpose.SERVER_AUTH, 0, id="in an encoding that is none of ours"),
    ],
)
def test_windows_certificates_are_loaded_as_they_are_trusted(
    encoding: str,
    trust: Any,
    purpose: ssl.Purpose,
    count: int,
    authority: trustme.CA,
    on_windows: Callable[[WindowsStores], None],
) -> None:
    stores = WindowsStores(CA=[(der(authority.cert_pem.bytes()), encoding, trust)], ROOT=[])
    on_windows(stores)
    context = client()
    context.load_default_certs(purpose)
    assert (authorities_of(context), stores.asked) == (count, ["CA", "ROOT"])


def test_several_windows_certificates_are_loaded(
    authority: trustme.CA, strange_authority: trustme.CA, on_windows: Callable[[WindowsStores], None]
) -> None:
    first, second = (der(ca.cert_pem.bytes()) for ca in (authority, strange_authority))
    on_windows(WindowsStores(CA=[(first, "x509_asn", True), (second, "x509_asn", True)], ROOT=[]))
    context = client()
    context.load_default_certs()
    assert sorted(context.get_ca_certs(binary_form=True)) == sorted([first, second])


def test_a_windows_store_that_may_not_be_read_is_passed_over_with_a_warning(
    authority: trustme.CA, on_windows: Callable[[WindowsStores], None]
) -> None:
    on_windows(WindowsStores(ROOT=[(der(authority.cert_pem.bytes()), "x509_asn", True)]))
    context = client()
    with pytest.warns(UserWarning, match=r"^unable to enumerate Windows certificate store$"):
        context.load_default_certs()
    assert authorities_of(context) == 1


def test_elsewhere_no_windows_store_is_asked(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stores = WindowsStores(CA=[(der(authority.cert_pem.bytes()), "x509_asn", True)], ROOT=[])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setattr(ssl, "enum_certificates", stores, raising=False)
    monkeypatch.setattr(ssl, "sys", SimpleNamespace(platform="linux"))
    client().load_default_certs()
    assert stores.asked == []


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="since Python 3.13 the certificates are loaded one by one")
def test_what_was_loaded_from_a_windows_store_is_returned(
    authority: trustme.CA, on_windows: Callable[[WindowsStores], None]
) -> None:
    raw = der(authority.cert_pem.bytes())
    on_windows(WindowsStores(CA=[(raw, "x509_asn", True)], ROOT=[]))
    context: Any = client()
    assert context._load_windows_store_certs("CA", ssl.Purpose.SERVER_AUTH) == raw
    assert context._load_windows_store_certs("ROOT", ssl.Purpose.SERVER_AUTH) == b""
