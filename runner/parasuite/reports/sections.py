"""Lists of things under headings, as plain text and as Markdown: for commands that report on many runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parasuite.reports.markdown import escaped


@dataclass(frozen=True, slots=True)
class Item:
    """*head*: a line. *details*: lines below it."""

    head: str
    details: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """*title*: without a full stop. A section without items is its title alone."""

    title: str
    items: Sequence[Item] = ()


def as_text(sections: Sequence[Section]) -> Iterator[str]:
    """Lines for a terminal, not yet printable."""
    for section in sections:
        yield f"{section.title}:" if section.items else section.title
        for item in section.items:
            yield f"  {item.head}"
            for detail in item.details:
                yield f"      {detail}"


def as_markdown(sections: Sequence[Section]) -> Iterator[str]:
    """Lines of Markdown, in which nothing that a suite named is markup."""
    for section in sections:
        yield f"### {escaped(section.title)}"
        yield ""
        for item in section.items:
            yield f"- {escaped(item.head)}"
            for detail in item.details:
                yield f"  - {escaped(detail)}"
        if section.items:
            yield ""
