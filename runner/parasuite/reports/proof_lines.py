"""The result of provoking a finding, in plain text."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.model.proof import Proof, ProofOutcome

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_PROVEN = "nothing was proven"
_SAID = {
    ProofOutcome.FAILED: f"{REPRODUCED}: {{tests}} failed",
    ProofOutcome.HUNG: f"{REPRODUCED}: {{tests}} did not end in time",
    ProofOutcome.CROSSTALK: f"{REPRODUCED}: every test passed, although the suite talked to parasuite",
    ProofOutcome.RETRIED: f"{NOT_REPRODUCED}: the port was taken, and every test passed by trying another port",
    ProofOutcome.UNNOTICED: f"{NOT_REPRODUCED}: the port was taken, and every test passed without it",
    ProofOutcome.NOT_ASKED: f"{NOT_REPRODUCED}: the port is not asked for any more",
    ProofOutcome.NOT_PROVOKED: f"{NOT_PROVEN}: this kind of finding cannot be provoked",
    ProofOutcome.INCONCLUSIVE: f"{NOT_PROVEN}: the run says nothing",
}
_ENDPOINTS_SHOWN = 4
_VISITORS_SHOWN = 2


def proof_lines(proof: Proof) -> Iterator[str]:
    """The outcome; the failure, or the reason; what parasuite took, and who came to it."""
    yield _SAID[proof.outcome].format(tests=_tests(proof))
    if proof.message:
        yield f"  {proof.message}"
    if proof.endpoints:
        yield f"  parasuite had taken {_some(proof.endpoints, _ENDPOINTS_SHOWN)}; {_visits(proof)}"


def _tests(proof: Proof) -> str:
    if not proof.tests:
        return "the suite"
    first, *others = proof.tests
    return first + (f" and {len(others)} more" if others else "")


def _visits(proof: Proof) -> str:
    if not proof.visits:
        return "nothing connected to it"
    unit = "datagrams" if proof.endpoints[0].endswith("/udp") else "connections"
    whose = f", from {_some(proof.visitors, _VISITORS_SHOWN)}" if proof.visitors else ""
    return f"{unit} that came to it: {proof.visits}{whose}"


def _some(names: tuple[str, ...], shown: int) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
