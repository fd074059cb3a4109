"""`parasuite run --control`: what failed runs alone, and each failure gets an answer."""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from pathlib import Path

import pytest
from parasuite.judge.verdict import FAILED
from parasuite.model.control import Control, ControlAnswer, Controls
from parasuite.record.control_file import CONTROL_FILE, controls_text, read_controls
from parasuite.record.history_file import HISTORY, read_history
from parasuite.record.stored_rows import DAMAGED
from parasuite.reports.wording import controlled
from parasuite.run.control import NOT_APART, NOTHING_FAILED, STOPPED
from parasuite.run.proving import NOT_TRIED
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port
from runner.tests.conftest import Finished, Parasuite, planted

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)

from parasuite.run.networks.prepare import why_no_network

# By planted test: its answer, how often it passes alone in three runs, and in how many of two copies with a network
# each (which copy of the flaky one comes first is luck).
ANSWERS = {
    "test_collision": (ControlAnswer.COLLISION, 3, 2),
    "test_flaky": (ControlAnswer.PASSES_ALONE, 2, None),
    "test_that_does_not_bear_company": (ControlAnswer.PASSES_ALONE, 3, 0),
    "test_fails_alone": (ControlAnswer.FAILS_ALONE, 0, 0),
    "test_only_observed": (ControlAnswer.ONLY_OBSERVED, 3, 2),
}
WHY_NO_NETWORK = why_no_network()


def last_line(finished: Finished) -> str:
    return finished.stdout.splitlines()[-1]


def written(finished: Finished) -> dict[str, Control]:
    """The answers in the run folder, by the name of the test."""
    return {control.test.rpartition("::")[2]: control for control in read_controls(finished.folder).controls}


def test_each_failure_gets_its_answer_in_every_report(parasuite: Parasuite, tmp_path: Path) -> None:
    with reserve_port(child_reuses_address=False) as lease:
        environ = {
            "PLANTED_PORT": str(lease.port),
            "PLANTED_COUNTER": str(tmp_path / "counter"),
            "PYTEST_ADDOPTS": "-p no:randomly",
        }
        finished = parasuite.run_pytest("-j", "2", "--control", "3", planted("control"), environ=environ)
    assert finished.code == 1, finished.stdout + finished.stderr
    answers = written(finished)
    assert {name: (each.answer, each.passed) for name, each in answers.items()} == {
        name: (answer, passed) for name, (answer, passed, _) in ANSWERS.items()
    }
    if WHY_NO_NETWORK:
        assert NOT_APART.format(why=WHY_NO_NETWORK) in finished.stdout
    else:
        apart = {name: (answers[name].apart_passed, answers[name].apart_runs) for name in answers}
        assert {name: (passed, 2) for name, (_, _, passed) in ANSWERS.items() if passed is not None} == {
            name: known for name, known in apart.items() if name != "test_flaky"
        }
    for control in answers.values():
        assert controlled(control) in finished.stdout
        assert controlled(control) in (finished.folder / "junit.xml").read_text()
    assert len(list((finished.cwd / ".parasuite" / "runs").iterdir())) == 1
    assert parasuite("report").stdout == finished.stdout


def test_a_command_is_run_alone_as_a_whole(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "2", "--control", "2", "--", "sh", "-c", "test $PARASUITE_COPIES = 1")
    assert finished.code == 1
    (control,) = written(finished).values()
    assert (control.answer, control.passed, control.runs) == (ControlAnswer.PASSES_ALONE, 2, 2)


@pytest.mark.skipif(bool(WHY_NO_NETWORK), reason=f"no new network: {WHY_NO_NETWORK}")
def test_copies_with_a_network_each_are_not_separated_once_more(parasuite: Parasuite) -> None:
    network = ("--network", "each")
    command = ("--", "sh", "-c", "test $PARASUITE_COPIES = 1")
    finished = parasuite("run", "-j", "2", "--control", "1", *network, *command)
    (control,) = written(finished).values()
    assert (control.answer, control.passed, control.apart_runs) == (ControlAnswer.PASSES_ALONE, 1, 0)
    alone = json.loads((finished.folder / "control" / "alone" / "run.json").read_text())
    assert alone["network"] == "each"


