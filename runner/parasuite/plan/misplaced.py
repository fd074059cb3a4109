"""Arguments on the wrong side of the two dashes: what the user meant to type."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from itertools import pairwise

import click

from parasuite.plan.errors import ConfigError
from parasuite.plan.settings import SETTINGS

PYTEST_ARGUMENTS = "arguments for pytest go after --: {command}"
COMMANDS_WORDS = "a command goes after --: {command}"
PYTEST_OPTION = "{error} Options of pytest go after the target: parasuite run TARGET -- {option} ..."


class RunCommand(click.Command):
    """`parasuite run`. If it is given arguments of the suite before --, the error says what to type instead.

    `obj` of its context: the words after --.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _with_values(args)
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if meant := self._meant(given, tuple(ctx.obj or ())):
                # A misspelt option of parasuite, with what click supposes that it is?
                is_similar = isinstance(error, click.NoSuchOption) and error.possibilities
                raise ConfigError(f"{error.format_message()} Or: {meant}" if is_similar else meant) from error
            if isinstance(error, click.NoSuchOption) and not error.possibilities:
                message = PYTEST_OPTION.format(error=error.format_message(), option=error.option_name)
                raise ConfigError(message) from error
            raise

    def _meant(self, given: Sequence[str], after_dashes: Sequence[str]) -> str:
        """What to say about *given*, the arguments before --; "" if none of them seems to be meant for the suite."""
        target, extra = self._split(given)
        if not target or not extra or target.startswith("-"):
            return ""
        if _is_program(target):
            at = next(i for i, word in enumerate(given) if word == target and self._split(given[:i]) == ("", []))
            return COMMANDS_WORDS.format(command=_run(given[:at], [*given[at:], *after_dashes]))
        own = _without(given, extra)
        return PYTEST_ARGUMENTS.format(command=_run(own, [*extra, *after_dashes])) if own else ""

    def _split(self, given: Sequence[str]) -> tuple[str, list[str]]:
        """The target in *given*, "" without one; and what neither it nor an option of parasuite accounts for."""
        context = click.Context(self, ignore_unknown_options=True, allow_extra_args=True)
        try:
            options, extra, _ = self.make_parser(context).parse_args(list(given))
        except click.UsageError:
            return "", list(given)  # The value of an option is missing.
        target = options.get("target")
        return target if isinstance(target, str) else "", extra


def _with_values(args: Sequence[str]) -> list[str]:
    """*args*, in which an option that needs no value has the one that it means: the word after it is the target.

    A number after an option whose value is one is its value.
    """
    bare = {flag: each for each in SETTINGS.values() if each.if_bare for flag in each.option_flags}
    given = []
    for word, following in pairwise([*args, ""]):
        setting = bare.get(word)
        has_value = setting is not None and int in setting.toml_types and _is_number(following)
        given.append(word if setting is None or has_value else f"{word}={setting.if_bare}")
    return given


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdecimal()


def _run(options: Sequence[str], after_dashes: Sequence[str]) -> str:
    return shlex.join(["parasuite", "run", *options, "--", *after_dashes])


def _without(words: Sequence[str], extra: Sequence[str]) -> list[str]:
    """*words* without *extra*, of which each comes in that order; [] if click has split one, such as `-xj2`."""
    left, own = list(extra), list[str]()
    # From the end, since a value of an option of ours may come first that reads the same.
    for word in reversed(words):
        if left and word == left[-1]:
            left.pop()
        else:
            own.insert(0, word)
    return [] if left else own


def _is_program(word: str) -> bool:
    if os.path.isdir(word) or word.endswith(".py"):
        return False
    return shutil.which(word) is not None
