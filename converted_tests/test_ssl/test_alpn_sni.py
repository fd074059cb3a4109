"""In its hello a client names the server it wants and the protocols it speaks, and the server answers to both.

Source: RFC 6066 section 3 (server_name), RFC 7301 (ALPN), RFC 8446 section 6.2 (alerts).
"""

from __future__ import annotations

import ssl
import sys
from functools import partial
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.certificates import der
from converted_tests.test_ssl.support import handshake_outcomes, serving, through_memory, tls_connection, trusting

FIRST, SECOND, THIRD, FOURTH = "foo", "bar", "milkshake", "http/3.0"
OFFERED_BY_SERVER = [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(
    ("clients", "chosen"),
    [
        pytest.param([FIRST, SECOND, THIRD], FIRST, id="the servers first"),
        pytest.param([THIRD, SECOND, FIRST], FIRST, id="the servers first in any order"),
        pytest.param([SECOND], SECOND, id="the only one in common"),
        pytest.param([FOURTH, THIRD], THIRD, id="the last one"),
        pytest.param([FOURTH], None, id="none in common"),
        pytest.param([], None, id="none at all"),
    ],
)
def test_the_server_chooses_a_protocol_of_both(
    clients: list[str], chosen: str | None, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    client, server = trusting(authority), serving(server_identity)
    client.set_alpn_protocols(clients)
    server.set_alpn_protocols(OFFERED_BY_SERVER)
    with tls_connection(client, server) as ends:
        assert [end.selected_alpn_protocol() for end in ends] == [chosen, chosen]


@pytest.mark.parametrize(
    ("client_speaks", "server_speaks"),
    [(False, False), (True, False), (False, True)],
    ids=["neither", "client", "server"],
)
def test_no_protocol_is_chosen_unless_both_ends_name_some(
    client_speaks: bool, server_speaks: bool, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    client, server = trusting(authority), serving(server_identity)
    for context, speaks in ((client, client_speaks), (server, server_speaks)):
        if speaks:
            context.set_alpn_protocols(OFFERED_BY_SERVER)
    pair = through_memory(client, server).shaken()
    assert (pair.client.selected_alpn_protocol(), pair.server.selected_alpn_protocol()) == (None, None)


def test_before_the_handshake_no_protocol_is_chosen(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    client = trusting(authority)
    client.set_alpn_protocols([FIRST])
    assert through_memory(client, serving(server_identity)).client.selected_alpn_protocol() is None


@pytest.mark.parametrize("name", ["", "x" * 256], ids=["empty", "256 bytes"])
def test_a_protocol_has_1_to_255_bytes(name: str, authority: trustme.CA) -> None:
    context = trusting(authority)
    with pytest.raises(ssl.SSLError) as refusal:
        context.set_alpn_protocols([FIRST, name])
    assert refusal.value.args == ("ALPN protocols must be 1 to 255 in length",)


@pytest.mark.parametrize("name", ["x", "x" * 255], ids=["1 byte", "255 bytes"])
def test_the_shortest_and_the_longest_protocol_can_be_chosen(
    name: str, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    client, server = trusting(authority), serving(server_identity)
    client.set_alpn_protocols([name])
    server.set_alpn_protocols([FIRST, name])
    assert through_memory(client, server).shaken().client.selected_alpn_protocol() == name


def test_a_protocol_is_ascii(authority: trustme.CA) -> None:
    with pytest.raises(UnicodeEncodeError):
        trusting(authority).set_alpn_protocols(["prötocol"])


npn_deprecated = partial(pytest.warns, DeprecationWarning, match=r"^ssl NPN is deprecated, use ALPN instead$")


@pytest.mark.parametrize("name", ["", "x" * 256], ids=["empty", "256 bytes"])
def test_next_protocols_have_1_to_255_bytes(name: str, authority: trustme.CA) -> None:
    with npn_deprecated(), pytest.raises(ssl.SSLError) as refusal:
        trusting(authority).set_npn_protocols([FIRST, name])
    assert refusal.value.args == ("NPN protocols must be 1 to 255 in length",)


@pytest.mark.parametrize("names", [["x", "y" * 255], []], ids=["good lengths", "none"])
def test_next_protocol_negotiation_is_absent(names: list[str], authority: trustme.CA) -> None:
    with npn_deprecated(), pytest.raises(AttributeError, match="_set_npn_protocols"):
        trusting(authority).set_npn_protocols(names)


def test_next_protocols_go_to_openssl_with_their_lengths() -> None:
    given: list[bytearray] = []

    class Context(ssl.SSLContext):
        def _set_npn_protocols(self, names: bytearray) -> None:
            given.append(names)

    with npn_deprecated() as caught:
        Context(ssl.PROTOCOL_TLS_CLIENT).set_npn_protocols(["foo", "http/1.1"])
    assert [warning.filename for warning in caught] == [__file__]
    assert given == [b"\x03foo\x08http/1.1"]


def test_protocols_go_to_openssl_with_their_lengths() -> None:
    given: list[bytearray] = []

    class Context(ssl.SSLContext):
        def _set_alpn_protocols(self, names: bytearray) -> None:
            given.append(names)

    Context(ssl.PROTOCOL_TLS_CLIENT).set_alpn_protocols(["foo", "http/1.1"])
    assert given == [b"\x03foo\x08http/1.1"]


Heard = list[tuple[Any, ...]]


def named_by(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> list[Any]:
    pair = through_memory(client, server, host)
    outcomes: list[Any] = list(handshake_outcomes(pair.client, pair.server))
    return [*outcomes, pair]


def test_a_server_receives_the_requested_name(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    heard: Heard = []
    server = serving(server_identity)
    server.set_servername_callback(lambda *arguments: heard.append(arguments))
    at_client, at_server, pair = named_by(trusting(authority, check_hostname=False), server, "supermessage")
    assert (at_client, at_server) == (None, None)
    assert heard == [(pair.server, "supermessage", server)]


def test_a_server_learns_that_no_name_was_requested(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    heard: Heard = []
    server = serving(server_identity)
    server.set_servername_callback(lambda *arguments: heard.append(arguments))
    _, _, pair = named_by(trusting(authority, check_hostname=False), server, None)
    assert heard == [(pair.server, None, server)]


def test_an_international_name_arrives_as_a_labels(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    heard: Heard = []
    server = serving(server_identity)
    server.set_servername_callback(lambda *arguments: heard.append(arguments))
    named_by(trusting(authority, check_hostname=False), server, "könig.example.org")
    assert [name for _, name, _ in heard] == ["xn--knig-5qa.example.org"]


def test_a_disabled_callback_is_not_called(authority: trustme.CA, server_identity: trustme.LeafCert) -> None:
    heard: Heard = []
    server = serving(server_identity)
    server.set_servername_callback(lambda *arguments: heard.append(arguments))
    server.set_servername_callback(None)
    assert named_by(trusting(authority), server, "localhost")[:2] == [None, None]
    assert heard == []


def test_a_socket_is_what_the_callback_of_a_socket_gets(
    authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    heard: Heard = []
    server = serving(server_identity)
    server.set_servername_callback(lambda *arguments: heard.append(arguments))
    with tls_connection(trusting(authority), server) as (_, end):
        assert heard == [(end, "localhost", server)]


def test_a_callback_may_switch_to_another_certificate(
    authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    other_identity = authority.issue_cert("other.example.org")
    other = serving(other_identity)
    server = serving(server_identity)

    def switch(end: Any, name: str | None, _context: object) -> None:
        if name == "other.example.org":
            end.context = other

    server.set_servername_callback(switch)
    for host, identity in (("other.example.org", other_identity), ("localhost", server_identity)):
        pair = through_memory(trusting(authority), server, host).shaken()
        assert pair.client.getpeercert(True) == der(identity.cert_chain_pems[0].bytes())


def test_a_number_from_the_callback_is_the_alert_that_is_sent(
    authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    server = serving(server_identity)
    server.set_servername_callback(lambda *_: ssl.ALERT_DESCRIPTION_ACCESS_DENIED)
    at_client, at_server, _ = named_by(trusting(authority), server, "localhost")
    assert (at_client.reason, at_server.reason) == ("TLSV1_ALERT_ACCESS_DENIED", "CALLBACK_FAILED")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_in_the_callback_is_a_failed_handshake(
    authority: trustme.CA, server_identity: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook_arguments: unraisable.append(hook_arguments.exc_value))
    server = serving(server_identity)

    def broken(*_: object) -> int:
        raise ZeroDivisionError("on purpose")

    server.set_servername_callback(broken)
    at_client, at_server, _ = named_by(trusting(authority), server, "localhost")
    assert (at_client.reason, at_server.reason) == ("SSLV3_ALERT_HANDSHAKE_FAILURE", "CALLBACK_FAILED")
    assert [str(exception) for exception in unraisable] == ["on purpose"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_anything_but_a_number_from_the_callback_is_an_internal_error(
    authority: trustme.CA, server_identity: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook_arguments: unraisable.append(hook_arguments.exc_type))
    server = serving(server_identity)
    server.set_servername_callback(lambda *_: "foo")  # type: ignore[arg-type]
    at_client, _, _ = named_by(trusting(authority), server, "localhost")
    assert at_client.reason == "TLSV1_ALERT_INTERNAL_ERROR"
    assert unraisable == [TypeError]
