"""For debugging, a context writes the keys of its connections to a file and calls a function for every TLS message.

Source: the ssl documentation of keylog_filename and SSLContext._msg_callback; SSL_CTX_set_keylog_callback(3),
the NSS key log format, SSL_CTX_set_msg_callback(3), RFC 8446 appendix B.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.support import serving, through_memory, tls_connection, trusting

PRIVATE: Any = ssl
Content, Alert, Message = PRIVATE._TLSContentType, PRIVATE._TLSAlertType, PRIVATE._TLSMessageType
TLSv1_2 = ssl.TLSVersion.TLSv1_2


def client() -> Any:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def labels_in(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines() if not line.startswith("#")]


def test_no_keys_are_logged_by_default() -> None:
    assert client().keylog_filename is None


@pytest.mark.parametrize("how", [str, Path], ids=["text", "path"])
def test_naming_a_key_log_creates_it(how: Callable[[Path], Any], tmp_path: Path) -> None:
    log = tmp_path / "keys.txt"
    context = client()
    context.keylog_filename = how(log)
    assert context.keylog_filename == how(log)
    assert log.read_text().startswith("# TLS secrets log file")
    assert labels_in(log) == []


def test_a_key_log_can_be_turned_off(tmp_path: Path) -> None:
    context = client()
    context.keylog_filename = str(tmp_path / "keys.txt")
    context.keylog_filename = None
    assert context.keylog_filename is None


def test_a_key_log_is_a_file(tmp_path: Path) -> None:
    context = client()
    with pytest.raises((IsADirectoryError, PermissionError)):
        context.keylog_filename = str(tmp_path)
    assert context.keylog_filename is None


def test_a_key_log_has_a_name() -> None:
    with pytest.raises(TypeError):
        client().keylog_filename = 1


TLS_1_3_LABELS = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
]


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_connection_of_tls_1_3_logs_five_keys(
    side: str, authority: trustme.CA, server_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    contexts = {"client": trusting(authority), "server": serving(server_identity)}
    log = tmp_path / "keys.txt"
    contexts[side].keylog_filename = str(log)
    with tls_connection(contexts["client"], contexts["server"]):
        pass
    assert sorted(labels_in(log)) == TLS_1_3_LABELS


def test_a_connection_of_tls_1_2_logs_one_key(
    authority: trustme.CA, tls12_server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    context = trusting(authority)
    context.keylog_filename = str(tmp_path / "keys.txt")
    through_memory(context, tls12_server_context).shaken()
    assert labels_in(tmp_path / "keys.txt") == ["CLIENT_RANDOM"]


def test_both_ends_may_log_to_one_file(
    authority: trustme.CA, server_identity: trustme.LeafCert, tmp_path: Path
) -> None:
    one, other = trusting(authority), serving(server_identity)
    one.keylog_filename = other.keylog_filename = str(tmp_path / "keys.txt")
    through_memory(one, other).shaken()
    assert sorted(labels_in(tmp_path / "keys.txt")) == sorted(TLS_1_3_LABELS * 2)


def test_there_is_no_message_callback_by_default() -> None:
    assert client()._msg_callback is None


def test_a_message_callback_is_given_back_and_removed() -> None:
    def callback(*_: object) -> None: ...

    context = client()
    context._msg_callback = callback
    assert context._msg_callback is callback
    context._msg_callback = None
    assert context._msg_callback is None


@pytest.mark.parametrize("wrong", [object, 5], ids=["class", "number"])
def test_a_message_callback_can_be_called(wrong: Any) -> None:
    context = client()
    if callable(wrong):
        wrong = object()
    with pytest.raises(TypeError, match=r" is not callable\.$"):
        context._msg_callback = wrong
    assert context._msg_callback is None


Messages = list[tuple[Any, ...]]


def listened_to(context: Any) -> Messages:
    """What *context* reports of its messages, without the ends and the bytes."""
    messages: Messages = []

    def tell(conn: object, direction: str, version: Any, content: Any, message: Any, data: bytes) -> None:
        assert isinstance(conn, ssl.SSLObject)
        assert isinstance(data, bytes)
        messages.append((direction, version, content, message))

    context._msg_callback = tell
    return messages


def test_a_client_reports_every_message_of_a_handshake(
    authority: trustme.CA, tls12_server_context: ssl.SSLContext
) -> None:
    context = trusting(authority, maximum_version=TLSv1_2)
    messages = listened_to(context)
    through_memory(context, tls12_server_context).shaken()
    assert [step for step in messages if step[2] is not Content.HEADER] == [
        ("write", TLSv1_2, Content.HANDSHAKE, Message.CLIENT_HELLO),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.SERVER_HELLO),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.CERTIFICATE),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.SERVER_KEY_EXCHANGE),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.SERVER_DONE),
        ("write", TLSv1_2, Content.HANDSHAKE, Message.CLIENT_KEY_EXCHANGE),
        ("write", TLSv1_2, Content.CHANGE_CIPHER_SPEC, Message.CHANGE_CIPHER_SPEC),
        ("write", TLSv1_2, Content.HANDSHAKE, Message.FINISHED),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.NEWSESSION_TICKET),
        ("read", TLSv1_2, Content.HANDSHAKE, Message.FINISHED),
    ]


def test_each_message_is_preceded_by_its_header(authority: trustme.CA, tls12_server_context: ssl.SSLContext) -> None:
    context = trusting(authority, maximum_version=TLSv1_2)
    messages = listened_to(context)
    through_memory(context, tls12_server_context).shaken()
    headers = [step for step in messages if step[2] is Content.HEADER]
    # The first hello's record says TLS 1.0, for the sake of old servers. RFC 5246 appendix E.1.
    assert headers[0] == ("write", ssl.TLSVersion.TLSv1, Content.HEADER, Content.HANDSHAKE)
    assert {step[3] for step in headers} == {Content.HANDSHAKE, Content.CHANGE_CIPHER_SPEC}


def test_an_alert_is_reported_by_its_name(
    strange_authority: trustme.CA, tls12_server_context: ssl.SSLContext
) -> None:
    context = trusting(strange_authority, maximum_version=TLSv1_2)
    messages = listened_to(context)
    with pytest.raises(ssl.SSLCertVerificationError):
        through_memory(context, tls12_server_context).shaken()
    assert messages[-1] == ("write", TLSv1_2, Content.ALERT, Alert.UNKNOWN_CA)


@pytest.fixture
def inner() -> tuple[Any, Messages]:
    """What OpenSSL calls in place of the callback, and what the callback received."""
    heard: Messages = []

    def tell(*arguments: object) -> str:
        heard.append(arguments)
        return "returned"

    context = client()
    context._msg_callback = tell
    return PRIVATE._SSLContext._msg_callback.__get__(context), heard


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param((0x303, 22, 1), (TLSv1_2, Content.HANDSHAKE, Message.CLIENT_HELLO), id="all known"),
        pytest.param((0x303, 0x100, 22), (TLSv1_2, Content.HEADER, Content.HANDSHAKE), id="a header"),
        pytest.param((0x303, 21, 48), (TLSv1_2, Content.ALERT, Alert.UNKNOWN_CA), id="an alert"),
        pytest.param((0x7777, 22, 1), (0x7777, Content.HANDSHAKE, Message.CLIENT_HELLO), id="unknown version"),
        pytest.param((0x303, 99, 1), (TLSv1_2, 99, Message.CLIENT_HELLO), id="unknown content"),
        pytest.param((0x303, 22, 99), (TLSv1_2, Content.HANDSHAKE, 99), id="unknown message"),
        pytest.param((0x303, 21, 222), (TLSv1_2, Content.ALERT, 222), id="unknown alert"),
        pytest.param((0x7777, 99, 199), (0x7777, 99, 199), id="nothing known"),
    ],
)
def test_what_has_no_name_is_reported_as_its_number(
    raw: tuple[int, int, int], shown: tuple[Any, ...], inner: tuple[Any, Messages]
) -> None:
    call, heard = inner
    assert call("connection", "read", *raw, b"data") == "returned"
    assert heard == [("connection", "read", *shown, b"data")]
    assert [type(part) for part in heard[0][2:5]] == [type(part) for part in shown]


def test_the_handshake_raises_what_the_callback_raised(
    authority: trustme.CA, tls12_server_context: ssl.SSLContext
) -> None:
    context: Any = trusting(authority)

    def broken(_conn: object, direction: str, _version: object, _content: object, message: Any, _data: bytes) -> None:
        # The last message that a client receives; an earlier exception would be hidden by SSLWantReadError.
        if (direction, message) == ("read", Message.FINISHED):
            raise LookupError("on purpose")

    context._msg_callback = broken
    with pytest.raises(LookupError, match="on purpose"):
        through_memory(context, tls12_server_context).shaken()


def test_message_and_servername_callbacks_of_one_context_do_not_block_each_other(
    authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    server: Any = serving(server_identity)
    other = serving(server_identity)
    names: list[str | None] = []

    def named(end: Any, name: str | None, _context: object) -> None:
        names.append(name)
        end.context = other

    server.sni_callback = named
    messages = listened_to(server)
    through_memory(trusting(authority), server).shaken()
    assert names == ["localhost"]
    assert ("read", ssl.TLSVersion.TLSv1_3, Content.HANDSHAKE, Message.CLIENT_HELLO) in messages
