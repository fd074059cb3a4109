"""sendfile sends a file, or a part of it, by the kernel where that is possible and by send where it is not.

Source: the library reference, socket.sendfile; sendfile(2).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import SHORT_S, TIMEOUT_S, Peer, Silence, TakeAll, connected, listening
from converted_tests.test_socket.support import datagram_pair, drain, fill, loaded_again, unix_pair

DATA = bytes(range(256)) * 1200
"""300 kB: more than a socket's buffers hold."""

SMALL = b"0123456789"

needs_kernel = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="no os.sendfile here")


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Any]:
    """An open file that holds DATA."""
    path = tmp_path / "large"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        yield file


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Any]:
    """An open file that holds SMALL."""
    path = tmp_path / "small"
    path.write_bytes(SMALL)
    with open(path, "rb") as file:
        yield file


class Kernel:
    """A stub for os.sendfile: follows the steps in order and records its arguments."""

    def __init__(self, steps: list[int | OSError]) -> None:
        self.steps = steps
        self.asked: list[tuple[int, int]] = []

    def __call__(self, _target: int, _source: int, offset: int, size: int) -> int:
        self.asked.append((offset, size))
        step = self.steps.pop(0)
        if isinstance(step, OSError):
            raise step
        return step


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long each wait for the socket was to last at most."""
    seen: list[float | None] = []

    class Watched(selectors.PollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            seen.append(timeout)
            return super().select(timeout)

    monkeypatch.setattr(selectors, "PollSelector", Watched)
    return seen


class Reading:
    """A file that has only a read method; records how much was requested."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        return self._data.read(size)


def _received(action: Callable[[socket.socket], int], timeout: float | None = TIMEOUT_S) -> tuple[int, bytes]:
    """What *action* returned, and what arrived at the other end of the socket that it was given."""
    heard = []

    def hearing() -> Peer:
        heard.append((yield TakeAll()))

    with connected(hearing()) as client:
        client.settimeout(timeout)
        count = action(client)
    return count, heard[0]


PARTS: list[Any] = [
    pytest.param((), 0, len(DATA), id="whole"),
    pytest.param((5000,), 5000, len(DATA), id="from an offset"),
    pytest.param((0, 5_000_007), 0, len(DATA), id="more than there is"),
    pytest.param((0, 123_456), 0, 123_456, id="many blocks"),
    pytest.param((0, 10), 0, 10, id="a few bytes"),
    pytest.param((0, 1), 0, 1, id="one byte"),
    pytest.param((5007, 123_007), 5007, 128_014, id="offset and count"),
    pytest.param((len(DATA),), len(DATA), len(DATA), id="from the end"),
]


@needs_kernel
@pytest.mark.parametrize(("arguments", "start", "end"), PARTS)
def test_a_regular_file_is_sent_by_the_kernel(
    large: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[int, ...],
    start: int,
    end: int,
) -> None:
    kernel = os.sendfile
    calls = []

    def counting(*args: int) -> int:
        calls.append(args)
        return kernel(*args)

    monkeypatch.setattr(os, "sendfile", counting)
    count, data = _received(lambda sock: sock.sendfile(large, *arguments))
    assert (count, data == DATA[start:end]) == (end - start, True)
    assert calls
    assert large.tell() == (end if count else 0)


@pytest.mark.parametrize(("arguments", "start", "end"), PARTS)
def test_a_file_in_memory_is_sent_by_send(arguments: tuple[int, ...], start: int, end: int) -> None:
    file = io.BytesIO(DATA)
    count, data = _received(lambda sock: sock.sendfile(file, *arguments))
    assert (count, data == DATA[start:end]) == (end - start, True)
    assert file.tell() == end


def test_a_blocking_socket_sends_a_file_larger_than_its_buffers(large: Any) -> None:
    count, data = _received(lambda sock: sock.sendfile(large), timeout=None)
    assert (count, data == DATA) == (len(DATA), True)


def test_a_file_is_sent_over_a_listener(large: Any) -> None:
    heard = []

    def hearing() -> Peer:
        heard.append((yield TakeAll()))

    with listening(hearing()) as server:
        with socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
            assert client.sendfile(large, offset=1, count=200_000) == 200_000
    assert heard == [DATA[1:200_001]]


def test_offset_and_count_may_be_named(small: Any) -> None:
    assert _received(lambda sock: sock.sendfile(file=small, offset=2, count=3)) == (3, b"234")


def test_an_empty_file_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with open(tmp_path / "empty", "rb") as file:
        assert _received(lambda sock: sock.sendfile(file)) == (0, b"")
        assert _received(lambda sock: sock.sendfile(io.BytesIO())) == (0, b"")


