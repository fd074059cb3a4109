"""proof.json: what came of provoking the findings of a run, in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from parasuite.model.json_fields import is_object, is_objects
from parasuite.model.proof import Proof
from parasuite.record.untrusted import Missing, Unreadable, read_json

PROOF_FILE = "proof.json"
PROOF_FOLDER = "proof"
FORMAT = 1
_FILE_BYTES_MAX = 16 << 20


def proofs_text(proofs: Iterable[Proof]) -> str:
    """What `read_proofs` reads."""
    return json.dumps({"format": FORMAT, "proofs": [proof.to_json() for proof in proofs]}, indent=1) + "\n"


def read_proofs(root: Path) -> tuple[list[Proof], str]:
    """The proofs in the run folder *root*, and why there may be more: "" if it has no such file, or a good one."""
    try:
        value = read_json(root, PROOF_FILE, _FILE_BYTES_MAX)
    except Missing:
        return [], ""
    except Unreadable as error:
        return [], str(error)
    rows = value.get("proofs") if is_object(value) else None
    if not is_object(value) or value.get("format") != FORMAT or not is_objects(rows):
        return [], f"{PROOF_FILE} is damaged, or of another version of parasuite"
    proofs = [proof for row in rows if (proof := Proof.from_json(row)) is not None]
    return proofs, "" if len(proofs) == len(rows) else f"{PROOF_FILE} is damaged in part"
