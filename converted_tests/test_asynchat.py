"""asynchat cuts what a connection brings at a terminator and sends what was queued, in order, as the socket takes it.

The promise is in the library reference of Python 3.11, "asynchat".
"""

from __future__ import annotations

import asynchat
import errno
import re
import runpy
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, InMemory, Peer, Say, Take, TakeAll, listening, transcript
from converted_tests.strategies import pieces_of
from converted_tests.test_asyncore.loops import Channels, Listener, StubSocket, channel_map, needs_poll, run_until
from netsupport import HOSTv4

library: Any = asynchat

Terminator = bytes | int | None


class Chat(asynchat.async_chat):
    """A channel whose `messages` are what came before each terminator; `collected` is what came since."""

    incoming: list[bytes]
    ac_in_buffer: bytes
    producer_fifo: deque[Any]
    socket: Any
    use_encoding: Any
    encoding: str

    def __init__(
        self, sock: socket.socket | None = None, map: Channels | None = None, terminator: Terminator = b"\n"
    ) -> None:
        super().__init__(sock, map)
        self.collected: list[bytes] = []
        self.messages: list[bytes] = []
        self.set_terminator(terminator)

    def handle_connect(self) -> None:
        """Nothing to do."""

    def collect_incoming_data(self, data: bytes) -> None:
        assert data, "an empty piece is never handed over"
        self.collected.append(data)

    def found_terminator(self) -> None:
        self.messages.append(b"".join(self.collected))
        self.collected.clear()

    def handle_error(self) -> None:
        raise


def chat_over(sock: Any, terminator: Terminator = b"\n") -> Chat:
    """A connected channel over *sock*, outside any map."""
    chat = Chat(map={}, terminator=terminator)
    chat.socket = sock
    chat.connected = True
    return chat


def chat_after(pieces: Iterable[bytes], terminator: Terminator) -> Chat:
    """A channel that has read these *pieces*, one at a time."""
    cut = list(pieces)
    chat = chat_over(InMemory(cut), terminator)
    for _ in cut:
        chat.handle_read()
    return chat


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


waiting = pytest.mark.parametrize(
    "use_poll", [pytest.param(False, id="select"), pytest.param(True, id="poll", marks=needs_poll)]
)
chunk_sizes = pytest.mark.parametrize("size", [1, 2, 3])
terminators = pytest.mark.parametrize(
    "terminator",
    [
        pytest.param(b"\n", id="one byte"),
        pytest.param(b"\r\n", id="two bytes"),
        pytest.param(b"qqq", id="three bytes"),
    ],
)


def echo(size: int, in_chunks_of: int) -> Peer:
    """Takes *size* bytes and says them again in pieces."""
    heard = yield Take(b"", size)
    for chunk in chunks(heard, in_chunks_of):
        yield Say(chunk)


def dial(server: Iterable[str | int], channels: Channels, terminator: Terminator = b"\n") -> Chat:
    chat = Chat(map=channels, terminator=terminator)
    chat.create_socket()
    chat.connect(tuple(server))
    return chat


@waiting
@chunk_sizes
@terminators
def test_lines_that_a_server_echoes_in_pieces_are_found_whole(terminator: bytes, size: int, use_poll: bool) -> None:
    said = b"hello" + terminator + terminator + b"are you there?" + terminator + b"rest"
    with listening(echo(len(said), size)) as server, channel_map() as channels:
        chat = dial(server, channels, terminator)
        chat.push(said)
        run_until(lambda: not channels, channels, use_poll)
    assert (chat.messages, b"".join(chat.collected)) == ([b"hello", b"", b"are you there?"], b"rest")


@chunk_sizes
@terminators
def test_a_terminator_is_found_however_it_is_split(terminator: bytes, size: int) -> None:
    data = b"hello" + terminator + b"world" + terminator
    chat = chat_after(chunks(data, size), terminator)
    assert (chat.messages, chat.collected, chat.ac_in_buffer) == ([b"hello", b"world"], [], b"")


