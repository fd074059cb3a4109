"""The command of a server: words, or a function that is given the port, writes it where the server reads it (a
configuration file), and returns the words.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

Words: TypeAlias = Sequence[str | os.PathLike[str]]
Command: TypeAlias = Words | Callable[[int], Words]

_EXAMPLE = 'such as ["nginx", "-c", path]'


def words_for_port(command: Command) -> Callable[[int], tuple[str, ...]]:
    """A function of the port that returns the words of *command*: the same at each call, unless that is a function.

    Raises TypeError if *command* is neither a sequence of text and paths nor a function, ValueError if it is empty.
    The returned function raises them for what *command* returns, and whatever *command* itself raises.
    """
    if callable(command):
        returned_by = f"{getattr(command, '__qualname__', command)}() returned"
        return lambda port: _checked(command(port), returned_by)
    words = _checked(command, "command is")
    return lambda _port: words


def _checked(value: object, what_is: str) -> tuple[str, ...]:
    """*value* as words. *what_is*: the beginning of an error about it, a subject and its verb."""
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable):
        shown = "None" if value is None else f"{value!r:.80} ({type(value).__name__})"
        raise TypeError(f"{what_is} {shown}; it must be a list of the program and its arguments, {_EXAMPLE}")
    words = tuple(value)
    if not words:
        raise ValueError(f"{what_is} an empty list; it must be the program and its arguments, {_EXAMPLE}")
    return tuple(_checked_word(word, what_is, words) for word in words)


def _checked_word(word: object, what_is: str, words: tuple[object, ...]) -> str:
    text = os.fspath(word) if isinstance(word, os.PathLike) else word
    if not isinstance(text, str):
        raise TypeError(
            f"{what_is} {list(words)!r:.200}; its words must be text or paths: write {word!r:.80} "
            f"({type(word).__name__}) as text"
        )
    return text
