"""SocketIO is the raw file under makefile: it reads or writes according to its mode; a full socket is not an error.

Source: the io module's RawIOBase.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from typing import Any

import pytest

from converted_tests.test_socket.support import drain, fill, unix_pair


class Broken(socket.socket):
    """Fails with the error that a test chose, however it is used, and counts how often it is."""

    error: OSError
    calls = 0

    def recv_into(self, *_arguments: Any) -> int:
        self.calls += 1
        raise self.error

    def send(self, *_arguments: Any) -> int:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(
    ("given", "kept", "reading", "writing"),
    [
        ("r", "rb", True, False),
        ("w", "wb", False, True),
        ("rw", "rwb", True, True),
        ("rb", "rb", True, False),
        ("wb", "wb", False, True),
        ("rwb", "rwb", True, True),
    ],
)
def test_the_mode_is_binary_and_says_what_is_possible(given: Any, kept: str, reading: bool, writing: bool) -> None:
    with socket.socket() as sock, socket.SocketIO(sock, given) as file:
        assert (file.mode, file.readable(), file.writable(), file.seekable()) == (kept, reading, writing, False)


@pytest.mark.parametrize("mode", ["", "b", "rt", "rbb", "br", "wr", "w+", "a"])
def test_another_mode_is_refused(mode: Any) -> None:
    file = socket.SocketIO.__new__(socket.SocketIO)
    with socket.socket() as sock:
        with pytest.raises(ValueError, match=r"^invalid mode: ") as caught:
            file.__init__(sock, mode)  # type: ignore[misc]
        assert str(caught.value) == f"invalid mode: {mode!r}"
        # A file that was refused has no socket to give back, and since Python 3.13 its end complains of that.
        vars(file)["_sock"] = sock
        file.close()


def test_readinto_takes_what_is_there() -> None:
    buffer = bytearray(b"......")
    with unix_pair() as (left, right), socket.SocketIO(left, "r") as file:
        right.sendall(b"abc")
        assert (file.readinto(buffer), bytes(buffer)) == (3, b"abc...")
        right.close()
        assert (file.readinto(buffer), bytes(buffer)) == (0, b"abc...")


def test_write_sends_what_fits() -> None:
    with unix_pair() as (left, right), socket.SocketIO(left, "w") as file:
        left.setblocking(False)
        total = file.write(bytes(8 << 20))
        assert total is not None
        assert 0 < total < 8 << 20
        assert file.write(b"no room") is None
        assert len(drain(right)) >= total


def test_a_file_for_writing_does_not_read() -> None:
    with unix_pair() as (left, right), socket.SocketIO(left, "w") as file:
        right.sendall(b"text")
        with pytest.raises(io.UnsupportedOperation):
            file.readinto(bytearray(4))
        assert left.recv(100) == b"text"


def test_a_file_for_reading_does_not_write() -> None:
    with unix_pair() as (left, right), socket.SocketIO(left, "r") as file:
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"text")
        left.close()
        assert right.recv(100) == b""


@pytest.mark.parametrize("number", sorted({errno.EAGAIN, errno.EWOULDBLOCK}))
def test_a_socket_that_is_not_ready_gives_none(number: int) -> None:
    with Broken() as sock, socket.SocketIO(sock, "rw") as file:
        sock.error = OSError(number, os.strerror(number))
        assert file.readinto(bytearray(4)) is None
        assert file.write(b"text") is None
        assert sock.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EPIPE, "broken pipe"),
        OSError(errno.EBADF, "bad descriptor"),
        OSError(errno.ENOBUFS, "no buffers"),
        OSError("no number"),
    ],
    ids=str,
)
def test_any_other_error_passes_through(error: OSError) -> None:
    with Broken() as sock, socket.SocketIO(sock, "rw") as file:
        sock.error = error
        with pytest.raises(OSError) as reading:
            file.readinto(bytearray(4))
        with pytest.raises(OSError) as writing:
            file.write(b"text")
        assert (reading.value, writing.value) == (error, error)


def test_after_a_timeout_reads_fail_without_touching_the_socket() -> None:
    with Broken() as sock, socket.SocketIO(sock, "rw") as file:
        sock.error = TimeoutError("timed out")
        with pytest.raises(TimeoutError):
            file.readinto(bytearray(4))
        with pytest.raises(OSError, match=r"^cannot read from timed out object$"):
            file.readinto(bytearray(4))
        assert sock.calls == 1


def test_a_timeout_of_a_write_does_not_end_the_reading() -> None:
    with unix_pair() as (left, right), socket.SocketIO(left, "rw") as file:
        fill(left)
        left.settimeout(0.001)
        with pytest.raises(TimeoutError):
            file.write(b"no room")
        right.sendall(b"text")
        assert file.read(4) == b"text"


@pytest.mark.parametrize("question", ["readable", "writable", "seekable"])
def test_a_closed_file_answers_no_question(question: str) -> None:
    with socket.socket() as sock:
        file = socket.SocketIO(sock, "rw")
        file.close()
        with pytest.raises(ValueError, match=r"^I/O operation on closed socket\.$"):
            getattr(file, question)()


@pytest.mark.parametrize(
    "use", [lambda file: file.readinto(bytearray(1)), lambda file: file.write(b"x"), lambda file: file.fileno()]
)
def test_a_closed_file_is_of_no_use(use: Any) -> None:
    with socket.socket() as sock:
        file = socket.SocketIO(sock, "rw")
        file.close()
        with pytest.raises(ValueError, match="closed file"):
            use(file)


def test_a_closed_file_is_shown_without_a_name() -> None:
    with socket.socket() as sock:
        file = socket.SocketIO(sock, "rw")
        assert (file.name, file.fileno(), file.closed) == (sock.fileno(), sock.fileno(), False)
        assert repr(file).startswith("<socket.SocketIO ")
        file.close()
        file.close()
        assert (file.name, file.closed) == (-1, True)
        assert repr(file).startswith("<socket.SocketIO ")


def test_a_file_that_was_never_counted_leaves_the_socket_as_it_is() -> None:
    with socket.socket() as sock:
        socket.SocketIO(sock, "rw").close()
        with sock.makefile("rb"):
            sock.close()
            assert sock.fileno() != -1
        assert sock.fileno() == -1
