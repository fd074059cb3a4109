"""asynchat cuts what a connection brings at a terminator: bytes, a number of bytes, or none.

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
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, InMemory, listening, transcript
from converted_tests.strategies import pieces_of
from converted_tests.test_asynchat.support import (
    Chat,
    chat_after,
    chat_over,
    chunks,
    dial,
    echo,
    faulty_over,
    waiting,
)
from converted_tests.test_asyncore.support import Listener, StubSocket, channel_map, run_until
from netsupport import HOSTv4

library: Any = asynchat

chunk_sizes = pytest.mark.parametrize("size", [1, 2, 3])

terminators = pytest.mark.parametrize(
    "terminator",
    [
        pytest.param(b"\n", id="one byte"),
        pytest.param(b"\r\n", id="two bytes"),
        pytest.param(b"qqq", id="three bytes"),
    ],
)


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


class Sized(Chat):
    """A client of a protocol in which a line gives the length of the message that follows it."""

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
    """A server that sends each line back in capitals and hangs up after an empty one."""

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
        listener = Shouters(socket.AF_INET, (HOSTv4, 0), channels)
        with (
            socket.create_connection(listener.socket.getsockname(), TIMEOUT_S) as client,
            client.makefile("rb") as answer,
        ):
            client.sendall(b"hello\nworld\n\nunheard")
            run_until(lambda: listener.accepted and set(channels.values()) == {listener}, channels, use_poll)
            listener.close()
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
def test_find_prefix_at_end_returns_how_much_of_a_terminator_ends_the_text(
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


def test_nothing_to_read_yet_is_no_error() -> None:
    chat = faulty_over(recv=BlockingIOError(errno.EAGAIN, "later"))
    chat.handle_read()
    assert (chat.messages, chat.connected) == ([], True)


def test_an_error_while_reading_goes_to_handle_error() -> None:
    chat = faulty_over(recv=OSError(errno.EIO, "broken"))
    chat.handle_read()
    assert chat.messages == [b"OSError(5, 'broken')"]


def test_the_end_of_file_closes_the_channel() -> None:
    chat = chat_over(InMemory())
    chat.handle_read()
    assert (chat.connected, chat.socket.closed, chat.messages) == (False, True, [])


def test_a_channel_is_always_readable_however_much_it_holds() -> None:
    chat = chat_over(InMemory())
    chat.ac_in_buffer_size = 1
    chat.ac_in_buffer = b"ab"
    assert chat.readable() == 1


def test_discard_buffers_forgets_both_directions() -> None:
    chat = chat_over(InMemory())
    chat.ac_in_buffer = b"in"
    chat._collect_incoming_data(b"collected")  # type: ignore[attr-defined]
    chat.producer_fifo.append(b"out")
    chat.discard_buffers()
    assert (chat.ac_in_buffer, chat.incoming, chat.producer_fifo) == (b"", [], deque())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the back-port of asynchat does not call itself deprecated")
def test_importing_the_module_warns_and_names_the_replacement() -> None:
    advice = (
        "The asynchat module is deprecated and will be removed in Python 3.12. The recommended replacement is asyncio"
    )
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(advice)}$"):
        runpy.run_path(asynchat.__file__, run_name="asynchat")
