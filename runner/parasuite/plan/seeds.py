"""Seeds that follow from one another, so that a single number repeats a whole series."""

from __future__ import annotations

import hashlib

SEED_MAX = (1 << 32) - 1
"""The largest PYTHONHASHSEED, and the largest seed of most generators of random numbers."""


def round_seed(seed: int, number: int) -> int:
    """The seed of the round *number*, counted from 1. The first round has *seed* itself.

    So `--seed` with the seed of a later round repeats that round alone.
    """
    return seed if number == 1 else _derived(f"{seed}, round {number}")


def copy_seed(seed: int, copy: int) -> int:
    """The seed of one copy of a run whose own seed is *seed*: another for each copy."""
    return _derived(f"{seed}, copy {copy}")


def _derived(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
