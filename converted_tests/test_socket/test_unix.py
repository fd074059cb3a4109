"""A Unix socket is named by a path, by an abstract name on Linux, or not at all, and gives its name back.

Source: unix(7).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, listening
from converted_tests.test_socket.support import echo
from netsupport import bind_unix_socket

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux' own")

NAME_BYTES = 108


def _abstract() -> bytes:
    """An abstract name that no other test and no other copy has."""
    return b"\0corpus-" + uuid.uuid4().hex.encode()


def test_an_unbound_socket_has_an_empty_name() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert sock.getsockname() == ""


def test_a_client_reaches_a_server_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listening(echo(), family=socket.AF_UNIX, path=path) as server, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(path)
        client.sendall(b"over a path\n")
        assert client.recv(100) == b"over a path\n"
        assert (server.host, client.getpeername(), client.getsockname()) == (path, path, "")


def test_the_peer_of_a_server_is_named_by_where_it_is_bound(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as right,
    ):
        for name, sock in (("left", left), ("right", right)):
            bind_unix_socket(sock, tmp_path / name)
            sock.settimeout(TIMEOUT_S)
        left.sendto(b"text", str(tmp_path / "right"))
        assert right.recvfrom(100) == (b"text", str(tmp_path / "left"))


@pytest.mark.parametrize(
    "kind", [str, os.fsencode, lambda path: bytearray(os.fsencode(path))], ids=["text", "bytes", "bytearray"]
)
def test_a_path_may_be_text_or_bytes(tmp_path: Path, kind: type[str]) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(kind(path))
        assert sock.getsockname() == str(path)
        assert path.is_socket()


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 on macOS")
def test_a_path_that_is_no_text_is_given_back_surrogate_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (b"\xff\xfe not utf-8", "\u00e9t\u00e9".encode()):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(os.fsdecode(name))
            assert os.fsencode(sock.getsockname()) == name
            assert name in os.listdir(b".")


def test_a_path_that_exists_is_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        bind_unix_socket(first, path)
        with pytest.raises(OSError) as caught:
            second.bind(path)
        assert caught.value.errno == errno.EADDRINUSE


def test_a_path_without_a_listener_refuses(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as bound, socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(FileNotFoundError):
            client.connect(path)
        bind_unix_socket(bound, path)
        with pytest.raises(ConnectionRefusedError):
            client.connect(path)


@pytest.mark.parametrize("length", [NAME_BYTES + 1, 1000])
def test_a_path_that_does_not_fit_the_address_is_refused(length: int) -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="AF_UNIX path too long"):
        sock.bind("n" * length)


@pytest.mark.parametrize("address", [5, None, ("path", 0)])
def test_what_is_no_path_is_refused(address: object) -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(TypeError):
        sock.bind(address)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "linux", reason="Linux picks an abstract name for an empty path")
def test_an_empty_path_is_refused() -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError):
        sock.bind("")


@linux_only
def test_a_client_reaches_a_server_by_its_abstract_name() -> None:
    name = _abstract()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        for sock in (listener, client):
            sock.settimeout(TIMEOUT_S)
        listener.bind(name)
        listener.listen()
        client.connect(name)
        accepted, address = listener.accept()
        with accepted:
            assert (listener.getsockname(), client.getpeername(), address) == (name, name, "")
            accepted.sendall(b"text")
            assert client.recv(100) == b"text"


@linux_only
@pytest.mark.parametrize("kind", [bytes.decode, bytearray, memoryview], ids=["text", "bytearray", "memoryview"])
def test_an_abstract_name_may_be_text_or_any_buffer(kind: type[bytearray]) -> None:
    name = _abstract()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(kind(name))
        assert sock.getsockname() == name


@linux_only
def test_the_longest_abstract_name_fills_the_address() -> None:
    name = _abstract().ljust(NAME_BYTES, b"h")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        assert sock.getsockname() == name


@linux_only
def test_one_byte_more_is_too_long() -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="AF_UNIX path too long"):
        sock.bind(_abstract().ljust(NAME_BYTES + 1, b"h"))


@linux_only
def test_an_abstract_name_is_free_again_when_its_socket_is_closed() -> None:
    name = _abstract()
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            first.bind(name)
            with pytest.raises(OSError) as caught:
                second.bind(name)
            assert caught.value.errno == errno.EADDRINUSE


@linux_only
def test_the_kernel_picks_distinct_names_for_empty_paths() -> None:
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for sock in (first, second):
            sock.bind("")
        names = [sock.getsockname() for sock in (first, second)]
    assert [(type(name), name[:1], len(name)) for name in names] == [(bytes, b"\0", 6)] * 2
    assert names[0] != names[1]


@linux_only
@settings(max_examples=15)
@given(st.binary(max_size=60))
def test_any_bytes_make_an_abstract_name(tail: bytes) -> None:
    name = _abstract() + tail
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        assert sock.getsockname() == name
