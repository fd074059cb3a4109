"""What the commands that look at many runs have in common: the format, the folders, and what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from parasuite.cli.output import console_of, print_safely
from parasuite.model.words import TableFormat
from parasuite.plan.errors import ConfigError
from parasuite.plan.option_types import Word
from parasuite.reports.sections import Section, as_markdown, as_text

NO_SUCH_RUN = "no run or series {name} is in {base}; `parasuite runs` lists those that are kept"


def format_option() -> click.Option:
    """`--output-format`."""
    return click.Option(
        ["--output-format"],
        type=Word(TableFormat),
        default=TableFormat.FULL.value,
        show_default=True,
        metavar="|".join(TableFormat),
        help="How to print it.",
    )


def folder_of(name: str, base: Path) -> Path:
    """The folder that *name* means: a path, or the id of a run or a series in *base*. Raises ConfigError."""
    for candidate in (Path(name), base / "runs" / name, base / "series" / name):
        if candidate.is_dir():
            return candidate
    raise ConfigError(NO_SUCH_RUN.format(name=name, base=base))


def print_sections(sections: Sequence[Section], output_format: TableFormat) -> None:
    lines = as_markdown(sections) if output_format is TableFormat.MARKDOWN else as_text(sections)
    for line in lines:
        print_safely(line)


def print_json(text: str) -> None:
    console_of().file.write(text)
