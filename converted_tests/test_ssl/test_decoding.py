"""ssl decodes X.509 certificates into tuples, converts them between DER and PEM, and reads their dates.

Source: RFC 5280 sections 4.1 and 4.2, RFC 7468 section 5, ASN1_TIME_print(3).
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import locale
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_ssl.certificates import der, issued, name

PRIVATE: Any = ssl
HEADER = "-----BEGIN CERTIFICATE-----"
FOOTER = "-----END CERTIFICATE-----"


def decoded(leaf: trustme.LeafCert, folder: Path) -> dict[str, Any]:
    """*leaf* as getpeercert() would show it."""
    path = folder / "certificate.pem"
    leaf.cert_chain_pems[0].write_to_path(path)
    return dict(PRIVATE._ssl._test_decode_cert(str(path)))


def alternatives(authority: trustme.CA, folder: Path, *names: x509.GeneralName) -> object:
    leaf = issued(authority, name(COMMON_NAME="x"), x509.SubjectAlternativeName(names))
    return decoded(leaf, folder)["subjectAltName"]


def test_a_bare_certificate_has_subject_issuer_version_serial_and_dates(
    authority: trustme.CA, tmp_path: Path
) -> None:
    subject = name(COUNTRY_NAME="XY", LOCALITY_NAME="Nowhere", COMMON_NAME="example.org")
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    assert decoded(issued(authority, subject), tmp_path) == {
        "subject": (
            (("countryName", "XY"),),
            (("localityName", "Nowhere"),),
            (("commonName", "example.org"),),
        ),
        "issuer": (
            (("organizationName", issuer.rdns[0]._attributes[0].value),),
            (("organizationalUnitName", issuer.rdns[1]._attributes[0].value),),
        ),
        "version": 3,
        "serialNumber": "1F2E3D4C5B6A",
        "notBefore": "Feb  3 04:05:06 2001 GMT",
        "notAfter": "Dec 11 10:09:08 2998 GMT",
    }


def test_several_attributes_in_one_step_of_a_name_stay_together(authority: trustme.CA, tmp_path: Path) -> None:
    pair = [*name(COMMON_NAME="example.org"), *name(ORGANIZATION_NAME="Example")]
    subject = x509.Name([x509.RelativeDistinguishedName(pair)])
    (step,) = decoded(issued(authority, subject), tmp_path)["subject"]
    assert sorted(step) == [("commonName", "example.org"), ("organizationName", "Example")]


def test_a_self_signed_certificate_names_itself_as_its_issuer(authority: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    shown: Any = PRIVATE._ssl._test_decode_cert(str(path))
    assert shown["subject"] == shown["issuer"]
    assert "subjectAltName" not in shown


@pytest.mark.parametrize(
    ("alternative", "shown"),
    [
        pytest.param(x509.DNSName("*.example.org"), ("DNS", "*.example.org"), id="DNS"),
        pytest.param(x509.RFC822Name("you@example.org"), ("email", "you@example.org"), id="email"),
        pytest.param(
            x509.UniformResourceIdentifier("http://example.org/a?b"), ("URI", "http://example.org/a?b"), id="URI"
        ),
        pytest.param(x509.IPAddress(ipaddress.ip_address("127.0.0.1")), ("IP Address", "127.0.0.1"), id="IPv4"),
        pytest.param(
            x509.IPAddress(ipaddress.ip_address("2001:db8::ff")), ("IP Address", "2001:DB8:0:0:0:0:0:FF"), id="IPv6"
        ),
        pytest.param(
            x509.DirectoryName(name(COUNTRY_NAME="XY", COMMON_NAME="there")),
            ("DirName", ((("countryName", "XY"),), (("commonName", "there"),))),
            id="directory name",
        ),
        pytest.param(
            x509.RegisteredID(ObjectIdentifier("1.2.3.4.5")), ("Registered ID", "1.2.3.4.5"), id="registered id"
        ),
        pytest.param(
            x509.OtherName(ObjectIdentifier("1.2.3.4"), b"\x0c\x04some"), ("othername", "<unsupported>"), id="other"
        ),
    ],
)
def test_an_alternative_name_is_shown(
    alternative: x509.GeneralName, shown: object, authority: trustme.CA, tmp_path: Path
) -> None:
    assert alternatives(authority, tmp_path, alternative) == (shown,)


def test_alternative_names_keep_their_order(authority: trustme.CA, tmp_path: Path) -> None:
    names = (x509.DNSName("b.example"), x509.RFC822Name("c@example"), x509.DNSName("a.example"))
    assert alternatives(authority, tmp_path, *names) == (
        ("DNS", "b.example"),
        ("email", "c@example"),
        ("DNS", "a.example"),
    )


@pytest.mark.parametrize(
    ("alternative", "shown"),
    [
        pytest.param(
            x509.DNSName("good.example\0bad.example"), ("DNS", "good.example\0bad.example"), id="in a DNS name"
        ),
        pytest.param(
            x509.RFC822Name("you@example.org\0bad.example"),
            ("email", "you@example.org\0bad.example"),
            id="in an email address",
        ),
        pytest.param(
            x509.UniformResourceIdentifier("http://example.org\0http://bad.example"),
            ("URI", "http://example.org\0http://bad.example"),
            id="in a URI",
        ),
    ],
)
def test_a_nul_byte_does_not_cut_an_alternative_name(
    alternative: x509.GeneralName, shown: object, authority: trustme.CA, tmp_path: Path
) -> None:
    assert alternatives(authority, tmp_path, alternative) == (shown,)


def test_a_nul_byte_does_not_cut_a_common_name(authority: trustme.CA, tmp_path: Path) -> None:
    leaf = issued(authority, name(COMMON_NAME="good.example\0bad.example"))
    assert decoded(leaf, tmp_path)["subject"] == ((("commonName", "good.example\0bad.example"),),)


def test_ocsp_servers_and_issuers_certificates_are_shown(authority: trustme.CA, tmp_path: Path) -> None:
    places = [
        (AuthorityInformationAccessOID.OCSP, "http://ocsp.example/1"),
        (AuthorityInformationAccessOID.OCSP, "http://ocsp.example/2"),
        (AuthorityInformationAccessOID.CA_ISSUERS, "http://issuer.example/"),
    ]
    access = x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(uri)) for method, uri in places]
    )
    shown = decoded(issued(authority, name(COMMON_NAME="x"), access), tmp_path)
    assert shown["OCSP"] == ("http://ocsp.example/1", "http://ocsp.example/2")
    assert shown["caIssuers"] == ("http://issuer.example/",)


def test_the_places_of_revocation_lists_are_shown(authority: trustme.CA, tmp_path: Path) -> None:
    places = ["http://crl.example/1", "http://crl.example/2"]
    points = x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(uri)], None, None, None) for uri in places]
    )
    shown = decoded(issued(authority, name(COMMON_NAME="x"), points), tmp_path)
    assert shown["crlDistributionPoints"] == tuple(places)


def test_an_empty_revocation_list_point_is_left_out(authority: trustme.CA, tmp_path: Path) -> None:
    one_empty_point = x509.UnrecognizedExtension(x509.CRLDistributionPoints.oid, b"\x30\x02\x30\x00")
    shown = decoded(issued(authority, name(COMMON_NAME="x"), one_empty_point), tmp_path)
    assert "crlDistributionPoints" not in shown


def test_a_certificate_that_is_no_certificate_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "nothing.pem"
    path.write_bytes(b"nothing")
    with pytest.raises(ssl.SSLError, match="Error decoding PEM-encoded file"):
        PRIVATE._ssl._test_decode_cert(str(path))


def test_a_certificate_goes_from_pem_to_der_and_back(authority: trustme.CA) -> None:
    pem = authority.cert_pem.bytes().decode()
    raw = ssl.PEM_cert_to_DER_cert(pem)
    assert raw == der(pem.encode())
    assert ssl.DER_cert_to_PEM_cert(raw) == pem


def test_pem_has_lines_of_64_characters_between_its_head_and_tail() -> None:
    assert ssl.DER_cert_to_PEM_cert(bytes(range(60))) == (
        "-----BEGIN CERTIFICATE-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n"
        "MDEyMzQ1Njc4OTo7\n"
        "-----END CERTIFICATE-----\n"
    )


def test_pem_of_a_full_line_has_no_empty_line_behind_it() -> None:
    assert ssl.DER_cert_to_PEM_cert(b"\0" * 48).splitlines() == [HEADER, "A" * 64, FOOTER]


@given(st.binary(max_size=200))
def test_der_survives_pem(raw: bytes) -> None:
    assert ssl.PEM_cert_to_DER_cert(ssl.DER_cert_to_PEM_cert(raw)) == raw


def test_white_space_behind_pem_does_not_matter() -> None:
    assert ssl.PEM_cert_to_DER_cert(f"{HEADER}\nAAEC\n{FOOTER}  \n\n") == b"\0\1\2"


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        pytest.param(f"x{HEADER}\nAAEC\n{FOOTER}\n", f"must start with {HEADER}", id="something before the head"),
        pytest.param(f"\n{HEADER}\nAAEC\n{FOOTER}\n", f"must start with {HEADER}", id="a line before the head"),
        pytest.param(f"AAEC\n{FOOTER}\n", f"must start with {HEADER}", id="no head"),
        pytest.param(f"{HEADER}\nAAEC\n{FOOTER}x", f"must end with {FOOTER}", id="something behind the tail"),
        pytest.param(f"{HEADER}\nAAEC\n", f"must end with {FOOTER}", id="no tail"),
    ],
)
def test_pem_needs_its_head_and_its_tail(pem: str, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        ssl.PEM_cert_to_DER_cert(pem)
    assert str(refusal.value) == f"Invalid PEM encoding; {message}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Jan  1 00:00:00 1970 GMT", 0, id="the epoch"),
        pytest.param("Jan  5 09:34:43 2018 GMT", 1515144883, id="a day padded with a space"),
        pytest.param("Jan 05 09:34:43 2018 GMT", 1515144883, id="a day padded with a zero"),
        pytest.param("jAN  5 09:34:43 2018 GMT", 1515144883, id="a month in any case"),
        pytest.param("Jan  5 09:34:43 2018 gmt", 1515144883, id="a zone in small letters"),
        pytest.param("Dec 31 23:59:60 2008 GMT", 1230768000, id="a leap second"),
        pytest.param("Dec 31 23:59:61 2008 GMT", 1230768001, id="a double leap second"),
        pytest.param("Feb 29 12:00:00 2000 GMT", 951825600, id="a leap day"),
        pytest.param("Dec 31 23:59:59 9999 GMT", 253402300799, id="never (RFC 5280)"),
        pytest.param("May  9 00:00:00 1945 GMT", -777859200, id="before the epoch"),
    ],
)
def test_a_certificates_time_is_in_seconds(text: str, seconds: int) -> None:
    assert ssl.cert_time_to_seconds(text) == seconds
    assert type(ssl.cert_time_to_seconds(text)) is int


@pytest.mark.parametrize(
    ("month", "number"),
    [
        (month, n)
        for n, month in enumerate(
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
        )
    ],
)
def test_an_english_month_name_is_read_as_its_number(month: str, number: int) -> None:
    expected = datetime.datetime(2026, number, 7, 1, 2, 3, tzinfo=datetime.UTC).timestamp()
    assert ssl.cert_time_to_seconds(f"{month}  7 01:02:03 2026 GMT") == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Jan  5 09:34:43 2018 UTC", id="another zone"),
        pytest.param("Jan  5 09:34:43 2018", id="no zone"),
        pytest.param("Jan  5 09:34:43 2018 GMT+1", id="an offset"),
        pytest.param("Jan 35 09:34:43 2018 GMT", id="day"),
        pytest.param("Jon  5 09:34:43 2018 GMT", id="month"),
        pytest.param("Jan  5 24:00:00 2018 GMT", id="hour"),
        pytest.param("Jan  5 09:60:43 2018 GMT", id="minute"),
        pytest.param("Jan  5 09:34:62 2018 GMT", id="second"),
        pytest.param("Jan  5 09:34 2018 GMT", id="no seconds"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_wrong_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"time data .* does not match format|unconverted data remains: \+1"):
        ssl.cert_time_to_seconds(text)


def test_a_wrong_month_is_reported_with_the_whole_format() -> None:
    with pytest.raises(ValueError) as refusal:
        ssl.cert_time_to_seconds("Jon  5 09:34:43 2018 GMT")
    expected = "'Jon  5 09:34:43 2018 GMT' does not match format \"%b %d %H:%M:%S %Y GMT\""
    assert str(refusal.value) == f"time data {expected}"


@given(st.datetimes(min_value=datetime.datetime(1951, 1, 1), max_value=datetime.datetime(9999, 12, 31)))
def test_every_time_that_openssl_prints_is_read(moment: datetime.datetime) -> None:
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][moment.month - 1]
    text = f"{month} {moment.day:2d} {moment:%H:%M:%S} {moment.year} GMT"
    expected = (moment.replace(microsecond=0) - datetime.datetime(1970, 1, 1)).total_seconds()
    assert ssl.cert_time_to_seconds(text) == expected


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the platform cannot change its time zone")
def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC+05:30")
    time.tzset()
    try:
        assert ssl.cert_time_to_seconds("Jan  5 09:34:43 2018 GMT") == 1515144883
    finally:
        monkeypatch.undo()
        time.tzset()


FOREIGN_LOCALES = ["de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "ru_RU.UTF-8", "ja_JP.UTF-8"]


def test_the_language_of_the_machine_does_not_matter() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        for language in FOREIGN_LOCALES:
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_TIME, language)
                break
        else:
            pytest.skip(f"none of the locales {', '.join(FOREIGN_LOCALES)} is installed")
        assert ssl.cert_time_to_seconds("May  9 00:00:00 2007 GMT") == 1178668800
    finally:
        locale.setlocale(locale.LC_TIME, before)
