"""A connection takes its calls in one order: request line, headers, their end, response, body.
The manual page of http.client draws the states; each exception here names the state that was in the way."""

from __future__ import annotations

from http.client import (
    CannotSendHeader,
    CannotSendRequest,
    HTTPConnection,
    HTTPResponse,
    ImproperConnectionState,
    NotConnected,
    ResponseNotReady,
)

import pytest

from converted_tests.test_http_client.support import EXAMPLE_HOST, IDENTITY, fetch, message, wired

OK = message("HTTP/1.1 200 OK", "Content-Length: 2", body=b"hi")
NEXT = message("HTTP/1.1 200 OK", "Content-Length: 4", body=b"next")
GET = message("GET / HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_a_response_needs_a_request() -> None:
    connection, _ = wired(OK)
    with pytest.raises(ResponseNotReady) as caught:
        connection.getresponse()
    assert caught.value.args == ("Idle",)


def test_a_response_needs_the_end_of_the_headers() -> None:
    connection, _ = wired(OK)
    connection.putrequest("GET", "/")
    with pytest.raises(ResponseNotReady) as caught:
        connection.getresponse()
    assert caught.value.args == ("Request-started",)


def test_there_is_one_response_to_a_request() -> None:
    connection, _ = wired(OK, NEXT)
    connection.request("GET", "/")
    connection.getresponse().read()
    with pytest.raises(ResponseNotReady) as caught:
        connection.getresponse()
    assert caught.value.args == ("Idle",)


def test_a_request_is_not_begun_within_another() -> None:
    connection, _ = wired()
    connection.putrequest("GET", "/")
    with pytest.raises(CannotSendRequest) as caught:
        connection.putrequest("GET", "/")
    assert caught.value.args == ("Request-started",)


def test_a_request_is_not_begun_before_the_response_to_another() -> None:
    connection, _ = wired()
    connection.request("GET", "/")
    with pytest.raises(CannotSendRequest) as caught:
        connection.request("GET", "/")
    assert caught.value.args == ("Request-sent",)


def test_a_header_needs_a_request() -> None:
    connection, _ = wired()
    with pytest.raises(CannotSendHeader):
        connection.putheader("X", "1")


def test_a_header_does_not_follow_the_end_of_the_headers() -> None:
    connection, _ = wired()
    connection.request("GET", "/")
    with pytest.raises(CannotSendHeader):
        connection.putheader("X", "1")


def test_the_headers_end_only_after_a_request() -> None:
    connection, _ = wired()
    with pytest.raises(CannotSendHeader):
        connection.endheaders()


def test_the_headers_end_only_once() -> None:
    connection, wire = wired()
    connection.request("GET", "/")
    with pytest.raises(CannotSendHeader):
        connection.endheaders()
    assert wire.sent == GET


@pytest.mark.parametrize("kind", [CannotSendRequest, CannotSendHeader, ResponseNotReady])
def test_each_of_them_is_an_improper_connection_state(kind: type[Exception]) -> None:
    assert issubclass(kind, ImproperConnectionState)


def test_a_second_request_may_be_sent_while_the_first_response_is_unread() -> None:
    connection, wire = wired(OK, NEXT)
    connection.request("GET", "/")
    first = connection.getresponse()
    connection.request("GET", "/")
    assert wire.sent == GET + GET
    with pytest.raises(ResponseNotReady) as caught:
        connection.getresponse()
    assert caught.value.args == ("Request-sent",)
    assert (first.read(), connection.getresponse().read()) == (b"hi", b"next")


def test_a_response_that_is_half_read_is_still_in_the_way() -> None:
    connection, _ = wired(OK, NEXT)
    connection.request("GET", "/")
    first = connection.getresponse()
    connection.request("GET", "/")
    assert first.read(1) == b"h"
    with pytest.raises(ResponseNotReady):
        connection.getresponse()


def test_a_response_that_is_read_is_forgotten_by_the_next_request() -> None:
    connection, _ = wired(OK, NEXT)
    connection.request("GET", "/")
    first = connection.getresponse()
    assert (first.read(), first.closed) == (b"hi", False)
    connection.request("GET", "/")
    connection.close()
    assert not first.closed


def test_a_response_that_is_read_is_forgotten_by_the_next_response() -> None:
    connection, _ = wired(OK, NEXT)
    connection.request("GET", "/")
    first = connection.getresponse()
    connection.request("GET", "/")
    assert first.read() == b"hi"
    second = connection.getresponse()
    connection.close()
    assert (first.closed, second.closed) == (False, True)


def test_close_closes_the_socket_and_the_unread_response() -> None:
    connection, wire = wired(OK)
    connection.request("GET", "/")
    response = connection.getresponse()
    connection.close()
    assert (connection.sock, wire.closed, response.closed, wire.files[0].hung_up) == (None, True, True, True)


def test_close_makes_the_connection_idle() -> None:
    connection, _ = wired()
    connection.request("GET", "/")
    connection.close()
    with pytest.raises(ResponseNotReady) as caught:
        connection.getresponse()
    assert caught.value.args == ("Idle",)
    connection.putrequest("GET", "/")


def test_closing_twice_or_before_connecting_is_harmless() -> None:
    connection = HTTPConnection("example.org")
    connection.close()
    connection.close()
    assert connection.sock is None


def test_close_drops_the_response_even_if_the_socket_fails_to_close() -> None:
    connection, wire = wired(OK)
    connection.request("GET", "/")
    response = connection.getresponse()

    def fail() -> None:
        raise OSError("cannot close")

    wire.close = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="cannot close"):
        connection.close()
    assert (connection.sock, response.closed) == (None, True)


def test_a_response_that_will_close_has_the_connection_for_itself() -> None:
    connection, wire = wired(message("HTTP/1.0 200 OK", body=b"to the end"))
    connection.request("GET", "/")
    response = connection.getresponse()
    assert (connection.sock, wire.closed, response.closed) == (None, True, False)
    connection.close()
    assert response.read() == b"to the end"


def test_the_method_of_a_request_reaches_its_response() -> None:
    connection, _ = wired(message("HTTP/1.1 200 OK", "Content-Length: 5"), NEXT)
    connection.request("HEAD", "/")
    with connection.getresponse() as response:
        assert (response.length, response.read()) == (0, b"")
    assert fetch(connection) == (200, b"next")


def test_responses_are_made_by_the_class_of_the_connection() -> None:
    class Mine(HTTPResponse):
        pass

    connection, _ = wired(OK)
    connection.response_class = Mine
    connection.request("GET", "/")
    assert type(connection.getresponse()) is Mine


def test_without_auto_open_nothing_is_dialled() -> None:
    connection = HTTPConnection("example.org")
    connection.auto_open = 0
    with pytest.raises(NotConnected) as caught:
        connection.request("GET", "/")
    assert (caught.value.args, connection.auto_open, HTTPConnection.auto_open) == ((), 0, 1)
