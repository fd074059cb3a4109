"""What to do about a cause, as HTML: the cures of its page in docs/findings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from parasuite.model.causes import Cause
from parasuite.reports.docs_pages import page_text

if TYPE_CHECKING:
    from markdown_it.token import Token

_HEADING = re.compile(r"^## ", re.MULTILINE)
_WANTED = ("Cures", "What to do", "When it is innocent")
_DEEPER = 2  # The headings of a finding are an h3, so that a section of its cure is an h4.


@cache
def cure(cause: Cause) -> Markup:
    """The sections of the page about *cause* that say what to write instead, and when there is nothing to do."""
    # Late: importing it takes a tenth of the time of all imports together, and many runs have no finding.
    from markdown_it import MarkdownIt

    sections = (f"## {section}" for section in _HEADING.split(page_text(cause)) if section.startswith(_WANTED))
    # The pages are our own text, so what they contain may become HTML.
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse("\n".join(sections))
    return Markup(markdown.renderer.render(_fitted(tokens), markdown.options, {}))


def _fitted(tokens: Sequence[Token]) -> Sequence[Token]:
    """*tokens* with deeper headings, and without links: a reader of the report does not have the other pages."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + _DEEPER}"
        if token.children:
            token.children = [each for each in token.children if each.type not in ("link_open", "link_close")]
    return tokens
