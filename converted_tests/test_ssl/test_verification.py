"""A certificate is trusted only if it chains to a trusted authority, is in force, not revoked and has the right name.

Source: RFC 5280 section 6, RFC 6125 section 6, RFC 5890 (IDNA), X509_verify_cert(3).
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from converted_tests.peers import listening
from converted_tests.test_ssl.certificates import der, issued, name, revocation_list
from converted_tests.test_ssl.support import (
    Memory,
    Refusal,
    echo_of,
    echoing,
    handshake_outcomes,
    serving,
    through_memory,
    tls_connection,
    tls_dialled,
    tls_sockets,
    trusting,
    unverified,
)


def outcomes_of(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> list[Any]:
    pair = through_memory(client, server, server_hostname=host)
    return list(handshake_outcomes(pair.client, pair.server))


def refusal_of(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> tuple[int, str]:
    """Code and text of the client's refusal."""
    refusal, _ = outcomes_of(client, server, host)
    assert isinstance(refusal, ssl.SSLCertVerificationError), refusal
    return refusal.verify_code, refusal.verify_message


def test_a_certificate_that_is_not_verified_is_not_shown(server_context: ssl.SSLContext) -> None:
    with listening(echoing(), context=server_context) as server, tls_dialled(server, unverified()) as client:
        assert client.getpeercert() == {}
        assert client.getpeercert(True)
        assert echo_of(client) == b"FOO\n"


def test_a_verified_certificate_is_shown(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, server_identity: trustme.LeafCert
) -> None:
    with listening(echoing(), context=server_context) as server, tls_dialled(server, client_context) as client:
        shown: Any = client.getpeercert()
        assert shown["subjectAltName"] == (
            ("DNS", "localhost"),
            ("IP Address", "127.0.0.1"),
            ("IP Address", "0:0:0:0:0:0:0:1"),
        )
        assert shown["subject"][1][0][1].startswith("Testing cert #")
        assert ssl.cert_time_to_seconds(shown["notBefore"]) < ssl.cert_time_to_seconds(shown["notAfter"])
        assert client.getpeercert(binary_form=True) == der(server_identity.cert_chain_pems[0].bytes())


