"""A MemoryBIO is a queue of bytes that ends when its writer says so.

Source: BIO_s_mem(3), the ssl module's documentation of MemoryBIO.
"""

from __future__ import annotations

import array
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


def holding(data: bytes) -> ssl.MemoryBIO:
    bio = ssl.MemoryBIO()
    bio.write(data)
    return bio


def test_what_is_written_is_read_once() -> None:
    bio = holding(b"foo")
    assert bio.read() == b"foo"
    assert bio.read() == b""


def test_writing_returns_how_much_was_taken() -> None:
    bio = ssl.MemoryBIO()
    assert (bio.write(b"foo"), bio.write(b""), bio.write(b"barbaz")) == (3, 0, 6)
    assert bio.read() == b"foobarbaz"


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        pytest.param([2, 2], [b"fo", b"o"], id="some and the rest"),
        pytest.param([0, 3], [b"", b"foo"], id="nothing and all"),
        pytest.param([-1, 1], [b"foo", b""], id="all"),
        pytest.param([100], [b"foo"], id="more than there is"),
    ],
)
def test_reading_returns_at_most_the_given_size(sizes: list[int], pieces: list[bytes]) -> None:
    bio = holding(b"foo")
    assert [bio.read(size) for size in sizes] == pieces


def test_the_end_comes_after_the_last_byte() -> None:
    bio = ssl.MemoryBIO()
    assert not bio.eof
    bio.write(b"foo")
    bio.write_eof()
    assert not bio.eof
    assert bio.read(2) == b"fo"
    assert not bio.eof
    assert bio.read(1) == b"o"
    assert bio.eof
    assert bio.read() == b""
    assert bio.eof


def test_nothing_is_written_behind_the_end() -> None:
    bio = holding(b"foo")
    bio.write_eof()
    with pytest.raises(ssl.SSLError, match=r"cannot write\(\) after write_eof\(\)"):
        bio.write(b"bar")
    assert bio.read() == b"foo"


def test_an_empty_bio_is_not_at_its_end_by_itself() -> None:
    bio = holding(b"foo")
    bio.read()
    assert not bio.eof


def test_pending_counts_what_is_left() -> None:
    bio = ssl.MemoryBIO()
    assert bio.pending == 0
    bio.write(b"foo")
    assert bio.pending == 3
    bio.read(2)
    assert bio.pending == 1
    bio.read()
    assert bio.pending == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"foo", id="bytes"),
        pytest.param(bytearray(b"foo"), id="bytearray"),
        pytest.param(memoryview(b"foo"), id="memoryview"),
        pytest.param(array.array("b", b"foo"), id="array"),
    ],
)
def test_any_buffer_can_be_written(data: Any) -> None:
    bio = ssl.MemoryBIO()
    assert bio.write(data) == 3
    assert bio.read() == b"foo"


def test_a_buffer_with_gaps_cannot_be_written() -> None:
    bio = ssl.MemoryBIO()
    with pytest.raises(BufferError, match="contiguous"):
        bio.write(memoryview(b"noncontiguous")[::2])
    assert bio.pending == 0


@pytest.mark.parametrize("data", ["foo", None, True, 1], ids=["text", "none", "boolean", "number"])
def test_nothing_but_a_buffer_can_be_written(data: Any) -> None:
    bio = ssl.MemoryBIO()
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        bio.write(data)
    assert bio.pending == 0


@pytest.mark.parametrize("attribute", ["eof", "pending"])
def test_the_attributes_of_a_bio_cannot_be_set(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ssl.MemoryBIO(), attribute, 1)


@given(st.lists(st.one_of(st.binary(max_size=9), st.integers(0, 9))))
def test_a_bio_is_a_queue_of_bytes(steps: list[bytes | int]) -> None:
    bio, model = ssl.MemoryBIO(), b""
    for step in steps:
        if isinstance(step, bytes):
            assert bio.write(step) == len(step)
            model += step
        else:
            assert bio.read(step) == model[:step]
            model = model[step:]
        assert bio.pending == len(model)
