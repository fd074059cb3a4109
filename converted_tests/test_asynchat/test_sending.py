"""asynchat queues bytes and producers that are pushed, and sends them in order, as fast as the socket takes them.

The promise is in the library reference of Python 3.11, "asynchat".
"""

from __future__ import annotations

import asynchat
import errno
import socket
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import InMemory, Peer, Say, TakeAll, listening
from converted_tests.test_asynchat.support import Chat, chat_over, dial, echo, faulty_over, waiting
from converted_tests.test_asyncore.support import SlowSocket, StubSocket, channel_map, run_until

library: Any = asynchat


@waiting
def test_a_producer_is_sent_to_its_end_in_small_pieces(use_poll: bool) -> None:
    said = b"hello world, I am not done yet!\n"
    with listening(echo(len(said), 64)) as server, channel_map() as channels:
        chat = dial(server, channels)
        chat.push_with_producer(asynchat.simple_producer(said, buffer_size=8))
        run_until(lambda: not channels, channels, use_poll)
    assert chat.messages == [b"hello world, I am not done yet!"]


@waiting
def test_bytes_can_be_pushed_as_a_producer(use_poll: bool) -> None:
    with listening(echo(6, 6)) as server, channel_map() as channels:
        chat = dial(server, channels)
        library.async_chat.push_with_producer(chat, b"hello\n")
        run_until(lambda: not channels, channels, use_poll)
    assert chat.messages == [b"hello"]


@waiting
def test_close_when_done_closes_after_the_last_queued_byte_and_reads_no_answer(use_poll: bool) -> None:
    said = bytes(range(256)) * 1000
    heard: list[bytes] = []

    def answers_at_the_end() -> Peer:
        heard.append((yield TakeAll()))
        yield Say(b"too late\n")

    with listening(answers_at_the_end()) as server, channel_map() as channels:
        chat = dial(server, channels)
        chat.push(said)
        chat.close_when_done()
        run_until(lambda: not channels, channels, use_poll)
    assert (heard, chat.messages, chat.collected) == ([said], [], [])


def test_an_error_while_sending_goes_to_handle_error_and_keeps_the_data() -> None:
    chat = faulty_over(send=OSError(errno.EIO, "broken"))
    chat.push(b"data")
    assert (chat.messages, chat.producer_fifo) == ([b"OSError(5, 'broken')"], deque([b"data"]))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_push_sends_anything_made_of_bytes(kind: type[Any]) -> None:
    chat = chat_over(InMemory())
    chat.push(kind(b"data"))
    assert (chat.socket.sent, chat.producer_fifo) == (b"data", deque())


@pytest.mark.parametrize("data", ["data", 5, None, [b"data"]], ids=repr)
def test_push_refuses_anything_else(data: Any) -> None:
    chat = chat_over(InMemory())
    with pytest.raises(TypeError) as caught:
        chat.push(data)
    assert caught.value.args == ("data argument must be byte-ish (%r)", type(data))
    assert chat.producer_fifo == deque()


def test_an_unconnected_channel_keeps_what_is_pushed() -> None:
    chat = Chat(map={})
    chat.push(b"hello ")
    chat.push(b"world")
    assert chat.producer_fifo == deque([b"hello ", b"world"])


def test_a_large_push_is_queued_in_pieces_of_the_output_buffers_size() -> None:
    chat = Chat(map={})
    chat.ac_out_buffer_size = 4
    chat.push(b"abcd")
    chat.push(b"efghijklm")
    assert chat.producer_fifo == deque([b"abcd", b"efgh", b"ijkl", b"m"])


def test_the_output_buffers_size_is_64_kilobytes() -> None:
    chat = Chat(map={})
    chat.push(b"a" * 65537)
    assert [len(piece) for piece in chat.producer_fifo] == [65536, 1]


def test_a_send_takes_at_most_the_output_buffers_size_and_keeps_the_rest() -> None:
    chat = chat_over(InMemory())
    chat.ac_out_buffer_size = 4
    library.async_chat.push_with_producer(chat, b"abcdefghi")
    assert (chat.socket.sent, chat.producer_fifo) == (b"abcd", deque([b"efghi"]))
    chat.handle_write()
    chat.handle_write()
    assert (chat.socket.sent, chat.producer_fifo) == (b"abcdefghi", deque())


def test_a_partial_send_keeps_the_rest_at_the_head_of_the_queue() -> None:
    chat = chat_over(StubSocket(send=3))
    chat.push(b"abcde")
    chat.push(b"fgh")
    chat.push(b"ijk")
    assert chat.producer_fifo == deque([b"ijk"])
    assert chat.socket.calls == [("send", b"abcde"), ("send", b"de"), ("send", b"fgh")]


