"""What is wrong with the way parasuite was called or configured."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting or target that cannot be used. The message is one line: which one, why, and what to do about it."""
