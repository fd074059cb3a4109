"""ssl.match_hostname (removed in Python 3.12) decides whether a decoded certificate is for the requested host.

Source: RFC 6125 sections 6.4.3 and 6.4.4 (wildcards, common names), RFC 2818 section 3.1 (addresses).
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="match_hostname is gone since Python 3.12")

Certificate = dict[str, Any]


@contextlib.contextmanager
def _deprecated() -> Iterator[None]:
    with pytest.warns(DeprecationWarning, match=r"^ssl\.match_hostname\(\) is deprecated$"):
        yield


def test_the_warning_points_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="match_hostname") as warnings:
        ssl.match_hostname({"subjectAltName": (("DNS", "good.example"),)}, "good.example")
    assert [warning.filename for warning in warnings] == [__file__]


def match(certificate: Certificate | None, host: str) -> None:
    with _deprecated():
        ssl.match_hostname(certificate, host)  # type: ignore[arg-type]


def refusal_of(certificate: Certificate, host: str) -> str:
    with _deprecated(), pytest.raises(ssl.CertificateError) as refusal:
        ssl.match_hostname(certificate, host)
    (reason,) = refusal.value.args
    return str(reason)


def called(*common_names: str) -> Certificate:
    """A certificate with a subject and no alternative names."""
    return {"subject": tuple((("commonName", name),) for name in common_names)}


def alternatively(*names: tuple[str, str], common_name: str = "") -> Certificate:
    return {**(called(common_name) if common_name else {}), "subjectAltName": names}


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        pytest.param("example.com", "example.com", id="itself"),
        pytest.param("example.com", "ExAmple.cOm", id="host in any case"),
        pytest.param("ExAmple.cOm", "example.com", id="certificate in any case"),
        pytest.param("*.a.com", "foo.a.com", id="a wildcard for the left-most label"),
        pytest.param("*.a.com", "FOO.A.com", id="a wildcard in any case"),
        pytest.param("*.A.com", "foo.a.COM", id="the rest of a wildcard in any case"),
        pytest.param("*.com", "a.com", id="a wildcard right below the top"),
        pytest.param("*.a", "xn--pthon-kva.a", id="a wildcard for an A-label"),
        pytest.param("xn--pthon-kva.python.org", "xn--pthon-kva.python.org", id="an A-label"),
    ],
)
def test_a_pattern_fits_a_host(pattern: str, host: str) -> None:
    match(called(pattern), host)
    match(alternatively(("DNS", pattern)), host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        pytest.param("example.com", "www.example.com", id="a label more"),
        pytest.param("example.com", ".example.com", id="a dot more"),
        pytest.param("example.com", "example.org", id="another label"),
        pytest.param("example.com", "exampleXcom", id="a dot is no joker"),
        pytest.param("example.com", "", id="no host"),
        pytest.param("*.a.com", "bar.foo.a.com", id="a wildcard is one label"),
        pytest.param("*.a.com", "a.com", id="a wildcard is not nothing"),
        pytest.param("*.a.com", "Xa.com", id="a wildcard ends with a dot"),
        pytest.param("*.a.com", ".a.com", id="a wildcard is not an empty label"),
        pytest.param("*.com", "com", id="a host without a dot"),
        pytest.param("*.a.com", "foo.a.org", id="the rest must be the same"),
        pytest.param("null.python.org\0example.org", "null.python.org", id="nothing is cut at a NUL"),
    ],
)
def test_a_pattern_does_not_fit_a_host(pattern: str, host: str) -> None:
    expected = f"hostname {host!r} doesn't match {pattern!r}"
    assert refusal_of(called(pattern), host) == expected
    assert refusal_of(alternatively(("DNS", pattern)), host) == expected


@pytest.mark.parametrize(
    ("pattern", "host", "reason"),
    [
        pytest.param(
            "f*.com", "foo.com", "partial wildcards in leftmost label are not supported: 'f*.com'.", id="tail"
        ),
        pytest.param("*b.co", "bb.co", "partial wildcards in leftmost label are not supported: '*b.co'.", id="head"),
        pytest.param(
            "a.*.com",
            "a.foo.com",
            "wildcard can only be present in the leftmost label: 'a.*.com'.",
            id="second label",
        ),
        pytest.param("*.*.com", "a.b.com", "too many wildcards in certificate DNS name: '*.*.com'.", id="two labels"),
        pytest.param(
            "**.com", "ab.com", "too many wildcards in certificate DNS name: '**.com'.", id="two in a label"
        ),
        pytest.param(
            "*", "host", "sole wildcard without additional labels are not support: '*'.", id="nothing but a wildcard"
        ),
    ],
)
def test_a_wildcard_is_the_whole_left_most_label_or_an_error(pattern: str, host: str, reason: str) -> None:
    assert refusal_of(called(pattern), host) == reason


@pytest.mark.parametrize("host", ["good.example", "also.example"])
def test_one_alternative_name_of_several_is_enough(host: str) -> None:
    names = (("DNS", "good.example"), ("DNS", "also.example"))
    match(alternatively(*names), host)


def test_a_refusal_lists_every_name() -> None:
    names = (("DNS", "good.example"), ("IP Address", "10.1.2.3"), ("DNS", "also.example"))
    assert (
        refusal_of(alternatively(*names), "bad.example")
        == "hostname 'bad.example' doesn't match either of 'good.example', '10.1.2.3', 'also.example'"
    )


def test_the_common_name_is_ignored_if_there_are_dns_names() -> None:
    certificate = alternatively(("DNS", "good.example"), common_name="other.example")
    assert refusal_of(certificate, "other.example") == "hostname 'other.example' doesn't match 'good.example'"


def test_the_common_name_is_used_if_all_alternative_names_are_of_other_kinds() -> None:
    match(alternatively(("email", "you@example.org"), common_name="good.example"), "good.example")


def test_each_common_name_counts() -> None:
    match(called("first.example", "second.example"), "second.example")
    assert (
        refusal_of(called("first.example", "second.example"), "third.example")
        == "hostname 'third.example' doesn't match either of 'first.example', 'second.example'"
    )


def test_other_parts_of_the_subject_are_no_host() -> None:
    certificate = {"subject": ((("organizationName", "good.example"),), (("countryName", "XY"),))}
    assert refusal_of(certificate, "good.example") == "no appropriate commonName or subjectAltName fields were found"


def test_a_certificate_without_names_fits_nothing() -> None:
    assert (
        refusal_of({"version": 3}, "good.example") == "no appropriate commonName or subjectAltName fields were found"
    )


def test_an_empty_name_fits_nothing() -> None:
    assert refusal_of(called(""), "") == "hostname '' doesn't match ''"


@pytest.mark.parametrize("certificate", [None, {}], ids=["none", "empty"])
def test_no_certificate_is_a_value_error(certificate: Certificate | None) -> None:
    with _deprecated(), pytest.raises(ValueError) as refusal:
        ssl.match_hostname(certificate, "good.example")  # type: ignore[arg-type]
    assert str(refusal.value) == (
        "empty or no certificate, match_hostname needs a SSL socket or SSL context with either CERT_OPTIONAL or "
        "CERT_REQUIRED"
    )


@pytest.mark.parametrize(
    ("address", "host"),
    [
        pytest.param("10.11.12.13", "10.11.12.13", id="IPv4"),
        pytest.param("2001:DB8:0:0:0:0:0:1", "2001:db8::1", id="IPv6 in another spelling"),
        pytest.param("2003:0:0:0:0:0:0:BABA\n", "2003::baba", id="IPv6 with the line ending of old OpenSSLs"),
    ],
)
def test_an_address_fits_itself(address: str, host: str) -> None:
    match(alternatively(("DNS", "good.example"), ("IP Address", address)), host)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        pytest.param("10.11.12.13", "10.11.12.14", id="IPv4"),
        pytest.param("2001:DB8:0:0:0:0:0:1", "2001:db8::2", id="IPv6"),
        pytest.param("127.0.0.1", "::ffff:127.0.0.1", id="IPv4 within IPv6"),
    ],
)
def test_an_address_does_not_fit_another(address: str, host: str) -> None:
    assert refusal_of(alternatively(("IP Address", address)), host) == f"hostname {host!r} doesn't match {address!r}"


def test_an_address_is_no_dns_name() -> None:
    certificate = alternatively(("DNS", "10.11.12.13"))
    assert refusal_of(certificate, "10.11.12.13") == "hostname '10.11.12.13' doesn't match '10.11.12.13'"


def test_a_host_name_is_not_compared_with_an_address() -> None:
    # What would be compared is not an address at all, so comparing would be a ValueError.
    assert refusal_of(alternatively(("IP Address", "good.example")), "good.example") == (
        "hostname 'good.example' doesn't match 'good.example'"
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        pytest.param("127.1", "'127.1' is not a quad-dotted IPv4 address.", id="short"),
        pytest.param("1", "'1' is not a quad-dotted IPv4 address.", id="a number"),
        pytest.param("127.0.0.1 x", "'127.0.0.1 x' is not a quad-dotted IPv4 address.", id="something behind"),
        pytest.param("good.example", "'good.example' is neither an IPv4 nor an IP6 address.", id="a name"),
    ],
)
def test_an_address_of_a_certificate_must_be_written_in_full(written: str, message: str) -> None:
    with _deprecated(), pytest.raises(ValueError) as refusal:
        ssl.match_hostname(alternatively(("IP Address", written)), "127.0.0.1")
    assert str(refusal.value) == message


def test_a_short_address_is_taken_for_a_name() -> None:
    match(called("127.1"), "127.1")


def test_without_ipv6_an_address_of_it_is_no_address() -> None:
    with mock.patch("socket.inet_pton", side_effect=AttributeError), _deprecated(), pytest.raises(ValueError) as no:
        ssl.match_hostname(alternatively(("IP Address", "::1")), "127.0.0.1")
    assert str(no.value) == "'::1' is not an IPv4 address."
