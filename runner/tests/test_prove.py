"""`parasuite run --prove`: what came of provoking each finding is in every report of the run."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.proof import Proof, ProofOutcome, Proofs
from parasuite.record.proof_file import PROOF_FILE, proofs_text, read_proofs
from parasuite.record.stored_rows import DAMAGED
from parasuite.reports.proof_lines import REPRODUCED
from parasuite.run.proving import NOT_TRIED
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port
from runner.tests.conftest import Finished, Parasuite, planted

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)


def run_with(parasuite: Parasuite, budget_s: str) -> Finished:
    """A run of the planted tests with a fixed port, whose findings are to be proven in *budget_s*."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(reserve_port(child_reuses_address=False)).port
        environ = {"PLANTED_PORTS": f"fixed={port}", "PYTEST_ADDOPTS": "-p no:randomly"}
        return parasuite.run_pytest(
            "-j", "2", "-k", "test_fixed", "--prove", budget_s, planted("provoked"), environ=environ
        )


def test_each_finding_of_a_run_is_proven_in_every_report_and_in_no_run_of_its_own(parasuite: Parasuite) -> None:
    finished = run_with(parasuite, "300")
    assert finished.code == 0, finished.stdout + finished.stderr
    assert [(finding["evidence"], finding["proof"]["outcome"]) for finding in finished.findings] == [
        ("proven", "failed"),
        ("proven", "failed"),
    ]
    for finding in finished.findings:
        proof = finding["proof"]
        assert (proof["tests"], "Address already in use" in proof["message"]) == (finding["tests"], True)
        assert (finished.folder / proof["folder"] / "findings.json").exists()
    assert finished.stdout.count(f"{REPRODUCED}: ") == 2
    assert (finished.folder / "junit.xml").read_text().count(f"{REPRODUCED}: ") == 2
    assert len(list((finished.cwd / ".parasuite" / "runs").iterdir())) == 1
    before = (finished.folder / "findings.json").read_text()
    again = parasuite("report")
    assert (again.code, again.stdout) == (0, finished.stdout)
    assert (finished.folder / "findings.json").read_text() == before


def test_what_there_was_no_time_to_prove_is_said(parasuite: Parasuite) -> None:
    finished = run_with(parasuite, "0.001")
    assert finished.code == 0, finished.stdout + finished.stderr
    assert [finding["proof"] for finding in finished.findings] == [None, None]
    why = NOT_TRIED.format(findings="2 findings", why="--prove 0.001 s were over")
    assert why in finished.stdout
    assert why in parasuite("report").stdout


@pytest.mark.parametrize("others", [["--exit-code", "suite", "-j", "1"], ["--repeat", "2"]])
def test_a_run_that_is_only_observed_and_a_series_are_not_proven(parasuite: Parasuite, others: list[str]) -> None:
    finished = parasuite("run", "--prove", "9", *others, "--", "true")
    assert finished.code == 2
    assert finished.stderr.startswith("parasuite: --prove runs tests once more, which does not apply here: ")


def test_without_sensors_there_is_nothing_to_prove_and_nothing_starts(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--prove", "9", "--sensors", "none", "--", "true")
    assert finished.code == 2
    assert finished.stderr.startswith("parasuite: --prove has nothing to prove with --sensors none")
    assert not (finished.cwd / ".parasuite").exists()


texts = st.text(max_size=9)
proofs = st.builds(
    Proof,
    finding=texts,
    outcome=st.sampled_from(ProofOutcome),
    message=texts,
    tests=st.lists(texts).map(tuple),
    endpoints=st.lists(texts).map(tuple),
    visits=st.integers(0, 9),
    visitors=st.lists(texts).map(tuple),
    folder=texts,
)


@given(proof=proofs, note=texts)
def test_reading_the_file_of_proofs_undoes_writing_it(
    tmp_path_factory: pytest.TempPathFactory, proof: Proof, note: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    written = Proofs((proof,), (note,))
    (folder / PROOF_FILE).write_text(proofs_text(written), "utf-8")
    assert read_proofs(folder) == written


def test_without_the_file_there_is_no_proof_and_nothing_to_say(tmp_path: Path) -> None:
    assert read_proofs(tmp_path) == Proofs()


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"format": 1, "rows": 3, "notes": []},
        {"format": 2, "rows": [], "notes": []},
        {"format": 1, "rows": [{"finding": 1}], "notes": []},
    ],
)
def test_a_damaged_file_of_proofs_proves_nothing_and_is_noted(tmp_path: Path, value: object) -> None:
    (tmp_path / PROOF_FILE).write_text(json.dumps(value))
    assert read_proofs(tmp_path) == Proofs(notes=(DAMAGED.format(name=PROOF_FILE),))
