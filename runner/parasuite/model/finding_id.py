"""The ids of findings and of other problems: the same in every run, and short enough to be typed."""

from __future__ import annotations

import hashlib
import re

DIGITS = 10
FINDING_ID = re.compile(f"[0-9a-f]{{{DIGITS}}}")
BEGINNING_OF_ID = re.compile(f"[0-9a-f]{{1,{DIGITS}}}")


def id_of(text: str) -> str:
    """The first digits of a hash over *text*, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]
