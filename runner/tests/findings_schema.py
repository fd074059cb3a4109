"""The schemas of what parasuite writes as JSON, for every test that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

_DOCS = Path(__file__).parents[2] / "docs"


def schema(name: str) -> dict[str, Any]:
    """That of docs/NAME.schema.json."""
    read: dict[str, Any] = json.loads((_DOCS / f"{name}.schema.json").read_text())
    return read


SCHEMA = schema("findings")
VALIDATOR = Draft202012Validator(SCHEMA)
# The others name the definitions of this one by a relative path.
_REGISTRY = Registry().with_resource("series.schema.json", Resource.from_contents(schema("series")))
SERIES, DIFF, HISTORY = (
    Draft202012Validator(schema(name), registry=_REGISTRY) for name in ("series", "diff", "history")
)