@waiting
@pytest.mark.parametrize(("terminator", "message"), [(1, b"h"), (6, b"hello ")])
def test_an_integer_terminator_collects_exactly_that_many_bytes(
    terminator: int, message: bytes, use_poll: bool
) -> None:
    with listening(echo(11, 11)) as server, channel_map() as channels:
        chat = dial(server, channels, terminator)
        chat.push(b"hello world")
        run_until(lambda: not channels, channels, use_poll)
    # A terminator by count is used up: what follows has none.
    assert (chat.messages, b"".join(chat.collected)) == ([message], b"hello world"[terminator:])
    assert chat.get_terminator() == 0


@waiting
def test_without_a_terminator_everything_is_collected_and_nothing_found(use_poll: bool) -> None:
    with listening(echo(12, 5)) as server, channel_map() as channels:
        chat = dial(server, channels, None)
        chat.push(b"hello\nworld\n")
        run_until(lambda: not channels, channels, use_poll)
    assert (chat.messages, b"".join(chat.collected)) == ([], b"hello\nworld\n")


@waiting
def test_an_empty_line_is_an_empty_message(use_poll: bool) -> None:
    with listening(echo(4, 4)) as server, channel_map() as channels:
        chat = dial(server, channels)
        chat.push(b"\n\na\n")
        run_until(lambda: not channels, channels, use_poll)
    assert chat.messages == [b"", b"", b"a"]


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
def test_close_when_done_closes_after_the_last_queued_byte_and_hears_no_answer(use_poll: bool) -> None:
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


class Sized(Chat):
    """A client of a protocol in which a line tells the length of the message behind it."""

    def found_terminator(self) -> None:
        super().found_terminator()
        if self.get_terminator() == 0:
            self.set_terminator(b"\r\n")
            self.push(b"OK\r\n")
        else:
            self.set_terminator(int(self.messages[-1]))


def test_found_terminator_may_change_the_terminator_for_what_is_read_already() -> None:
    script = transcript("""
        S: 5
        S: hello14
        S: how are you?
        C: OK
        C: OK
    """)
    with listening(script) as server, channel_map() as channels:
        chat = Sized(map=channels, terminator=b"\r\n")
        chat.create_socket()
        chat.connect(tuple(server))
        run_until(lambda: not channels, channels)
    assert chat.messages == [b"5", b"hello", b"14", b"how are you?\r\n"]


class Shouting(Chat):
    """A server that says each line again in capitals and hangs up after an empty one."""

    def found_terminator(self) -> None:
        super().found_terminator()
        self.push(self.messages[-1].upper() + b"\n")
        if not self.messages[-1]:
            self.close_when_done()


class Shouters(Listener):
    def handle_accepted(self, sock: socket.socket, address: Any) -> None:
        super().handle_accepted(sock, address)
        Shouting(sock, self._channels)


@waiting
def test_a_channel_serves_a_client_until_it_closes_by_itself(use_poll: bool) -> None:
    with channel_map() as channels:
        door = Shouters(socket.AF_INET, (HOSTv4, 0), channels)
        with (
            socket.create_connection(door.socket.getsockname(), TIMEOUT_S) as client,
            client.makefile("rb") as answer,
        ):
            client.sendall(b"hello\nworld\n\nunheard")
            run_until(lambda: door.accepted and set(channels.values()) == {door}, channels, use_poll)
            door.close()
            assert answer.read(15) == b"HELLO\nWORLD\n\n"


@given(st.data(), st.text("ab", min_size=1, max_size=4), st.text("ab", max_size=40))
def test_any_text_is_split_at_its_terminators_however_it_arrives(data: st.DataObject, needle: str, text: str) -> None:
    terminator, stream = needle.encode(), text.encode()
    chat = chat_after(data.draw(pieces_of(stream)), terminator)
    *messages, rest = stream.split(terminator)
    assert (chat.messages, b"".join(chat.collected) + chat.ac_in_buffer) == (messages, rest)


