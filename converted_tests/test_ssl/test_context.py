"""An SSLContext keeps the settings that its connections share, and takes only settings that make sense together.

Source: the ssl module's documentation of SSLContext; SSL_CTX_new(3), SSL_CTX_set_options(3), SSL_CTX_set_verify(3).
"""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

from converted_tests.test_ssl.support import Memory, through_memory

CLIENT, SERVER = ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER
TLSv1_2, TLSv1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def client() -> Any:
    return ssl.SSLContext(CLIENT)


def server() -> Any:
    return ssl.SSLContext(SERVER)


def test_a_context_without_a_protocol_is_deprecated_and_means_tls() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated") as warnings:
        context = ssl.SSLContext()
    texts = [str(warning.message) for warning in warnings]
    assert texts == ["ssl.SSLContext() without protocol argument is deprecated.", "ssl.PROTOCOL_TLS is deprecated"]
    assert warnings[0].filename == __file__
    assert context.protocol is ssl.PROTOCOL_TLS


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        pytest.param(ssl.PROTOCOL_TLS, "PROTOCOL_TLS", id="TLS"),
        pytest.param(ssl.PROTOCOL_TLSv1_2, "PROTOCOL_TLSv1_2", id="TLS 1.2"),
        pytest.param(ssl.PROTOCOL_TLSv1_1, "PROTOCOL_TLSv1_1", id="TLS 1.1"),
        pytest.param(ssl.PROTOCOL_TLSv1, "PROTOCOL_TLSv1", id="TLS 1.0"),
    ],
)
def test_a_protocol_that_names_no_side_is_deprecated(protocol: Any, name: str) -> None:
    if not getattr(ssl, name.replace("PROTOCOL", "HAS"), True):
        pytest.skip(f"this OpenSSL is built without {name}")
    with pytest.warns(DeprecationWarning, match=rf"^ssl.{name} is deprecated$"):
        context = ssl.SSLContext(protocol)
    assert context.protocol is protocol
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("protocol", [-1, 42])
def test_an_unknown_protocol_is_a_value_error(protocol: int) -> None:
    with pytest.raises(ValueError, match="invalid or unsupported protocol version"):
        ssl.SSLContext(protocol)


def test_a_protocol_is_a_number() -> None:
    with pytest.raises(TypeError):
        ssl.SSLContext("TLS")  # type: ignore[call-overload]


def test_a_client_verifies_certificate_and_name() -> None:
    context = client()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_server_asks_for_no_certificate() -> None:
    context = server()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("make", [client, server])
def test_options_begin_with_the_safe_ones(make: Callable[[], Any]) -> None:
    expected = (
        ssl.OP_ALL
        | ssl.OP_NO_SSLv3
        | ssl.OP_NO_COMPRESSION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_DH_USE
        | ssl.OP_SINGLE_ECDH_USE
        | ssl.OP_ENABLE_MIDDLEBOX_COMPAT
    )
    assert make().options == expected
    assert type(make().options) is ssl.Options


def test_an_option_is_added_and_taken_away() -> None:
    context = client()
    before = context.options
    context.options |= ssl.OP_NO_TICKET
    assert context.options == before | ssl.OP_NO_TICKET
    context.options &= ~ssl.OP_NO_TICKET
    assert context.options == before


@pytest.mark.filterwarnings("ignore:ssl.OP_NO_:DeprecationWarning")
def test_options_can_be_emptied() -> None:
    context = client()
    context.options = 0
    assert context.options & (ssl.OP_NO_SSLv3 | ssl.OP_ALL | ssl.OP_NO_TICKET) == 0


@pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param(ssl.OP_NO_TLSv1, "OP_NO_TLSv1", id="TLS 1.0"),
        pytest.param(ssl.OP_NO_TLSv1_1, "OP_NO_TLSv1_1", id="TLS 1.1"),
        pytest.param(ssl.OP_NO_TLSv1_2, "OP_NO_TLSv1_2", id="TLS 1.2"),
        pytest.param(ssl.OP_NO_TLSv1_3, "OP_NO_TLSv1_3", id="TLS 1.3"),
    ],
)
def test_forbidding_one_version_is_deprecated(option: ssl.Options, name: str) -> None:
    context = client()
    with pytest.warns(DeprecationWarning, match=r"^ssl.OP_NO_SSL\*/ssl.OP_NO_TLS\* options are deprecated$"):
        context.options |= option
    assert option in context.options, name


@pytest.mark.parametrize("mode", list(ssl.VerifyMode))
def test_the_verify_mode_is_kept_as_a_member(mode: ssl.VerifyMode) -> None:
    context = server()
    context.verify_mode = int(mode)
    assert context.verify_mode is mode