def test_a_send_into_a_full_buffer_keeps_the_queue() -> None:
    chat = chat_over(StubSocket(send=OSError(errno.EWOULDBLOCK, "full")))
    chat.push(b"data")
    assert (chat.producer_fifo, chat.connected) == (deque([b"data"]), True)


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.booleans()), max_size=8),
    st.lists(st.integers(0, 9), max_size=20),
    st.integers(1, 8),
)
def test_everything_arrives_in_order_however_little_the_socket_takes(
    pieces: list[tuple[bytes, bool]], sizes: list[int], buffer_size: int
) -> None:
    chat = chat_over(SlowSocket(sizes))
    chat.ac_out_buffer_size = buffer_size
    for piece, by_producer in pieces:
        if by_producer:
            chat.push_with_producer(asynchat.simple_producer(piece, 3))
        else:
            chat.push(piece)
    # Each round sends something, or uses up one of the sizes, or drops an empty piece.
    for _ in range(sum(len(piece) + 1 for piece, _ in pieces) + len(sizes)):
        chat.handle_write()
    assert (chat.socket.sent, chat.producer_fifo) == (b"".join(piece for piece, _ in pieces), deque())


def test_one_round_sends_one_piece() -> None:
    chat = chat_over(InMemory())
    chat.producer_fifo.extend([b"one", b"two"])
    chat.initiate_send()
    assert (chat.socket.sent, chat.producer_fifo) == (b"one", deque([b"two"]))


def test_an_empty_push_leaves_the_queue_at_once() -> None:
    chat = chat_over(InMemory())
    chat.push(b"")
    assert (chat.producer_fifo, chat.socket.sent) == (deque(), b"")


def test_a_producer_stays_behind_its_data_until_it_has_no_more() -> None:
    producer = asynchat.simple_producer(b"abcde", 3)
    chat = chat_over(StubSocket(send=2))
    chat.push_with_producer(producer)
    assert chat.producer_fifo == deque([b"c", producer])
    chat.socket = InMemory()
    for _ in range(3):
        chat.handle_write()
    assert (chat.socket.sent, chat.producer_fifo) == (b"cde", deque())


def test_a_producer_without_data_makes_way_for_what_is_behind_it() -> None:
    chat = chat_over(InMemory())
    chat.producer_fifo.extend([asynchat.simple_producer(b""), b"next"])
    chat.initiate_send()
    assert (chat.socket.sent, chat.producer_fifo) == (b"next", deque())


class TextProducer:
    """Gives text, as only a channel that encodes can send."""

    def __init__(self) -> None:
        self.pieces = ["", "é!"]

    def more(self) -> str:
        return self.pieces.pop()


@pytest.mark.parametrize(("encoding", "sent"), [(None, b"\xe9!"), ("cp437", b"\x82!")], ids=["latin-1", "cp437"])
def test_text_of_a_producer_is_encoded_when_asked(encoding: str | None, sent: bytes) -> None:
    chat = chat_over(InMemory())
    chat.use_encoding = 1
    if encoding:
        chat.encoding = encoding
    chat.push_with_producer(TextProducer())  # type: ignore[arg-type]
    chat.handle_write()
    assert (chat.socket.sent, chat.producer_fifo) == (sent, deque())


def test_text_of_a_producer_is_refused_by_the_socket_otherwise() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(TypeError, match="a bytes-like object is required"):
        chat_over(left).push_with_producer(TextProducer())  # type: ignore[arg-type]


def test_close_when_done_closes_only_behind_what_is_queued() -> None:
    chat = chat_over(StubSocket(send=4, close=None))
    chat.producer_fifo.append(b"data")
    chat.close_when_done()
    assert (chat.socket.calls, chat.producer_fifo) == ([], deque([b"data", None]))
    chat.handle_write()
    assert chat.connected
    chat.handle_write()
    assert (chat.socket.calls, chat.producer_fifo) == ([("send", b"data"), ("close",)], deque())


@pytest.mark.parametrize(
    ("connected", "queue", "writable"),
    [
        pytest.param(True, [], False, id="connected, nothing to send"),
        pytest.param(True, [b"data"], True, id="connected, something to send"),
        pytest.param(False, [], True, id="not connected"),
        pytest.param(False, [b"data"], True, id="not connected, something to send"),
    ],
)
def test_a_channel_is_writable_when_it_has_to_send_or_to_connect(
    connected: bool, queue: list[bytes], writable: bool
) -> None:
    chat = chat_over(InMemory())
    chat.connected = connected
    chat.producer_fifo.extend(queue)
    assert bool(chat.writable()) == writable


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        pytest.param((b"a" * 513,), [b"a" * 512, b"a", b"", b""], id="512 bytes by default"),
        pytest.param((b"abcdef", 3), [b"abc", b"def", b"", b""], id="no remainder"),
        pytest.param((b"abcd", 3), [b"abc", b"d", b"", b""], id="a remainder"),
        pytest.param((b"abc", 3), [b"abc", b"", b"", b""], id="one piece"),
    ],
)
def test_a_simple_producer_gives_its_data_in_pieces_then_nothing(
    arguments: tuple[Any, ...], pieces: list[bytes]
) -> None:
    producer = asynchat.simple_producer(*arguments)
    assert [producer.more() for _ in pieces] == pieces
