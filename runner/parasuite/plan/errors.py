"""What is wrong with the way parasuite was called or configured."""

from __future__ import annotations

import difflib
from collections.abc import Mapping


class ConfigError(Exception):
    """A setting or target that cannot be used. The message is one line: which one, why, and what to do about it."""


def must_be(label: str, what: str, value: object) -> ConfigError:
    """The error for a *value* that is not *what* it has to be. *label*: of the setting, where it was set."""
    return ConfigError(f"{label} must be {what}, not {value!r:.80}")


def did_you_mean(word: str, meanings: Mapping[str, str]) -> str:
    """`; did you mean timeout?`, to complete a message about an unknown *word*; the known ones if none is like it.

    *meanings*: the known words, each with what to write.
    """
    close = difflib.get_close_matches(word, meanings, n=1)
    if close:
        return f"; did you mean {meanings[close[0]]}?"
    return f" (known: {', '.join(sorted(set(meanings.values())))})"