def test_the_verify_mode_is_a_number() -> None:
    with pytest.raises(TypeError):
        server().verify_mode = None


def test_an_unknown_verify_mode_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^invalid value for verify_mode$"):
        server().verify_mode = 42


def test_a_verify_mode_without_a_name_is_shown_as_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    context = client()
    monkeypatch.setattr(ssl, "VerifyMode", IntEnum("Fewer", {"CERT_NONE": 0}))
    assert (context.verify_mode, type(context.verify_mode)) == (2, int)


def test_checking_names_raises_the_verify_mode() -> None:
    context = server()
    context.check_hostname = True
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_turning_name_checks_off_keeps_the_verify_mode() -> None:
    context = client()
    context.check_hostname = False
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_an_optional_certificate_is_enough_to_check_names() -> None:
    context = server()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.check_hostname = True
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_OPTIONAL, True)


def test_names_cannot_be_checked_without_a_certificate() -> None:
    context = client()
    with pytest.raises(ValueError, match=r"^Cannot set verify_mode to CERT_NONE when check_hostname is enabled.$"):
        context.verify_mode = ssl.CERT_NONE
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_common_names_are_checked_unless_told_otherwise() -> None:
    context = client()
    assert context.hostname_checks_common_name is True
    context.hostname_checks_common_name = False
    assert context.hostname_checks_common_name is False
    context.hostname_checks_common_name = True
    assert context.hostname_checks_common_name is True


def test_flags_other_than_the_common_names_are_left_alone() -> None:
    context = client()
    before = context._host_flags
    context.hostname_checks_common_name = False
    assert context._host_flags == before | ssl._ssl.HOSTFLAG_NEVER_CHECK_SUBJECT  # type: ignore[attr-defined]
    context.hostname_checks_common_name = True
    assert context._host_flags == before


def test_the_check_of_common_names_cannot_be_deleted() -> None:
    with pytest.raises(AttributeError):
        del client().hostname_checks_common_name


@pytest.mark.parametrize("version", [TLSv1_2, TLSv1_3])
def test_a_version_limit_is_kept_as_a_member(version: ssl.TLSVersion) -> None:
    context = server()
    context.minimum_version = version
    context.maximum_version = version
    assert (context.minimum_version, context.maximum_version) == (version, version)
    assert (type(context.minimum_version), type(context.maximum_version)) == (ssl.TLSVersion, ssl.TLSVersion)


def test_version_limits_may_be_set_in_any_order() -> None:
    context = server()
    context.minimum_version = TLSv1_3
    context.maximum_version = TLSv1_2
    assert (context.minimum_version, context.maximum_version) == (TLSv1_3, TLSv1_2)


def test_the_lowest_and_the_highest_version_are_whatever_openssl_can() -> None:
    context = server()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert context.minimum_version == ssl.TLSVersion.MINIMUM_SUPPORTED
    assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED


def test_the_lowest_version_cannot_be_the_highest_that_there_is() -> None:
    context = server()
    context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    assert context.maximum_version in {ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, TLSv1_2}
    context.minimum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert context.minimum_version in {TLSv1_2, TLSv1_3}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_minimum_of_sslv3_takes_away_the_option_against_it() -> None:
    context = server()
    assert ssl.OP_NO_SSLv3 in context.options
    context.minimum_version = ssl.TLSVersion.SSLv3
    assert ssl.OP_NO_SSLv3 not in context.options


def test_another_minimum_keeps_the_option_against_sslv3() -> None:
    context = server()
    context.minimum_version = TLSv1_3
    assert ssl.OP_NO_SSLv3 in context.options


@pytest.mark.parametrize("limit", ["minimum_version", "maximum_version"])
def test_an_unknown_version_is_a_value_error(limit: str) -> None:
    with pytest.raises(ValueError, match=r"^Unsupported TLS/SSL version 0x42$"):
        setattr(server(), limit, 0x42)


@pytest.mark.parametrize("limit", ["minimum_version", "maximum_version"])
def test_a_version_is_a_number(limit: str) -> None:
    with pytest.raises(TypeError):
        setattr(server(), limit, "TLSv1.2")


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")
@pytest.mark.parametrize("limit", ["minimum_version", "maximum_version"])
def test_a_protocol_of_one_version_has_no_limits(limit: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLSv1_2)
    with pytest.raises(ValueError, match=r"^The context's protocol doesn't support modification"):
        setattr(context, limit, TLSv1_2)


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1_1"])
def test_an_old_version_as_a_limit_is_deprecated(version: str) -> None:
    if not getattr(ssl, f"HAS_{version}"):
        pytest.skip(f"this OpenSSL is built without {version}")
    context = server()
    with pytest.warns(DeprecationWarning, match=rf"^ssl.TLSVersion.{version} is deprecated$"):
        context.minimum_version = ssl.TLSVersion[version]
    assert context.minimum_version is ssl.TLSVersion[version]


