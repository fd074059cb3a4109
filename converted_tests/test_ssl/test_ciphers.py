"""A context chooses ciphers, curves and parameters, and the two ends of a connection agree on what both have.

Source: ciphers(1), RFC 8446 appendix B.4, RFC 7919 (groups), RFC 8422 (curves), RFC 7525 (no compression).
"""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.certificates import ffdhe2048
from converted_tests.test_ssl.support import handshake_outcomes, serving, through_memory, tls_connection, trusting

TLS_1_3_CIPHERS = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
TLSv1_2 = ssl.TLSVersion.TLSv1_2


def client() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def names_of(context: ssl.SSLContext) -> set[str]:
    return {cipher["name"] for cipher in context.get_ciphers()}


@pytest.mark.parametrize("ciphers", ["ALL", "DEFAULT", "ECDHE+AESGCM:!RSA"])
def test_ciphers_can_be_set(ciphers: str) -> None:
    context = client()
    context.set_ciphers(ciphers)
    assert names_of(context) >= TLS_1_3_CIPHERS


def test_only_the_named_ciphers_of_tls_1_2_are_left() -> None:
    context = client()
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert names_of(context) - TLS_1_3_CIPHERS == {"ECDHE-RSA-AES128-GCM-SHA256"}


def test_a_list_that_leaves_nothing_is_an_ssl_error() -> None:
    with pytest.raises(ssl.SSLError, match="No cipher can be selected"):
        client().set_ciphers("^$:,;?*'dorothyx")


def test_weak_ciphers_are_not_among_the_default_ones() -> None:
    weak = ("PSK", "SRP", "MD5", "RC4", "3DES")
    assert {name for name in names_of(client()) if any(part in name for part in weak)} == set()


def test_the_known_modern_ciphers_are_among_the_default_ones() -> None:
    assert names_of(client()) >= TLS_1_3_CIPHERS | {
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }


def test_a_cipher_is_described() -> None:
    described: dict[str, Any] = {cipher["name"]: dict(cipher) for cipher in client().get_ciphers()}
    shown = described["TLS_AES_128_GCM_SHA256"]
    assert (shown["protocol"], shown["strength_bits"], shown["aead"]) == ("TLSv1.3", 128, True)


def test_both_ends_name_the_cipher_they_agreed_on(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context) as (end, other):
        agreed = end.cipher()
        assert agreed is not None
        assert agreed == other.cipher()
        name, version, bits = agreed
        assert (name in TLS_1_3_CIPHERS, version, bits in {128, 256}) == (True, "TLSv1.3", True)


def test_the_servers_socket_lists_the_ciphers_of_both(
    authority: trustme.CA, tls12_server_context: ssl.SSLContext
) -> None:
    context = trusting(authority)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    with tls_connection(context, tls12_server_context) as (end, other):
        shared = other.shared_ciphers()
        assert shared is not None
        assert {cipher for cipher in shared if cipher[1] == "TLSv1.2"} == {
            ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2", 128),
            ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2", 256),
        }
        assert end.shared_ciphers() is None


