"""`parasuite explain`."""

from __future__ import annotations

import click

from parasuite.cli.output import print_safely
from parasuite.explain import overview, page_lines, words_starting_with


@click.command("explain", short_help="explain a cause or an effect that a finding names")
@click.argument("word", metavar="[CAUSE|EFFECT]", required=False, shell_complete=words_starting_with)
def explain_command(word: str | None) -> None:
    """Print the page about a cause or an effect: what happened, how to read it, how to cure it, when it is innocent.

    Without a word, list the causes and the effects.
    """
    for line in overview() if word is None else page_lines(word):
        print_safely(line)