def test_only_the_run_itself_is_remembered_in_the_history(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "2", "--control", "1", "--", "sh", "-c", "test $PARASUITE_COPIES = 1")
    assert [path.parent for path in (finished.cwd / ".parasuite").rglob(HISTORY)] == [finished.cwd / ".parasuite"]
    assert [run.run_id for run in read_history(finished.cwd / ".parasuite").runs] == [finished.folder.name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_control_and_all_that_was_to_follow_and_is_the_exit_code(
    parasuite: Parasuite, number: int, code: int
) -> None:
    with reserve_port(child_reuses_address=False) as lease:
        script = f"""
            import os, socket, time
            if os.environ["PARASUITE_COPIES"] == "1": time.sleep(600)
            socket.create_server(("127.0.0.1", {lease.port})).close()
            raise SystemExit(1)
            """
        script = textwrap.dedent(script)
        process = parasuite.start("run", "-j", "2", "--control", "--prove", "--", sys.executable, "-c", script)
        assert process.stderr is not None
        while not process.stderr.readline().startswith("1 copy of"):
            assert process.poll() is None
        process.send_signal(number)
        finished = parasuite.finish(process)
    assert finished.code == code, finished.stdout + finished.stderr
    assert STOPPED in finished.stdout
    assert NOT_TRIED.format(findings="1 finding", why="parasuite was stopped") in finished.stdout
    assert "proving" not in finished.stderr
    # What the run itself has shown still holds.
    assert (last_line(finished), parasuite("report").code) == (FAILED, 1)


def test_a_file_that_cannot_be_collected_is_collected_alone(parasuite: Parasuite, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\nassert os.environ['PARASUITE_COPIES'] == '1'\ndef test_nothing(): pass\n"
    )
    finished = parasuite.run_pytest("-j", "2", "--control", "1", "test_it.py")
    assert [(each.answer, each.passed) for each in written(finished).values()] == [(ControlAnswer.PASSES_ALONE, 1)]


def test_where_nothing_failed_nothing_runs_and_that_is_said(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "2", "--control", "3", "--", "true")
    assert finished.code == 0
    assert NOTHING_FAILED in finished.stdout
    assert not (finished.folder / "control").exists()


def test_reading_the_file_of_answers_undoes_writing_it(tmp_path: Path) -> None:
    control = Control(test="a", answer=ControlAnswer.COLLISION, passed=3, runs=3, apart_passed=1, apart_runs=2)
    known = Controls((control,), ("a note",))
    (tmp_path / CONTROL_FILE).write_text(controls_text(known))
    assert read_controls(tmp_path) == known


def test_answers_of_a_version_that_did_not_separate_the_copies_are_read(tmp_path: Path) -> None:
    row = {"test": "a", "answer": "collision", "passed": 3, "runs": 3}
    (tmp_path / CONTROL_FILE).write_text(json.dumps({"format": 1, "rows": [row], "notes": []}))
    (control,) = read_controls(tmp_path).controls
    assert (control.answer, control.apart_runs) == (ControlAnswer.COLLISION, 0)


@pytest.mark.parametrize("row", [{}, {"test": "a", "answer": "perhaps", "passed": 1, "runs": 1}])
def test_a_damaged_row_gives_no_answer_and_is_noted(tmp_path: Path, row: dict[str, object]) -> None:
    (tmp_path / CONTROL_FILE).write_text(json.dumps({"format": 1, "rows": [row], "notes": []}))
    assert read_controls(tmp_path) == Controls(notes=(DAMAGED.format(name=CONTROL_FILE),))
