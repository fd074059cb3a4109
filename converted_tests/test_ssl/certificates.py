"""Certificates that trustme does not make: every extension, odd names, revocation lists, hashed folders."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

NOT_BEFORE = datetime.datetime(2001, 2, 3, 4, 5, 6)
NOT_AFTER = datetime.datetime(2998, 12, 11, 10, 9, 8)


def _issuer_of(authority: trustme.CA) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return certificate.subject, key


def name(**attributes: str) -> x509.Name:
    """A name of one attribute per step: `name(COMMON_NAME="example.org")`."""
    return x509.Name([x509.NameAttribute(getattr(NameOID, key), value) for key, value in attributes.items()])


def issued(
    authority: trustme.CA,
    subject: x509.Name,
    *extensions: x509.ExtensionType,
    serial: int = 0x1F2E3D4C5B6A,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> trustme.LeafCert:
    """A certificate of *authority* with exactly these *extensions* and a key identifier, valid for centuries."""
    issuer, issuer_key = _issuer_of(authority)
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return trustme.LeafCert(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
        [],
    )


def revocation_list(authority: trustme.CA, revoked: Sequence[trustme.LeafCert] = ()) -> bytes:
    """A PEM list, valid for centuries, in which *authority* revokes *revoked*."""
    issuer, issuer_key = _issuer_of(authority)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer)
    builder = builder.last_update(NOT_BEFORE).next_update(NOT_AFTER)
    for leaf in revoked:
        certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(NOT_BEFORE)
            .build()
        )
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def der(pem: bytes) -> bytes:
    """The DER form of the first certificate of *pem*."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def encrypted_key(leaf: trustme.LeafCert, password: bytes) -> bytes:
    """The private key of *leaf* in PEM, locked with *password*."""
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(password),
    )


def _subject_hash(pem: bytes) -> str:
    """What OpenSSL calls the certificate in a -CApath folder.

    The hash is of the names in lower case and as UTF-8, one SET after the other without the SEQUENCE around
    them; right for names whose spaces are single. Source: openssl-rehash(1), X509_NAME_hash(3).
    """
    subject = x509.load_pem_x509_certificate(pem).subject
    sets = b""
    for attribute in subject:
        assert isinstance(attribute.value, str)
        lowered = x509.NameAttribute(attribute.oid, attribute.value.lower(), _ASN1Type.UTF8String)
        whole = x509.Name([lowered]).public_bytes()
        assert whole[1] < 0x80, "a longer attribute would need a longer header to be cut off"
        sets += whole[2:]
    return f"{int.from_bytes(hashlib.sha1(sets).digest()[:4], 'little'):08x}"


def hashed_folder(folder: Path, *pems: bytes) -> Path:
    """*folder*, now holding each certificate where OpenSSL looks for it by its subject."""
    for pem in pems:
        (folder / f"{_subject_hash(pem)}.0").write_bytes(pem)
    return folder


def hashed_list(folder: Path, authority: trustme.CA, crl: bytes) -> Path:
    """*folder*, now holding *crl* where OpenSSL looks for the list of *authority*."""
    (folder / f"{_subject_hash(authority.cert_pem.bytes())}.r0").write_bytes(crl)
    return folder


def ffdhe2048() -> bytes:
    """Diffie-Hellman parameters in PEM: a public group. Source: RFC 7919 appendix A.1."""
    euler, term, n = 0, 1 << 2200, 0
    while term:
        euler += term
        n += 1
        term //= n
    prime = 2**2048 - 2**1984 + ((euler >> (2200 - 1918)) + 560316) * 2**64 - 1
    # SEQUENCE { INTEGER prime, INTEGER 2 }; the leading zero keeps the prime positive.
    numbers = b"\x02\x82\x01\x01\x00" + prime.to_bytes(256, "big") + b"\x02\x01\x02"
    body = base64.encodebytes(b"\x30\x82" + len(numbers).to_bytes(2, "big") + numbers)
    return b"-----BEGIN DH PARAMETERS-----\n" + body + b"-----END DH PARAMETERS-----\n"
