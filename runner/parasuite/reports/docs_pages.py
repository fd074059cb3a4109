"""The pages about causes and effects, which are part of the program.

They are docs/findings/*.md in a checkout, and lie in the package where parasuite was installed from a wheel.
"""

from __future__ import annotations

from pathlib import Path

from parasuite.model.causes import Cause, EffectKind

_PACKAGE = Path(__file__).parents[1]
_IN_WHEEL = _PACKAGE / "pages"
_IN_CHECKOUT = _PACKAGE.parents[1] / "docs" / "findings"


def page_text(word: Cause | EffectKind) -> str:
    """The page about *word*, in Markdown."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return (folder / f"{word}.md").read_text("utf-8")
