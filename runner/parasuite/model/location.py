"""A place in source code, as sensors write it down and findings show it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

FRAMES_MAX = 5
"""How many frames of a call's stack are kept."""

_TEXT = re.compile(r"(.*):([1-9][0-9]{0,8}):([^:]*)", re.DOTALL)


class Location(NamedTuple):
    """A line of a file, in a function. *line* is 0 and *function* "" where a sensor's text was not of that form."""

    file: str
    line: int
    function: str

    @classmethod
    def parse(cls, text: str) -> Location | None:
        """The place that "file:line:function" names; None for "". Any other text is a file with no line."""
        return _parse(text) if text else None

    @property
    def place(self) -> str:
        """File and function: what stays equal when lines are added above."""
        return f"{self.file}:{self.function}"

    @property
    def position(self) -> str:
        """`tests/conftest.py:12`, as compilers write it; the file alone where no line is known."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def described(self) -> str:
        """`tests/conftest.py:12 start`, for people; the file alone where no line is known."""
        return f"{self.position} {self.function}".rstrip() if self.line else self.file

    @property
    def is_installed(self) -> bool:
        """Whether the file belongs to an installed Python package."""
        return "/site-packages/" in self.file or "/dist-packages/" in self.file

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.function}" if self.line else self.file


@lru_cache(maxsize=4096)
def _parse(text: str) -> Location:
    match = _TEXT.fullmatch(text)
    return Location(match[1], int(match[2]), match[3]) if match else Location(text, 0, "")