def test_an_unknown_authority_is_refused_with_code_20(
    strange_authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    refusal = Refusal()
    with listening(refusal.by(server_context)) as server:
        with pytest.raises(ssl.SSLCertVerificationError) as failure:
            with tls_dialled(server, trusting(strange_authority)):
                pass
    assert (failure.value.verify_code, failure.value.verify_message) == (20, "unable to get local issuer certificate")
    assert failure.value.reason == "CERTIFICATE_VERIFY_FAILED"
    assert "certificate verify failed: unable to get local issuer certificate" in str(failure.value)
    assert isinstance(failure.value, ssl.CertificateError | ValueError)


def test_without_any_authority_no_certificate_is_trusted(server_context: ssl.SSLContext) -> None:
    assert refusal_of(trusting(), server_context) == (20, "unable to get local issuer certificate")


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_an_authority_from_memory_is_believed(
    form: str, authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    pem = authority.cert_pem.bytes()
    context = trusting()
    context.load_verify_locations(cadata=pem.decode() if form == "PEM" else der(pem))
    assert outcomes_of(context, server_context) == [None, None]


def test_a_certificate_out_of_date_is_refused(client_context: ssl.SSLContext, authority: trustme.CA) -> None:
    old = authority.issue_cert(
        "localhost", not_before=datetime.datetime(2001, 1, 1), not_after=datetime.datetime(2002, 1, 1)
    )
    assert refusal_of(client_context, serving(old)) == (10, "certificate has expired")


def test_a_certificate_of_the_future_is_refused(client_context: ssl.SSLContext, authority: trustme.CA) -> None:
    young = authority.issue_cert(
        "localhost", not_before=datetime.datetime(2998, 1, 1), not_after=datetime.datetime(2999, 1, 1)
    )
    assert refusal_of(client_context, serving(young)) == (9, "certificate is not yet valid")


@pytest.fixture
def crl_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "crl.pem"
    path.write_bytes(revocation_list(authority))
    return path


def test_revocation_is_not_asked_about_by_default(authority: trustme.CA, server_context: ssl.SSLContext) -> None:
    assert outcomes_of(trusting(authority), server_context) == [None, None]


def test_checking_revocation_needs_a_revocation_list(authority: trustme.CA, server_context: ssl.SSLContext) -> None:
    context = trusting(authority, verify_flags=ssl.VERIFY_CRL_CHECK_LEAF)
    assert refusal_of(context, server_context) == (3, "unable to get certificate CRL")


def test_a_certificate_that_is_not_on_the_revocation_list_is_accepted(
    authority: trustme.CA, server_context: ssl.SSLContext, crl_file: Path
) -> None:
    context = trusting(authority, verify_flags=ssl.VERIFY_CRL_CHECK_LEAF)
    context.load_verify_locations(crl_file)
    assert outcomes_of(context, server_context) == [None, None]


def test_a_revoked_certificate_is_refused(
    authority: trustme.CA, server_context: ssl.SSLContext, server_identity: trustme.LeafCert, crl_file: Path
) -> None:
    crl_file.write_bytes(revocation_list(authority, [server_identity]))
    context = trusting(authority, verify_flags=ssl.VERIFY_CRL_CHECK_LEAF)
    context.load_verify_locations(crl_file)
    assert refusal_of(context, server_context) == (23, "certificate revoked")


def test_a_chain_is_followed_through_authorities_between(authority: trustme.CA) -> None:
    leaf = authority.create_child_ca().issue_cert("localhost")
    assert outcomes_of(trusting(authority), serving(leaf)) == [None, None]


def test_a_host_of_another_name_is_refused(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    refusal = Refusal()
    with listening(refusal.by(server_context)) as server:
        with pytest.raises(
            ssl.CertificateError,
            match="Hostname mismatch, certificate is not valid for 'invalid'",
        ) as failure:
            with tls_dialled(server, client_context, server_hostname="invalid"):
                pass
    assert failure.value.verify_code == 62
    assert refusal.failure is not None
    assert refusal.failure.reason == "SSLV3_ALERT_BAD_CERTIFICATE"


@pytest.mark.parametrize(
    ("address", "accepted"),
    [
        pytest.param("127.0.0.1", True, id="IPv4"),
        pytest.param("::1", True, id="IPv6"),
        pytest.param("127.0.0.2", False, id="another IPv4"),
    ],
)
def test_an_address_is_compared_with_addresses(
    address: str, accepted: bool, client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    if accepted:
        assert outcomes_of(client_context, server_context, address) == [None, None]
    else:
        expected = f"IP address mismatch, certificate is not valid for '{address}'."
        assert refusal_of(client_context, server_context, address) == (64, expected)


def test_a_name_that_is_not_checked_does_not_matter(authority: trustme.CA, server_context: ssl.SSLContext) -> None:
    assert outcomes_of(trusting(authority, check_hostname=False), server_context, "invalid") == [None, None]


@pytest.mark.parametrize("accepted", [True, False], ids=["by default", "turned off"])
def test_the_common_name_is_used_if_there_are_no_alternative_names(accepted: bool, authority: trustme.CA) -> None:
    server = serving(issued(authority, name(COMMON_NAME="only.example.org")))
    client = trusting(authority, hostname_checks_common_name=accepted)
    if accepted:
        assert outcomes_of(client, server, "only.example.org") == [None, None]
    else:
        expected = "Hostname mismatch, certificate is not valid for 'only.example.org'."
        assert refusal_of(client, server, "only.example.org") == (62, expected)


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        pytest.param("www.example.org", True, id="one label"),
        pytest.param("WWW.Example.ORG", True, id="any case"),
        pytest.param("example.org", False, id="no label"),
        pytest.param("a.b.example.org", False, id="two labels"),
    ],
)
def test_a_wildcard_matches_one_label(host: str, accepted: bool, authority: trustme.CA) -> None:
    server = serving(authority.issue_cert("*.example.org"))
    outcome, _ = outcomes_of(trusting(authority), server, host)
    assert (outcome is None) is accepted


def test_a_partial_wildcard_matches_nothing(authority: trustme.CA) -> None:
    leaf = issued(authority, name(COMMON_NAME="x"), x509.SubjectAlternativeName([x509.DNSName("w*.example.org")]))
    outcome, _ = outcomes_of(trusting(authority), serving(leaf), "www.example.org")
    assert isinstance(outcome, ssl.SSLCertVerificationError)


# "könig" and, where IDNA 2003 and 2008 part, "straße": ss in the former, a separate letter in the latter.
KING = "xn--knig-5qa.idn.example.org"
STREET_2003, STREET_2008 = "strasse.idn.example.org", "xn--strae-oqa.idn.example.org"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        pytest.param("könig.idn.example.org", KING, id="U-label"),
        pytest.param("KÖNIG.idn.example.org", KING, id="U-label in capitals"),
        pytest.param(KING, KING, id="A-label"),
        pytest.param(KING.encode(), KING, id="A-label in bytes"),
        pytest.param("straße.idn.example.org", STREET_2003, id="IDNA 2003"),
        pytest.param(STREET_2008, STREET_2008, id="IDNA 2008"),
        pytest.param(STREET_2008.encode(), STREET_2008, id="IDNA 2008 in bytes"),
    ],
)
def test_an_international_name_is_requested_as_a_labels(host: str | bytes, shown: str, authority: trustme.CA) -> None:
    heard: list[object] = []
    server = serving(authority.issue_cert(KING, STREET_2003, STREET_2008))
    server.sni_callback = lambda _sock, asked, _context: heard.append(asked)
    pair = through_memory(trusting(authority), server, host).shaken()
    assert (pair.client.server_hostname, heard) == (shown, [shown])