def test_the_security_level_can_only_be_read() -> None:
    context = client()
    assert context.security_level in range(6)
    with pytest.raises(AttributeError):
        context.security_level = 2


def test_verify_flags_trust_the_first_chain_found() -> None:
    flags = client().verify_flags
    assert flags == ssl.VERIFY_X509_TRUSTED_FIRST
    assert type(flags) is ssl.VerifyFlags


@pytest.mark.parametrize(
    "flags",
    [
        ssl.VERIFY_CRL_CHECK_LEAF,
        ssl.VERIFY_CRL_CHECK_CHAIN,
        ssl.VERIFY_DEFAULT,
        ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_X509_STRICT,
    ],
    ids=str,
)
def test_verify_flags_are_replaced(flags: ssl.VerifyFlags) -> None:
    context = client()
    context.verify_flags = flags
    assert context.verify_flags == flags


def test_verify_flags_are_a_number() -> None:
    with pytest.raises(TypeError):
        client().verify_flags = None


@pytest.mark.parametrize("count", [0, 1, 42])
def test_a_server_says_how_many_tickets_it_sends(count: int) -> None:
    context = server()
    assert context.num_tickets == 2
    context.num_tickets = count
    assert context.num_tickets == count


def test_a_negative_number_of_tickets_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^value must be non-negative$"):
        server().num_tickets = -1


def test_a_number_of_tickets_is_a_number() -> None:
    with pytest.raises(TypeError):
        server().num_tickets = None


def test_a_client_sends_no_tickets() -> None:
    context = client()
    assert context.num_tickets == 2
    with pytest.raises(ValueError, match=r"^SSLContext is not a server context.$"):
        context.num_tickets = 1


NO_SESSIONS = dict.fromkeys(
    [
        "number",
        "connect",
        "connect_good",
        "connect_renegotiate",
        "accept",
        "accept_good",
        "accept_renegotiate",
        "hits",
        "misses",
        "timeouts",
        "cache_full",
    ],
    0,
)


def test_a_new_context_has_no_sessions() -> None:
    assert server().session_stats() == NO_SESSIONS


@pytest.mark.parametrize("callback", [4, "", b"", object()], ids=["number", "text", "bytes", "object"])
def test_a_servername_callback_can_be_called(callback: Any) -> None:
    context = server()
    with pytest.raises(TypeError, match=r"^not a callable object$"):
        context.set_servername_callback(callback)
    assert context.sni_callback is None


def test_a_servername_callback_is_set_and_removed() -> None:
    context = server()
    context.set_servername_callback(lambda *_: None)
    assert callable(context.sni_callback)
    context.set_servername_callback(None)
    assert context.sni_callback is None


def test_a_context_in_its_own_servername_callback_is_freed() -> None:
    context = server()

    def callback(*_: object, of: object = context) -> None:
        assert of

    context.set_servername_callback(callback)
    gone = weakref.ref(context)
    del context, callback
    gc.collect()
    assert gone() is None


def test_a_subclass_of_the_socket_class_is_used() -> None:
    class OurSocket(ssl.SSLSocket):
        pass

    context = client()
    context.sslsocket_class = OurSocket
    with context.wrap_socket(socket.socket(), server_hostname="localhost") as wrapped:
        assert type(wrapped) is OurSocket


def test_a_subclass_of_the_object_class_is_used() -> None:
    class OurObject(ssl.SSLObject):
        pass

    context = client()
    context.sslobject_class = OurObject
    wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert type(wrapped) is OurObject


def test_by_default_sockets_and_objects_are_of_the_modules_classes() -> None:
    assert (ssl.SSLContext.sslsocket_class, ssl.SSLContext.sslobject_class) == (ssl.SSLSocket, ssl.SSLObject)


def test_a_subclass_of_the_context_is_kept() -> None:
    class OurContext(ssl.SSLContext):
        pass

    assert type(OurContext(CLIENT)) is OurContext


def test_an_object_of_a_servers_context_counts_in_its_statistics(
    client_context: ssl.SSLContext, server_identity: Any
) -> None:
    context = server()
    server_identity.configure_cert(context)
    pair: Memory = through_memory(client_context, context).shaken()
    assert pair.server.context is context
    statistics = context.session_stats()
    assert (statistics["accept"], statistics["accept_good"]) == (1, 1)
