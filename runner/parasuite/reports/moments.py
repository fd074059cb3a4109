"""Moments as reports write them: ISO 8601, UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: float) -> str:
    """`2026-11-30T02:17:00Z`. *seconds*: since 1970."""
    return f"{_utc(seconds):%Y-%m-%dT%H:%M:%S}Z"


def day(seconds: float) -> str:
    """`2026-11-30`."""
    return f"{_utc(seconds):%Y-%m-%d}"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
