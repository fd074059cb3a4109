"""Settings as options of a command line, for a parasuite on another machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from parasuite.plan.setting import Origin, Setting, Source
from parasuite.plan.settings import SETTINGS, Settings

_ELSEWHERE = (Origin.COMMAND_LINE, Origin.ENVIRONMENT)
"""Where a value comes from that another machine does not have: it has the project, with pyproject.toml."""


def arguments(settings: Settings, sources: Mapping[str, Source], *, without: Collection[str]) -> tuple[str, ...]:
    """Options that give a `parasuite run` in the same project these *settings*.

    *sources*: where each value comes from, by the name of its setting. *without*: fields to leave out.
    """
    words: list[str] = []
    for field, setting in SETTINGS.items():
        if sources[setting.name].origin in _ELSEWHERE and field not in without:
            words += _option(setting, getattr(settings, field))
    return tuple(words)


def _option(setting: Setting[Any], value: object) -> list[str]:
    flag = setting.option_flags[-1]
    if setting.is_switch:
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    text = repr(value) if isinstance(value, float) else setting.written(value)
    # An option of one letter takes what follows as it is, also `=`.
    return [f"{flag}={text}"] if flag.startswith("--") else [flag, text]
