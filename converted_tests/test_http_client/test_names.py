"""http.client offers its classes, its exceptions and the status codes of HTTP under documented names.
The codes and their phrases are those of RFC 9110 section 15, by way of http.HTTPStatus."""

from __future__ import annotations

import http.client
import importlib.util
import sys
from http import HTTPStatus

import pytest

EXPORTED = {
    "HTTPResponse",
    "HTTPConnection",
    "HTTPSConnection",
    "HTTPException",
    "NotConnected",
    "UnknownProtocol",
    "UnknownTransferEncoding",
    "UnimplementedFileMode",
    "IncompleteRead",
    "InvalidURL",
    "ImproperConnectionState",
    "CannotSendRequest",
    "CannotSendHeader",
    "ResponseNotReady",
    "BadStatusLine",
    "LineTooLong",
    "RemoteDisconnected",
    "error",
    "responses",
}


def test_a_star_import_gives_exactly_the_documented_names() -> None:
    namespace: dict[str, object] = {}
    exec("from http.client import *", namespace)
    assert namespace.keys() - {"__builtins__"} == EXPORTED


def test_without_the_ssl_module_there_is_no_https_and_the_rest_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("http_client_without_ssl", http.client.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ssl", None)
    spec.loader.exec_module(module)
    assert set(module.__all__) == EXPORTED - {"HTTPSConnection"}
    assert not hasattr(module, "HTTPSConnection")


def test_every_status_is_a_name_of_the_module() -> None:
    named = {name: vars(http.client).get(name) for name in HTTPStatus.__members__}
    assert named == dict(HTTPStatus.__members__)


def test_responses_gives_the_phrase_of_every_code() -> None:
    assert http.client.responses == {status.value: status.phrase for status in HTTPStatus}
    assert http.client.responses[404] == "Not Found"


def test_a_status_is_an_int_with_a_phrase_and_a_description() -> None:
    status = HTTPStatus(404)
    assert (status, int(status), status.phrase, status.description) == (
        HTTPStatus.NOT_FOUND,
        404,
        "Not Found",
        "Nothing matches the given URI",
    )


def test_every_status_lists_its_texts_among_its_attributes() -> None:
    without = [status for status in HTTPStatus if not {"phrase", "description", "value"} <= set(dir(status))]
    assert without == []


def test_the_default_ports_are_80_and_443() -> None:
    assert (http.client.HTTP_PORT, http.client.HTTPS_PORT) == (80, 443)
    assert (http.client.HTTPConnection.default_port, http.client.HTTPSConnection.default_port) == (80, 443)


def test_error_is_another_name_of_the_base_exception() -> None:
    assert http.client.error is http.client.HTTPException


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("NotConnected", ["HTTPException"]),
        ("InvalidURL", ["HTTPException"]),
        ("UnknownProtocol", ["HTTPException"]),
        ("UnknownTransferEncoding", ["HTTPException"]),
        ("UnimplementedFileMode", ["HTTPException"]),
        ("IncompleteRead", ["HTTPException"]),
        ("ImproperConnectionState", ["HTTPException"]),
        ("CannotSendRequest", ["ImproperConnectionState"]),
        ("CannotSendHeader", ["ImproperConnectionState"]),
        ("ResponseNotReady", ["ImproperConnectionState"]),
        ("BadStatusLine", ["HTTPException"]),
        ("LineTooLong", ["HTTPException"]),
        ("RemoteDisconnected", ["ConnectionResetError", "BadStatusLine"]),
        ("HTTPException", ["Exception"]),
    ],
)
def test_each_exception_can_be_caught_as_its_kind(name: str, bases: list[str]) -> None:
    assert [base.__name__ for base in getattr(http.client, name).__bases__] == bases


def test_an_empty_bad_status_line_shows_as_quotes() -> None:
    failure = http.client.BadStatusLine("")
    assert (repr(failure), failure.args, failure.line) == ("BadStatusLine(\"''\")", ("''",), "''")  # type: ignore[attr-defined]


def test_a_bad_status_line_keeps_the_line() -> None:
    failure = http.client.BadStatusLine("ICY 200 OK\r\n")
    assert (failure.args, failure.line) == (("ICY 200 OK\r\n",), "ICY 200 OK\r\n")  # type: ignore[attr-defined]


def test_an_unknown_protocol_keeps_the_version() -> None:
    failure = http.client.UnknownProtocol("HTTP/2.0")
    assert (failure.args, failure.version) == (("HTTP/2.0",), "HTTP/2.0")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("failure", "expected", "text"),
    [
        pytest.param(http.client.IncompleteRead(b"ab"), None, "IncompleteRead(2 bytes read)", id="length unknown"),
        pytest.param(
            http.client.IncompleteRead(b"ab", 3),
            3,
            "IncompleteRead(2 bytes read, 3 more expected)",
            id="length known",
        ),
        pytest.param(
            http.client.IncompleteRead(b"ab", 0),
            0,
            "IncompleteRead(2 bytes read, 0 more expected)",
            id="nothing more",
        ),
    ],
)
def test_an_incomplete_read_shows_sizes_and_not_the_data(
    failure: http.client.IncompleteRead, expected: int | None, text: str
) -> None:
    assert (failure.partial, failure.expected, failure.args) == (b"ab", expected, (b"ab",))
    assert (repr(failure), str(failure)) == (text, text)


def test_an_overlong_line_is_reported_with_the_limit_and_the_kind_of_line() -> None:
    failure = http.client.LineTooLong("chunk size")
    assert str(failure) == "got more than 65536 bytes when reading chunk size"


def test_a_remote_disconnection_is_a_reset_and_an_empty_status_line() -> None:
    failure = http.client.RemoteDisconnected("gone")
    assert (str(failure), failure.args, failure.line) == ("gone", ("gone",), "''")  # type: ignore[attr-defined]
