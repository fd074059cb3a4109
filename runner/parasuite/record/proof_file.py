"""proof.json: what came of provoking the findings of a run, in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

from parasuite.model.json_fields import is_object, is_objects, is_texts
from parasuite.model.proof import Proof, Proofs
from parasuite.record.untrusted import Missing, Unreadable, read_json

PROOF_FILE = "proof.json"
PROOF_FOLDER = "proof"
FORMAT = 1
DAMAGED = f"{PROOF_FILE} is damaged, or of another version of parasuite"
_FILE_BYTES_MAX = 16 << 20


def proofs_text(proofs: Proofs) -> str:
    """What `read_proofs` reads."""
    rows = [proof.to_json() for proof in proofs.proofs]
    return json.dumps({"format": FORMAT, "proofs": rows, "notes": proofs.notes}, indent=1) + "\n"


def read_proofs(root: Path) -> Proofs:
    """The proofs in the run folder *root*. If they cannot be read, a note says so."""
    try:
        value = read_json(root, PROOF_FILE, _FILE_BYTES_MAX)
    except Missing:
        return Proofs()
    except Unreadable as error:
        return Proofs(notes=(str(error),))
    if not is_object(value) or value.get("format") != FORMAT:
        return Proofs(notes=(DAMAGED,))
    rows, notes = value.get("proofs"), value.get("notes")
    if not is_objects(rows) or not is_texts(notes):
        return Proofs(notes=(DAMAGED,))
    proofs = [Proof.from_json(row) for row in rows]
    known = tuple(proof for proof in proofs if proof is not None)
    return Proofs(known, (*notes, *([DAMAGED] if len(known) < len(rows) else [])))