def test_an_international_name_that_the_certificate_lacks_is_refused(authority: trustme.CA) -> None:
    expected = f"Hostname mismatch, certificate is not valid for '{KING}'."
    server = serving(authority.issue_cert(STREET_2008))
    assert refusal_of(trusting(authority), server, "könig.idn.example.org") == (62, expected)


def test_bytes_of_a_name_must_be_ascii(client_context: ssl.SSLContext) -> None:
    with pytest.raises(UnicodeDecodeError):
        client_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="könig".encode())


@pytest.mark.parametrize(
    ("ciphers", "chosen"),
    [
        pytest.param("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDSA", id="elliptic curves"),
        pytest.param("ECDHE-RSA-AES256-GCM-SHA384", "RSA", id="RSA"),
    ],
)
def test_a_client_chooses_between_two_certificates(
    ciphers: str,
    chosen: str,
    authority: trustme.CA,
    server_identity: trustme.LeafCert,
    rsa_identity: trustme.LeafCert,
) -> None:
    client = trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(ciphers)
    with tls_connection(client, serving(server_identity, rsa_identity)) as (end, _):
        agreed = end.cipher()
        assert agreed is not None
        assert agreed[0] == ciphers
        expected = server_identity if chosen == "ECDSA" else rsa_identity
        assert end.getpeercert(True) == der(expected.cert_chain_pems[0].bytes())