@given(st.data(), st.integers(1, 20), st.binary(max_size=30))
def test_any_number_of_bytes_is_counted_however_they_arrive(data: st.DataObject, count: int, stream: bytes) -> None:
    chat = chat_after(data.draw(pieces_of(stream)), count)
    enough = len(stream) >= count
    assert chat.messages == ([stream[:count]] if enough else [])
    assert b"".join(chat.collected) == (stream[count:] if enough else stream)
    assert chat.get_terminator() == (0 if enough else count - len(stream))


def test_an_integer_terminator_counts_down_over_several_reads() -> None:
    chat = chat_over(InMemory([b"ab", b"cde", b"fgh"]), 6)
    left = []
    for _ in range(3):
        chat.handle_read()
        left.append(chat.get_terminator())
    assert (left, chat.messages, chat.collected) == ([4, 1, 0], [b"abcdef"], [b"gh"])


def test_what_may_begin_a_terminator_is_held_back_and_the_rest_collected() -> None:
    chat = chat_over(InMemory([b"abc\r", b"\n", b"\r", b"x"]), b"\r\n")
    states = []
    for _ in range(4):
        chat.handle_read()
        states.append((chat.messages[:], chat.collected[:], chat.ac_in_buffer))
    assert states == [
        ([], [b"abc"], b"\r"),
        ([b"abc"], [], b""),
        ([b"abc"], [], b"\r"),
        ([b"abc"], [b"\rx"], b""),
    ]


@pytest.mark.parametrize(
    ("haystack", "needle", "length"),
    [
        pytest.param("qwerty\r", "\r\n", 1, id="the first of two"),
        pytest.param("qwertydkjf", "\r\n", 0, id="nothing"),
        pytest.param(b"text ab", b"abc", 2, id="two of three"),
        pytest.param(b"text aba", b"abac", 3, id="the longest counts"),
        pytest.param(b"a", b"aaa", 1, id="all of a short text"),
        pytest.param(b"", b"abc", 0, id="empty text"),
        pytest.param(b"text a", b"a", 0, id="one byte has no shorter beginning"),
    ],
)
def test_find_prefix_at_end_tells_how_much_of_a_terminator_ends_the_text(
    haystack: str | bytes, needle: str | bytes, length: int
) -> None:
    assert library.find_prefix_at_end(haystack, needle) == length


@given(st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=5))
def test_find_prefix_at_end_finds_the_longest_proper_prefix(haystack: str, needle: str) -> None:
    lengths = [length for length in range(len(needle)) if haystack.endswith(needle[:length])]
    assert library.find_prefix_at_end(haystack, needle) == lengths[-1]


def test_a_fresh_channel_has_empty_buffers_and_takes_socket_and_map() -> None:
    left, right = socket.socketpair()
    with right, channel_map() as channels:
        chat: Any = Chat(left, channels)
        assert (chat.ac_in_buffer, chat.incoming, chat.producer_fifo) == (b"", [], deque())
        assert (channels, chat.connected) == ({left.fileno(): chat}, True)


def test_the_base_class_leaves_both_handlers_to_its_subclass() -> None:
    bare = library.async_chat(map={})
    with pytest.raises(NotImplementedError, match=r"^must be implemented in subclass$"):
        bare.collect_incoming_data(b"data")
    with pytest.raises(NotImplementedError, match=r"^must be implemented in subclass$"):
        bare.found_terminator()


def test_get_data_joins_what_was_collected_and_forgets_it() -> None:
    bare = library.async_chat(map={})
    bare._collect_incoming_data(b"hel")
    bare._collect_incoming_data(b"lo")
    assert [bare._get_data(), bare._get_data(), bare.incoming] == [b"hello", b"", []]