@needs_kernel
def test_an_empty_file_does_not_reach_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setattr(os, "sendfile", Kernel([]))
    with open(tmp_path / "empty", "rb") as file, unix_pair() as (left, _):
        assert left.sendfile(file) == 0


@needs_kernel
@pytest.mark.parametrize(
    ("arguments", "steps", "asked", "position"),
    [
        pytest.param((), [10, 0], [(0, 10), (10, 10)], 10, id="at once"),
        pytest.param((), [3, 2, 5, 0], [(0, 10), (3, 10), (5, 10), (10, 10)], 10, id="in pieces"),
        pytest.param((4,), [6, 0], [(4, 10), (10, 10)], 10, id="from an offset"),
        pytest.param((0, 5), [3, 1, 1], [(0, 5), (3, 2), (4, 1)], 5, id="count in pieces"),
        pytest.param((2, 5), [4, 1], [(2, 5), (6, 1)], 7, id="offset and count"),
        pytest.param((8, 5), [2, 0], [(8, 5), (10, 3)], 10, id="count beyond the end"),
        pytest.param((10,), [0], [(10, 10)], 0, id="nothing sent"),
    ],
)
def test_the_kernel_is_asked_for_what_is_left(
    small: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[int, ...],
    steps: list[int | OSError],
    asked: list[tuple[int, int]],
    position: int,
) -> None:
    kernel = Kernel(list(steps))
    monkeypatch.setattr(os, "sendfile", kernel)
    with unix_pair() as (left, _):
        assert left.sendfile(small, *arguments) == sum(step for step in steps if isinstance(step, int))
    assert kernel.asked == asked
    assert small.tell() == position


@needs_kernel
@pytest.mark.parametrize("count", [None, 2**30 + 5], ids=["whole file", "count"])
def test_the_kernel_is_asked_for_a_gibibyte_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 2**30 + 5)
    kernel = Kernel([2**30 - 7, 12, 0])
    monkeypatch.setattr(os, "sendfile", kernel)
    with open(path, "rb") as file, unix_pair() as (left, _):
        assert left.sendfile(file, 0, count) == 2**30 + 5
        assert file.tell() == 2**30 + 5
    if count is None:
        assert kernel.asked[:2] == [(0, 2**30), (2**30 - 7, 2**30)]


@needs_kernel
@pytest.mark.parametrize(
    ("timeout", "expected"), [(None, [None]), (2.5, [2.5] * 4)], ids=["blocking", "with a timeout"]
)
def test_a_kernel_that_would_block_is_asked_again_when_the_socket_is_ready(
    small: Any,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float | None],
    timeout: float | None,
    expected: list[float | None],
) -> None:
    kernel = Kernel([4, BlockingIOError(errno.EAGAIN, "not now"), 6, 0])
    monkeypatch.setattr(os, "sendfile", kernel)
    with unix_pair() as (left, _):
        left.settimeout(timeout)
        assert left.sendfile(small) == 10
    assert kernel.asked == [(0, 10), (4, 10), (4, 10), (10, 10)]
    assert waits == expected


