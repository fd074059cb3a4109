"""The pages about causes and effects, as lines for a terminal.

They are docs/findings/*.md in a checkout, and lie in the package where parasuite was installed from a wheel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from parasuite.model.causes import Cause, EffectKind
from parasuite.plan.errors import ConfigError, did_you_mean

_PACKAGE = Path(__file__).parent
_IN_WHEEL = _PACKAGE / "pages"
_IN_CHECKOUT = _PACKAGE.parents[1] / "docs" / "findings"
_WORDS = (*Cause, *EffectKind)
_WIDTH = max(map(len, _WORDS))
UNKNOWN_WORD = "no cause or effect is called {word}{suggestion}; `parasuite explain` lists them"


def page_lines(word: str) -> Iterator[str]:
    """The page about the cause or the effect *word*. Raises ConfigError for any other word."""
    if word not in set(_WORDS):
        suggestion = did_you_mean(word.lower(), {each: each for each in _WORDS})
        raise ConfigError(UNKNOWN_WORD.format(word=repr(word), suggestion=suggestion))
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    yield from (folder / f"{word}.md").read_text("utf-8").splitlines()


def overview() -> Iterator[str]:
    """All causes and effects, a line each."""
    yield "causes: what to fix (severity as long as nothing has happened)"
    for cause in Cause:
        yield _row(cause, cause.info.severity, cause.info.title)
    yield "effects: what happened because of a cause"
    for kind in EffectKind:
        yield _row(kind, kind.info.severity, kind.info.title)
    yield "more about one: parasuite explain WORD"


def _row(word: str, severity: str, title: str) -> str:
    return f"  {word:<{_WIDTH}}  {severity:<7}  {title}"


def words_starting_with(_context: click.Context, _parameter: click.Parameter, beginning: str) -> list[str]:
    """What a shell proposes."""
    return [str(word) for word in _WORDS if word.startswith(beginning)]
