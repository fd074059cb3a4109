"""How the text of a setting becomes a value: click's parameter types that click itself does not have."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from parasuite.model.sensors import SensorName

LOCAL_CLUSTER = "local:"
"""What the address of a Dask cluster on this host begins with; the number of its workers follows."""
T = TypeVar("T")
WordT = TypeVar("WordT", bound=StrEnum)

if TYPE_CHECKING:
    from click import ParamType
else:
    # Generic only since click 8.4, and older ones will do.
    class ParamType(click.ParamType, Generic[T]):
        pass


class _Completed(ParamType[T]):
    """A type that a shell can complete."""

    @abstractmethod
    def completions(self, incomplete: str) -> Iterable[CompletionItem]:
        """What a shell proposes for the beginning of a value."""

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str, /
    ) -> list[CompletionItem]:
        return list(self.completions(incomplete))


class Seconds(ParamType[float]):
    """A finite number of seconds above 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            self.fail("not a number of seconds", param, ctx)
        return seconds


class Duration(ParamType[float]):
    """A time above 0 in seconds, written as a number of seconds or with units: `90`, `90s`, `30m`, `1h30m`."""

    name = "duration"
    _WRITTEN = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s?)?")
    _SECONDS = (3600, 60, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        written = self._WRITTEN.fullmatch(str(value))
        try:
            parts = written.groups() if written else ()
            total = sum(float(part) * unit for part, unit in zip(parts, self._SECONDS, strict=False) if part)
        except ValueError:
            total = 0.0
        if not 0 < total < math.inf:
            self.fail("not a time", param, ctx)
        return total


class Word(_Completed[WordT]):
    """One member of a closed set of words, spelt as it is. (click.Choice takes the names of an enum's members.)"""

    name = "word"

    def __init__(self, words: type[WordT]) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WordT:
        try:
            return self.words(value)
        except ValueError:
            self.fail("not one of the words", param, ctx)

    def completions(self, incomplete: str) -> Iterable[CompletionItem]:
        return _starting_with(incomplete, self.words)


class SensorList(_Completed[tuple[str, ...]]):
    """Names of sensors, separated by commas; ("auto",) for `auto`, () for `none`."""

    name = "sensors"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if value in ("auto", "none"):
            return ("auto",) if value == "auto" else ()
        parts = value.split(",") if isinstance(value, str) else map(str, value)
        names = tuple(stripped for part in parts if (stripped := part.strip()))
        if not names or any(name not in set(SensorName) for name in names):
            self.fail("not a list of sensors", param, ctx)
        return names

    def completions(self, incomplete: str) -> Iterable[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        words = SensorName if comma else ("auto", "none", *SensorName)
        return _starting_with(incomplete, (f"{before}{comma}{word}" for word in words if word.startswith(last)))


class PathText(_Completed[T]):
    """A path that need not exist, as *path_type*. *completes*: what a shell proposes, "dir" or "file"."""

    name = "path"

    def __init__(self, path_type: Callable[[str], T], completes: str) -> None:
        self.path_type, self.completes = path_type, completes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if not value or "\0" in value:
            self.fail("not a path", param, ctx)
        return self.path_type(value)

    def completions(self, incomplete: str) -> Iterable[CompletionItem]:
        return [CompletionItem(incomplete, type=self.completes)]


class ClusterAddress(ParamType[str]):
    """Where a Dask scheduler listens, or `local:N`."""

    name = "cluster"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        workers = value.removeprefix(LOCAL_CLUSTER) if value.startswith(LOCAL_CLUSTER) else None
        is_number = workers is not None and workers.isdecimal() and workers.isascii() and int(workers) > 0
        if workers is None:
            is_number = ":" in value and value.rpartition(":")[2].isdecimal()
        if not is_number:
            self.fail("not an address", param, ctx)
        return str(value)


class Pattern(ParamType[str]):
    """A pattern of file names."""

    name = "pattern"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value or "\0" in value:
            self.fail("not a pattern", param, ctx)
        return str(value)


def _starting_with(incomplete: str, words: Iterable[str]) -> Iterable[CompletionItem]:
    return (CompletionItem(str(word)) for word in words if word.startswith(incomplete))
