"""Rows of an array of tables in pyproject.toml, such as `[[tool.parasuite.ambient]]`, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from parasuite.plan.errors import ConfigError, did_you_mean, must_be

REASON = "reason"


class Row:
    """One row. *name*: for messages."""

    def __init__(self, name: str, values: object) -> None:
        self.name = name
        if not isinstance(values, Mapping):
            raise must_be(name, "a table", values)
        self.values: Mapping[str, object] = values

    def error(self, what: str) -> ConfigError:
        return ConfigError(f"{self.name} {what}")

    def must_be(self, key: str, what: str) -> ConfigError:
        return must_be(f"{self.name} {key}", what, self.values[key])

    def check_keys(self, known: Collection[str]) -> None:
        """Raises ConfigError for a key that is not *known*."""
        for key in self.values:
            if key not in known:
                raise self.error(f"has an unknown key {key!r}{did_you_mean(key, {each: each for each in known})}")

    def text(self, key: str) -> str:
        """The text at *key*, "" if there is none."""
        text = self.values.get(key, "")
        if not isinstance(text, str) or (key in self.values and not text.strip()):
            raise self.must_be(key, "text that is not empty")
        return text

    def reason(self, what: str) -> str:
        """Its reason, which every row must have. *what*: that the reason explains, to complete the message."""
        if REASON not in self.values:
            raise self.error(f"needs {REASON}: {what}, for those who read the report")
        return self.text(REASON)

    def port(self, key: str, most: int) -> int:
        """The port at *key*, at most *most*."""
        port = self.values[key]
        if type(port) is not int or not 0 < port <= most:  # To Python, true is the number 1.
            raise self.must_be(key, f"a whole number from 1 to {most}")
        return port


def rows(value: object, key: str, file: Path) -> list[Row]:
    """The rows in *value*, which *key* is in [tool.parasuite] of *file*. Raises ConfigError for anything else."""
    table = f"[[tool.parasuite.{key}]]"
    if not isinstance(value, list):
        raise must_be(f"{file}: {key}", f"rows, each below {table}", value)
    return [Row(f"{file}: row {number} of {table}", row) for number, row in enumerate(value, 1)]