def test_a_certificate_of_an_elliptic_curve_alone_serves_no_rsa_client(
    authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    client = trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    at_client, at_server = outcomes_of(client, server_context)
    assert (at_client.reason, at_server.reason) == ("SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")


def test_a_client_shows_its_certificate_when_asked(
    authority: trustme.CA, server_identity: trustme.LeafCert, client_identity: trustme.LeafCert
) -> None:
    server = serving(server_identity, verify_mode=ssl.CERT_REQUIRED)
    authority.configure_trust(server)
    client = trusting(authority)
    client_identity.configure_cert(client)
    with tls_connection(client, server) as (_, end):
        shown: Any = end.getpeercert()
        assert (("commonName", "client"),) in shown["subject"]


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED], ids=["optional", "required"])
def test_a_client_without_a_certificate_is_served_only_where_it_is_optional(
    mode: ssl.VerifyMode, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    server = serving(server_identity, verify_mode=mode)
    authority.configure_trust(server)
    pair = through_memory(trusting(authority), server)
    at_client, at_server = handshake_outcomes(pair.client, pair.server)
    assert at_client is None, "with TLS 1.3 the client is done before the server looks"
    if mode == ssl.CERT_OPTIONAL:
        assert at_server is None
        assert pair.server.getpeercert() is None
    else:
        assert isinstance(at_server, ssl.SSLError)
        assert at_server.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        with pytest.raises(ssl.SSLError) as alert:
            pair.client.read()
        assert alert.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@pytest.fixture
def suspicious_server(authority: trustme.CA, server_identity: trustme.LeafCert) -> ssl.SSLContext:
    """A server that asks for certificates of our authority, and a client with another authority's."""
    context = serving(server_identity, verify_mode=ssl.CERT_REQUIRED)
    authority.configure_trust(context)
    return context


def strange_client(authority: trustme.CA, strange_authority: trustme.CA, **attributes: Any) -> ssl.SSLContext:
    context = trusting(authority, **attributes)
    strange_authority.issue_cert("client.example.org").configure_cert(context)
    return context


def test_with_tls_1_2_a_client_that_is_not_trusted_fails_in_the_handshake(
    authority: trustme.CA, strange_authority: trustme.CA, suspicious_server: ssl.SSLContext
) -> None:
    client = strange_client(authority, strange_authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    with tls_sockets(client, suspicious_server) as ends:
        at_client, at_server = handshake_outcomes(*ends)
    assert isinstance(at_server, ssl.SSLCertVerificationError)
    assert isinstance(at_client, ssl.SSLError)
    assert at_client.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_with_tls_1_3_a_client_that_is_not_trusted_fails_when_it_reads(
    authority: trustme.CA, strange_authority: trustme.CA, suspicious_server: ssl.SSLContext
) -> None:
    client = strange_client(authority, strange_authority, minimum_version=ssl.TLSVersion.TLSv1_3)
    with tls_sockets(client, suspicious_server) as (end, _server):
        at_client, at_server = handshake_outcomes(end, _server)
        assert at_client is None
        assert isinstance(at_server, ssl.SSLCertVerificationError)
        end.settimeout(5)
        with pytest.raises(ssl.SSLError) as alert:
            end.recv(1)
        assert alert.value.reason == "TLSV1_ALERT_UNKNOWN_CA"


def chains_of(end: ssl.SSLObject) -> tuple[list[Any], list[Any]]:
    low_level: Any = end
    return low_level._sslobj.get_verified_chain(), low_level._sslobj.get_unverified_chain()


@pytest.fixture
def mutual(authority: trustme.CA, server_identity: trustme.LeafCert, client_identity: trustme.LeafCert) -> Memory:
    """Both ends with certificates of one authority, after the handshake."""
    server = serving(server_identity, verify_mode=ssl.CERT_REQUIRED)
    authority.configure_trust(server)
    client = trusting(authority)
    client_identity.configure_cert(client)
    return through_memory(client, server).shaken()


def test_each_end_has_the_chain_that_was_sent_and_the_one_that_was_built(
    mutual: Memory, authority: trustme.CA, server_identity: trustme.LeafCert, client_identity: trustme.LeafCert
) -> None:
    root = der(authority.cert_pem.bytes())
    encoding = ssl._ssl.ENCODING_DER  # type: ignore[attr-defined]
    for end, leaf in ((mutual.client, server_identity), (mutual.server, client_identity)):
        built, sent = ([cert.public_bytes(encoding) for cert in chain] for chain in chains_of(end))
        raw = der(leaf.cert_chain_pems[0].bytes())
        # An end that trusts the authority sends its certificate along.
        assert (built, sent) == ([raw, root], [raw, root])


def test_certificates_of_a_chain_compare_by_their_content(mutual: Memory) -> None:
    (leaf, root), (sent, _) = chains_of(mutual.client)
    _, same_root = chains_of(mutual.server)[0]
    assert (leaf == sent, leaf == root, root == same_root) == (True, False, True)
    assert (hash(leaf), hash(root)) == (hash(sent), hash(same_root))
    assert leaf != object()


def test_a_certificate_of_a_chain_prints_its_subject_and_itself(mutual: Memory, authority: trustme.CA) -> None:
    (leaf, root), _ = chains_of(mutual.client)
    pem = ssl._ssl.ENCODING_PEM  # type: ignore[attr-defined]
    assert root.public_bytes(pem) == authority.cert_pem.bytes().decode()
    assert root.get_info()["subject"] == root.get_info()["issuer"] == leaf.get_info()["issuer"]
    assert repr(root).startswith("<_ssl.Certificate 'OU=Testing CA #")


def test_without_verification_no_chain_is_built_but_the_one_sent_is_kept(
    server_context: ssl.SSLContext, server_identity: trustme.LeafCert
) -> None:
    _, sent = chains_of(through_memory(unverified(), server_context).shaken().client)
    assert [cert.public_bytes(ssl._ssl.ENCODING_DER) for cert in sent] == [  # type: ignore[attr-defined]
        der(server_identity.cert_chain_pems[0].bytes())
    ]
