"""Runs what failed once more, alone and with a network for each copy: whether the company makes it fail, or ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from parasuite.assemble import recording_errors, write_reports
from parasuite.judge.control import always_passes, are_worth_observing, controls_of, failed_tests, needs_all
from parasuite.judge.report import Report
from parasuite.model.control import Controls
from parasuite.model.words import NetworkMode, RunEnd
from parasuite.record.control_file import CONTROL_FILE, CONTROL_FOLDER, controls_text
from parasuite.reports.wording import plural
from parasuite.run.again import Scene, run_again
from parasuite.run.networks.prepare import why_no_network
from parasuite.run.signals import Signals

NOTHING_FAILED = "--control: no test failed, so none was run alone"
STOPPED = "--control: parasuite was stopped, so it is not known what the failed tests do alone"
NOT_APART = "--control: what failed did not run with a network for each copy: {why}"
_ALONE = "what failed runs alone, {number} of {runs}"
_OBSERVED = "what failed runs alone, with sensors"
_APART = "what failed runs in {copies} at once, with a network each"


def control(
    scene: Scene, report: Report, *, patience_s: float, runs: int, signals: Signals
) -> tuple[Report, list[str]]:
    """Run the failed tests of *report* alone: *runs* times without sensors, and with them as long as that may tell
    something. Then once in as many copies as before, with a network each, if they shared one before.

    The report with the answers, and a line for each of its files that could not be written.

    A copy that has not ended after *patience_s* is stopped. *signals*: as in `session.run`.
    """
    if report.ended is not RunEnd.COMPLETE:
        return report, []
    controls = Controls(notes=(NOTHING_FAILED,))
    if failed_tests(report):
        controls = _controls(scene, report, patience_s, runs, signals)
    problems: list[str] = []
    with recording_errors(problems, CONTROL_FILE):
        scene.outer.write(CONTROL_FILE, controls_text(controls))
    report = replace(report, controls=controls.controls, notes=[*report.notes, *controls.notes])
    return report, [*problems, *write_reports(scene.outer, report, scene.spec.optional_reports)]


def _controls(scene: Scene, report: Report, patience_s: float, runs: int, signals: Signals) -> Controls:
    tests = () if needs_all(report) else failed_tests(report)
    alone: list[Report] = []
    observed: list[Report] = []
    for number in range(1, runs + 1):
        scene.progress.say(_ALONE.format(number=number, runs=runs))
        name = f"{CONTROL_FOLDER}/alone"
        alone.append(run_again(scene, name, tests, patience_s, sensors=(), signals=signals)[0])
        if signals.received:
            return Controls(notes=(STOPPED,))
    while len(observed) < runs and are_worth_observing(report, alone, observed):
        scene.progress.say(_OBSERVED)
        observed.append(run_again(scene, f"{CONTROL_FOLDER}/observed", tests, patience_s, signals=signals)[0])
        if signals.received:
            return Controls(notes=(STOPPED,))
    apart, notes = None, list[str]()
    if _is_worth_separating(scene, report, alone):
        if why := why_no_network():
            notes.append(NOT_APART.format(why=why))
        else:
            copies = scene.spec.copies
            scene.progress.say(_APART.format(copies=plural(copies, "copy")))
            name, network = f"{CONTROL_FOLDER}/apart", NetworkMode.EACH
            apart = run_again(
                scene, name, tests, patience_s, sensors=(), copies=copies, network=network, signals=signals
            )[0]
            if signals.received:
                return Controls(notes=(STOPPED,))
    return Controls(tuple(controls_of(report, alone, observed, apart)), tuple(notes))


def _is_worth_separating(scene: Scene, report: Report, alone: Sequence[Report]) -> bool:
    """Whether copies with a network each are something else than the run was, and a test always passes alone."""
    if scene.spec.copies == 1 or scene.spec.network is NetworkMode.EACH:
        return False
    return any(always_passes(test, alone) for test in failed_tests(report))
