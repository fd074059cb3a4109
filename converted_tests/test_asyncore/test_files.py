"""asyncore's file_wrapper makes a descriptor look like a socket; file_dispatcher puts it into the loop.

The promise is in the library reference of Python 3.11, "asyncore", and in dup(2) and pipe(2).
"""

from __future__ import annotations

import asyncore
import errno
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_asyncore.support import channel_map, needs_poll, run_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="asyncore wraps files on POSIX alone")


@pytest.fixture
def text_fd(tmp_path: Path) -> Iterator[int]:
    """A descriptor, open for both ways, of a file that holds `some text`."""
    path = tmp_path / "text"
    path.write_bytes(b"some text")
    with path.open("r+b", buffering=0) as file:
        yield file.fileno()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError as failure:
        if failure.errno != errno.EBADF:
            raise
        return False
    return True


def test_a_wrapper_has_a_descriptor_of_its_own(text_fd: int) -> None:
    spare_fd = os.dup(text_fd)
    wrapper = asyncore.file_wrapper(spare_fd)
    os.close(spare_fd)
    assert wrapper.fileno() == wrapper.fd != text_fd
    assert is_open(wrapper.fd)
    assert wrapper.recv(4) == b"some"
    wrapper.close()


def test_a_wrapper_reads_by_recv_and_by_read(text_fd: int) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    assert [wrapper.recv(3), wrapper.read(2), wrapper.recv(100), wrapper.read(1)] == [b"som", b"e ", b"text", b""]
    wrapper.close()


def test_a_wrapper_writes_by_send_and_by_write(text_fd: int, tmp_path: Path) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    os.lseek(text_fd, 0, os.SEEK_END)
    assert (wrapper.send(b", more"), wrapper.write(b" of it")) == (6, 6)
    wrapper.close()
    assert (tmp_path / "text").read_bytes() == b"some text, more of it"


def test_reading_a_closed_wrapper_raises(text_fd: int) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    wrapper.close()
    with pytest.raises(OSError) as caught:
        wrapper.read(1)
    assert caught.value.errno == errno.EBADF


def test_a_wrapper_that_is_dropped_open_warns_and_closes_its_descriptor(text_fd: int) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    fd, text = wrapper.fd, repr(wrapper)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del wrapper
    expected = [(ResourceWarning, f"unclosed file {text}")]
    assert [(warning.category, str(warning.message)) for warning in warned] == expected
    assert warned[0].source is not None
    assert not is_open(fd)


def test_even_descriptor_zero_is_worth_a_warning(text_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    own_fd, wrapper.fd = wrapper.fd, 0
    closed: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", closed.append)
        with pytest.warns(ResourceWarning):
            wrapper.__del__()
    os.close(own_fd)
    assert (closed, wrapper.fd) == ([0], -1)


def test_a_wrapper_that_is_dropped_closed_is_silent(text_fd: int) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    wrapper.close()
    del wrapper


def test_closing_a_wrapper_twice_closes_its_descriptor_once(text_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    fd = wrapper.fd
    wrapper.close()
    assert (wrapper.fd, wrapper.fileno(), is_open(fd)) == (-1, -1, False)
    monkeypatch.setattr(os, "close", None)
    wrapper.close()


def test_a_wrapper_never_has_a_socket_error(text_fd: int) -> None:
    wrapper = asyncore.file_wrapper(text_fd)
    assert wrapper.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    wrapper.close()


@pytest.mark.parametrize(
    "question",
    [
        pytest.param((socket.SOL_SOCKET, socket.SO_RCVBUF), id="another option"),
        pytest.param((socket.IPPROTO_TCP, socket.SO_ERROR), id="another level"),
        pytest.param((socket.SOL_SOCKET, socket.SO_ERROR, 4), id="as bytes"),
    ],
)
def test_a_wrapper_knows_no_other_socket_option(question: tuple[int, ...], text_fd: int) -> None:
    wrapper: Any = asyncore.file_wrapper(text_fd)
    with pytest.raises(NotImplementedError, match=r"^Only asyncore specific behaviour implemented\.$"):
        wrapper.getsockopt(*question)
    wrapper.close()


class Reader(asyncore.file_dispatcher):
    """Keeps what the file gives."""

    socket: Any

    def __init__(self, file: Any, channels: dict[int, Any]) -> None:
        self.received = b""
        super().__init__(file, channels)

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.received += self.recv(64)

    def handle_close(self) -> None:
        self.close()


@pytest.mark.parametrize(
    "use_poll", [pytest.param(False, id="select"), pytest.param(True, id="poll", marks=needs_poll)]
)
def test_a_file_dispatcher_reads_a_pipe_from_the_loop_until_its_end(use_poll: bool) -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb") as source, os.fdopen(write_fd, "wb") as sink, channel_map() as channels:
        reader = Reader(source, channels)
        assert channels == {reader.socket.fd: reader}
        sink.write(b"over the pipe")
        sink.flush()
        run_until(lambda: reader.received, channels, use_poll)
        assert reader.received == b"over the pipe"
        sink.close()
        run_until(lambda: not channels, channels, use_poll)
        assert reader.socket.fd == -1


def test_a_file_dispatcher_is_connected_and_does_not_block() -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"), channel_map() as channels:
        reader = Reader(read_fd, channels)
        assert reader.connected
        assert reader.socket.fd != read_fd
        assert [os.get_blocking(read_fd), os.get_blocking(reader.socket.fd)] == [False, False]
        with pytest.raises(BlockingIOError):
            reader.recv(1)


def test_a_file_dispatcher_takes_the_default_map_unless_given_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncore, "socket_map", {})
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"):
        channel: Any = asyncore.file_dispatcher(read_fd)
        assert asyncore.socket_map == {channel.socket.fd: channel}
        channel.close()
    assert asyncore.socket_map == {}


def test_an_exceptional_condition_of_a_file_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"), channel_map() as channels:
        reader = Reader(read_fd, channels)
        reader.ignore_log_types = frozenset()
        reader.handle_expt_event()
        assert reader.socket.fd >= 0
    assert capsys.readouterr().out == "warning: unhandled incoming priority event\n"