def test_without_a_shared_cipher_both_ends_fail(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    one, other = trusting(authority, maximum_version=TLSv1_2), serving(server_identity)
    one.set_ciphers("AES128")
    other.set_ciphers("AES256")
    pair = through_memory(one, other)
    at_client, at_server = handshake_outcomes(pair.client, pair.server)
    assert isinstance(at_client, ssl.SSLError)
    assert isinstance(at_server, ssl.SSLError)
    assert (at_client.reason, at_server.reason) == ("SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")


def test_nothing_is_compressed(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with tls_connection(client_context, server_context) as (end, other):
        assert (end.compression(), other.compression()) == (None, None)


def test_an_elliptic_curve_is_used_by_default(authority: trustme.CA, tls12_server_context: ssl.SSLContext) -> None:
    with tls_connection(trusting(authority), tls12_server_context) as (end, _):
        agreed = end.cipher()
        assert agreed is not None
        assert agreed[0].startswith("ECDHE-ECDSA-")


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    path = tmp_path / "dh.pem"
    path.write_bytes(ffdhe2048())
    return path


@pytest.mark.parametrize(
    "how", [str, lambda path: path, lambda path: str(path).encode()], ids=["text", "path", "bytes"]
)
def test_diffie_hellman_parameters_are_used(
    how: Any, parameters: Path, authority: trustme.CA, rsa_identity: trustme.LeafCert
) -> None:
    server = serving(rsa_identity, maximum_version=TLSv1_2)
    server.load_dh_params(how(parameters))
    server.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    pair = through_memory(trusting(authority), server).shaken()
    assert pair.client.cipher() == ("DHE-RSA-AES128-GCM-SHA256", "TLSv1.2", 128)


def test_without_parameters_there_is_no_diffie_hellman(authority: trustme.CA, rsa_identity: trustme.LeafCert) -> None:
    server = serving(rsa_identity, maximum_version=TLSv1_2)
    server.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    pair = through_memory(trusting(authority), server)
    _, at_server = handshake_outcomes(pair.client, pair.server)
    assert isinstance(at_server, ssl.SSLError)
    assert at_server.reason == "NO_SHARED_CIPHER"


def test_parameters_come_from_a_file(tmp_path: Path) -> None:
    context: Any = client()
    with pytest.raises(TypeError):
        context.load_dh_params()
    with pytest.raises(TypeError):
        context.load_dh_params(None)
    with pytest.raises(FileNotFoundError) as missing:
        context.load_dh_params(tmp_path / "missing")
    assert missing.value.errno == errno.ENOENT


def test_a_file_without_parameters_is_an_ssl_error(certificate_files: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ssl.SSLError, match=r"no start line|NO_START_LINE"):
        client().load_dh_params(str(certificate_files[0]))


@pytest.mark.parametrize("curve", ["prime256v1", b"prime256v1"], ids=["text", "bytes"])
def test_a_curve_can_be_set(curve: Any) -> None:
    assert client().set_ecdh_curve(curve) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("curve", ["foo", b"foo"], ids=["text", "bytes"])
def test_an_unknown_curve_is_a_value_error(curve: Any) -> None:
    with pytest.raises(ValueError, match=r"^unknown elliptic curve name b?'foo'$"):
        client().set_ecdh_curve(curve)


@pytest.mark.parametrize("arguments", [(), (None,)], ids=["nothing", "none"])
def test_a_curve_has_a_name(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        client().set_ecdh_curve(*arguments)


@pytest.mark.parametrize(
    ("clients", "servers", "agree"),
    [
        pytest.param("secp384r1", "secp384r1", True, id="the same"),
        pytest.param(None, "secp384r1", True, id="any and one"),
        pytest.param("secp384r1", None, True, id="one and any"),
        pytest.param("secp384r1", "secp521r1", False, id="two"),
    ],
)
def test_both_ends_need_a_curve_in_common(
    clients: str | None,
    servers: str | None,
    agree: bool,
    authority: trustme.CA,
    rsa_identity: trustme.LeafCert,
) -> None:
    # With RSA the curve is that of the key exchange alone, not also that of the certificate.
    one, other = trusting(authority), serving(rsa_identity, maximum_version=TLSv1_2)
    if clients:
        one.set_ecdh_curve(clients)
    if servers:
        other.set_ecdh_curve(servers)
    other.set_ciphers("ECDHE:!eNULL:!aNULL")
    pair = through_memory(one, other)
    outcomes = handshake_outcomes(pair.client, pair.server)
    if agree:
        assert outcomes == [None, None]
    else:
        assert all(isinstance(outcome, ssl.SSLError) for outcome in outcomes)


def test_tls_unique_is_the_same_at_both_ends_and_never_again(
    client_context: ssl.SSLContext, tls12_server_context: ssl.SSLContext
) -> None:
    seen = []
    for _ in range(2):
        with tls_connection(client_context, tls12_server_context) as (end, other):
            binding = end.get_channel_binding("tls-unique")
            assert binding is not None
            assert binding == other.get_channel_binding("tls-unique") == end.get_channel_binding()
            # The first Finished message of TLS 1.2 has 12 bytes. RFC 5246 section 7.4.9.
            assert len(binding) == 12
            with pytest.raises(ValueError, match="'other' channel binding type not implemented"):
                end.get_channel_binding("other")
            seen.append(binding)
    assert seen[0] != seen[1]
