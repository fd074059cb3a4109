"""`parasuite explain`."""

from __future__ import annotations

import click

from parasuite.cli.output import print_safely, stop
from parasuite.explain import finding_page, is_finding_id, overview, page_lines, words_starting_with
from parasuite.plan.options import ProfileOption, current_folder, output_folder


@click.command("explain", params=[ProfileOption()], short_help="explain a cause, an effect, or a finding")
@click.argument("word", metavar="[CAUSE|EFFECT|ID]", required=False, shell_complete=words_starting_with)
def explain_command(word: str | None) -> None:
    """Print the page about a cause or an effect: what happened, how to read it, how to cure it, when it is innocent.

    For the ID of a finding, or its beginning, print all that the newest run with that finding says of it, and the
    page about its cause. Without a word, list the causes and the effects.
    """
    if word is None:
        lines = overview()
    elif is_finding_id(word):
        current_folder()
        lines = finding_page(output_folder(), word)
    else:
        lines = page_lines(word)
    try:
        for line in lines:
            print_safely(line)
    except OSError as error:
        stop(f"{error.filename} cannot be read: {error.strerror}")