@pytest.mark.parametrize(
    ("use_encoding", "encoding", "given_terminator", "terminator"),
    [
        pytest.param(0, "latin-1", "é\n", "é\n", id="text stays text unless asked"),
        pytest.param(1, None, "é\n", b"\xe9\n", id="latin-1 by default"),
        pytest.param(1, "utf-8", "é\n", b"\xc3\xa9\n", id="another encoding"),
        pytest.param(1, None, b"\n", b"\n", id="bytes"),
        pytest.param(1, None, 5, 5, id="integer"),
        pytest.param(1, None, 0, 0, id="zero"),
        pytest.param(1, None, None, None, id="none"),
    ],
)
def test_a_terminator_is_encoded_if_it_is_text(
    use_encoding: int, encoding: str | None, given_terminator: Any, terminator: object
) -> None:
    chat = Chat(map={})
    chat.use_encoding = use_encoding
    if encoding:
        chat.encoding = encoding
    chat.set_terminator(given_terminator)
    assert chat.get_terminator() == terminator


def test_a_negative_terminator_is_refused() -> None:
    chat = Chat(map={}, terminator=5)
    with pytest.raises(ValueError, match=r"^the number of received bytes must be positive$"):
        chat.set_terminator(-1)
    assert chat.get_terminator() == 5


def test_reading_asks_for_64_kilobytes_even_when_text_is_encoded() -> None:
    chat = chat_over(StubSocket(recv=b"line\n"))
    chat.use_encoding = 1
    chat.handle_read()
    assert (chat.socket.calls, chat.messages) == ([("recv", 65536)], [b"line"])


class Faulty(Chat):
    """Keeps what its errors were."""

    def handle_error(self) -> None:
        self.messages.append(repr(sys.exc_info()[1]).encode())


def faulty_over(**answers: Any) -> Faulty:
    chat = Faulty(map={})
    chat.socket = StubSocket(**answers)
    chat.connected = True
    return chat


def test_nothing_to_read_yet_is_no_error() -> None:
    chat = faulty_over(recv=BlockingIOError(errno.EAGAIN, "later"))
    chat.handle_read()
    assert (chat.messages, chat.connected) == ([], True)


def test_an_error_while_reading_goes_to_handle_error() -> None:
    chat = faulty_over(recv=OSError(errno.EIO, "broken"))
    chat.handle_read()
    assert chat.messages == [b"OSError(5, 'broken')"]


def test_an_error_while_sending_goes_to_handle_error_and_keeps_the_data() -> None:
    chat = faulty_over(send=OSError(errno.EIO, "broken"))
    chat.push(b"data")
    assert (chat.messages, chat.producer_fifo) == ([b"OSError(5, 'broken')"], deque([b"data"]))


def test_the_end_of_file_closes_the_channel() -> None:
    chat = chat_over(InMemory())
    chat.handle_read()
    assert (chat.connected, chat.socket.closed, chat.messages) == (False, True, [])


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


def test_a_channel_is_always_readable_however_much_it_holds() -> None:
    chat = chat_over(InMemory())
    chat.ac_in_buffer_size = 1
    chat.ac_in_buffer = b"ab"
    assert chat.readable() == 1


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


def test_discard_buffers_forgets_both_directions() -> None:
    chat = chat_over(InMemory())
    chat.ac_in_buffer = b"in"
    chat._collect_incoming_data(b"collected")  # type: ignore[attr-defined]
    chat.producer_fifo.append(b"out")
    chat.discard_buffers()
    assert (chat.ac_in_buffer, chat.incoming, chat.producer_fifo) == (b"", [], deque())


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


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the back-port of asynchat does not call itself deprecated")
def test_importing_the_module_tells_what_to_use_instead() -> None:
    advice = (
        "The asynchat module is deprecated and will be removed in Python 3.12. The recommended replacement is asyncio"
    )
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(advice)}$"):
        runpy.run_path(asynchat.__file__, run_name="asynchat")
