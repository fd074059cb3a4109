"""proof.json: the results of provoking a run's findings, in its folder."""

from __future__ import annotations

from pathlib import Path

from parasuite.model.proof import Proof, Proofs
from parasuite.record.stored_rows import read_rows, rows_text

PROOF_FILE = "proof.json"
PROOF_FOLDER = "proof"


def proofs_text(proofs: Proofs) -> str:
    """What `read_proofs` reads."""
    return rows_text((proof.to_json() for proof in proofs.proofs), proofs.notes)


def read_proofs(root: Path) -> Proofs:
    """The proofs in the run folder *root*. If they cannot be read, a note says so."""
    return Proofs(*read_rows(root, PROOF_FILE, Proof.from_json))