@needs_kernel
def test_without_poll_the_socket_is_waited_for_by_select(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(selectors, "PollSelector", raising=False)
    count, data = _received(lambda sock: sock.sendfile(small))
    assert (count, data) == (10, SMALL)


@needs_kernel
def test_a_kernel_that_refuses_at_once_is_replaced_by_send(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel([OSError(errno.EINVAL, "not this file")])
    monkeypatch.setattr(os, "sendfile", kernel)
    assert _received(lambda sock: sock.sendfile(small, 3)) == (7, SMALL[3:])
    assert kernel.asked == [(3, 10)]
    assert small.tell() == 10


@needs_kernel
def test_a_kernel_that_fails_halfway_is_an_error_and_the_file_shows_how_far_it_came(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = OSError(errno.EIO, "broken disk")
    monkeypatch.setattr(os, "sendfile", Kernel([4, failure]))
    with unix_pair() as (left, _):
        with pytest.raises(OSError) as caught:
            left.sendfile(small, 1)
    assert caught.value is failure
    assert caught.value.__suppress_context__
    assert small.tell() == 5


class Unseekable:
    """A regular file without a position to set."""

    def __init__(self, file: Any) -> None:
        self.fileno = file.fileno


@needs_kernel
def test_a_regular_file_without_seek_is_sent_all_the_same(small: Any) -> None:
    file: Any = Unseekable(small)
    assert _received(lambda sock: sock.sendfile(file)) == (10, SMALL)
    assert small.tell() == 0


def test_a_file_that_can_only_be_read_is_sent() -> None:
    file: Any = Reading(SMALL)
    assert _received(lambda sock: sock.sendfile(file)) == (10, SMALL)


class Descriptor(io.BytesIO):
    """A file in memory that claims to have a descriptor."""

    descriptor = -1

    def fileno(self) -> int:
        return self.descriptor


@needs_kernel
def test_the_kernels_way_gives_up_on_what_is_no_regular_file() -> None:
    give_up: type[Exception] = getattr(socket, "_GiveupOnSendfile")  # noqa: B009
    with unix_pair() as (left, _):
        by_kernel: Callable[..., int] = getattr(left, "_sendfile_use_sendfile")  # noqa: B009
        for file, cause in ((io.BytesIO(SMALL), io.UnsupportedOperation), (Reading(SMALL), AttributeError)):
            with pytest.raises(give_up) as caught:
                by_kernel(file)
            assert isinstance(caught.value.args[0], cause)
        with pytest.raises(give_up) as caught:
            by_kernel(Descriptor(SMALL))
        assert caught.value.args[0].errno == errno.EBADF


@needs_kernel
def test_a_bad_descriptor_is_replaced_by_reading() -> None:
    file = Descriptor(SMALL)
    assert _received(lambda sock: sock.sendfile(file)) == (10, SMALL)


def test_a_pipe_is_read_and_sent() -> None:
    reading, writing = os.pipe()
    os.write(writing, SMALL)
    os.close(writing)
    with open(reading, "rb", buffering=0) as file:
        # A pipe has no size, so the kernel's way takes it for an empty file.
        assert _received(lambda sock: sock.sendfile(file)) == (0, b"")
        by_send = _received(lambda sock: sock._sendfile_use_send(Reading(file.read())))  # type: ignore[attr-defined]
        assert by_send == (10, SMALL)


def test_without_os_sendfile_every_file_goes_by_send(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sendfile", raising=False)
    again = loaded_again()

    def send(sock: socket.socket) -> int:
        with again.socket(sock.family, sock.type, sock.proto, sock.detach()) as other:
            other.settimeout(TIMEOUT_S)
            with pytest.raises(again._GiveupOnSendfile, match=r"^os\.sendfile\(\) not available on this platform$"):
                other._sendfile_use_sendfile(large)
            assert large.tell() == 0
            return int(other.sendfile(large, 10, 200_000))

    count, data = _received(send)
    assert (count, data == DATA[10:200_010]) == (200_000, True)
    assert large.tell() == 200_010


@pytest.mark.parametrize(
    ("size", "count", "asked"),
    [
        pytest.param(20_000, None, [8192, 8192, 8192, 8192], id="whole"),
        pytest.param(8192, None, [8192, 8192], id="one block"),
        pytest.param(20_000, 10_000, [8192, 1808], id="count"),
        pytest.param(20_000, 8192, [8192], id="count of a block"),
        pytest.param(20_000, 8193, [8192, 1], id="count of a block and a byte"),
        pytest.param(20_000, 5, [5], id="small count"),
        pytest.param(5, 10, [10, 5], id="count beyond the end"),
    ],
)
def test_send_takes_the_file_in_blocks_of_eight_kibibytes(size: int, count: int | None, asked: list[int]) -> None:
    file: Any = Reading(DATA[:size])
    sent, data = _received(lambda sock: sock.sendfile(file, 0, count))
    assert file.asked == asked
    assert (sent, data == DATA[: min(size, count or size)]) == (min(size, count or size), True)


class Hesitant(socket.socket):
    """Sends three bytes at most, and every other time none."""

    turn = 0

    def send(self, data: Any, flags: int = 0) -> int:
        self.turn += 1
        if self.turn % 2:
            raise BlockingIOError(errno.EAGAIN, "not now")
        return super().send(bytes(data[:3]), flags)


@pytest.mark.parametrize(("count", "sent"), [(None, 10), (7, 7), (3, 3)])
def test_what_send_did_not_take_is_sent_again(count: int | None, sent: int) -> None:
    file = io.BytesIO(SMALL)
    with unix_pair() as (left, right), Hesitant(left.family, left.type, fileno=left.detach()) as sock:
        assert sock.sendfile(file, 0, count) == sent
        assert drain(right) == SMALL[:sent]
        assert file.tell() == sent
        assert sock.turn == 2 * -(-sent // 3)


def test_after_a_send_that_fails_halfway_the_file_shows_how_far_it_came() -> None:
    class Breaking(Hesitant):
        def send(self, data: Any, flags: int = 0) -> int:
            if self.turn == 4:
                raise BrokenPipeError(errno.EPIPE, "broken pipe")
            return super().send(data, flags)

    file = io.BytesIO(SMALL)
    with unix_pair() as (left, _), Breaking(left.family, left.type, fileno=left.detach()) as sock:
        with pytest.raises(BrokenPipeError):
            sock.sendfile(file, 2)
    assert file.tell() == 8


def test_send_leaves_the_position_alone_when_nothing_was_sent() -> None:
    file = io.BytesIO(SMALL)
    file.seek(10)
    assert _received(lambda sock: sock.sendfile(file)) == (0, b"")
    assert file.tell() == 10


def test_a_receiver_that_is_too_slow_is_a_timeout_and_the_position_is_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "larger than all buffers"
    path.touch()
    os.truncate(path, 8 << 20)
    with open(path, "rb") as file, unix_pair() as (left, right):
        left.settimeout(SHORT_S)
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            left.sendfile(file)
        assert 0 < file.tell() < 8 << 20
        assert len(drain(right)) == file.tell()


def test_a_file_in_memory_times_out_too() -> None:
    with unix_pair() as (left, _):
        fill(left)
        left.settimeout(0.001)
        with pytest.raises(TimeoutError, match="timed out"):
            left.sendfile(io.BytesIO(SMALL))


def test_a_receiver_that_only_listens_is_no_reason_to_time_out(small: Any) -> None:
    def silent() -> Peer:
        yield Silence()

    with connected(silent()) as client:
        assert client.sendfile(small) == 10


@pytest.mark.parametrize("kind", ["regular", "in memory"])
def test_a_non_blocking_socket_is_refused(small: Any, kind: str) -> None:
    file = small if kind == "regular" else io.BytesIO(SMALL)
    with unix_pair() as (left, right):
        left.setblocking(False)
        with pytest.raises(ValueError, match=r"^non-blocking sockets are not supported$"):
            left.sendfile(file)
        left.close()
        assert right.recv(100) == b""


def test_a_datagram_socket_is_refused(small: Any) -> None:
    with datagram_pair() as (left, right):
        left.connect(right.getsockname())
        for file in (small, io.BytesIO(SMALL)):
            with pytest.raises(ValueError, match=r"^only SOCK_STREAM type sockets are supported$"):
                left.sendfile(file)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(SMALL)
    with open(tmp_path / "text", encoding="ascii") as file, unix_pair() as (left, _):
        with pytest.raises(ValueError, match=r"^file should be opened in binary mode$"):
            left.sendfile(file)  # type: ignore[arg-type]


def test_a_file_without_a_mode_is_taken_for_binary() -> None:
    assert not hasattr(io.BytesIO(), "mode")
    assert _received(lambda sock: sock.sendfile(io.BytesIO(SMALL))) == (10, SMALL)


@pytest.mark.parametrize(
    ("count", "error"),
    [
        pytest.param(0, ValueError, id="zero"),
        pytest.param(-1, ValueError, id="negative"),
        pytest.param("10", TypeError, id="text"),
        pytest.param(2.5, TypeError, id="fraction"),
        pytest.param(b"1", TypeError, id="bytes"),
    ],
)
@pytest.mark.parametrize("kind", ["regular", "in memory"])
def test_a_count_is_a_positive_integer(small: Any, kind: str, count: Any, error: type[Exception]) -> None:
    file = small if kind == "regular" else io.BytesIO(SMALL)
    with unix_pair() as (left, right):
        with pytest.raises(error) as caught:
            left.sendfile(file, count=count)
        assert str(caught.value) == f"count must be a positive integer (got {count!r})"
        left.close()
        assert right.recv(100) == b""


@settings(max_examples=25)
@given(offset=st.integers(0, 60), count=st.none() | st.integers(1, 60), by_kernel=st.booleans())
def test_any_offset_and_count_send_that_part(offset: int, count: int | None, by_kernel: bool) -> None:
    data = bytes(range(50))
    with contextlib.ExitStack() as cleanup:
        file: Any = io.BytesIO(data)
        if by_kernel and hasattr(os, "memfd_create"):
            file = cleanup.enter_context(open(os.memfd_create("part"), "r+b"))
            file.write(data)
            file.seek(0)
        left, right = cleanup.enter_context(unix_pair())
        expected = data[offset:] if count is None else data[offset : offset + count]
        assert left.sendfile(file, offset, count) == len(expected)
        left.close()
        assert right.recv(100) == expected
