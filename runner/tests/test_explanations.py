"""Which finding explains a failed test: the one whose effect happened to it, and that its failure names."""

from __future__ import annotations

from typing import Any

import pytest
from parasuite.judge.explain import explain
from parasuite.judge.findings import Effect, Explanation, Finding, Side
from parasuite.model.causes import EffectKind
from parasuite.model.events import Endpoint
from parasuite.model.results import TestResult
from parasuite.model.words import AttributedBy, Protocol, Role, Severity, TestOutcome

from runner.tests.building import a_finding, a_side, an_effect

TEST = "t.py::test_quit"
IN_USE = "OSError: [Errno 98] Address already in use"
OTHER = "AssertionError: assert 1 == 2"
# As pytest writes them: the test's arguments and its source, what went wrong, and the line.
FAILED_IN_BIND = """\
port = 8025

    def test_quit(port):
>       start(port)

t.py:12:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _
port = 8025

    def start(port):
>       sock.bind(("127.0.0.1", port))
E       OSError: [Errno 98] Address already in use

t.py:3: OSError"""
FAILED_LATER = """\
port = 8025

    def test_quit(port):
        with pytest.raises(OSError) as refused:
            start(8025)
        assert refused.value.errno == errno.EADDRINUSE
>       assert 1 == 2
E       assert 1 == 2

t.py:15: AssertionError"""


def wanted(test: str = TEST, **more: Any) -> Side:
    return a_side(1, Role.WANTED, test=test, **{"line": "t.py:3:start", "attribution": AttributedBy.THREAD, **more})


def held(test: str = "t.py::test_help") -> Side:
    return a_side(0, Role.HELD, test=test, line="t.py:3:start", attribution=AttributedBy.THREAD)


def refusal(side: Side, **more: Any) -> Effect:
    return an_effect(EffectKind.REFUSED, side, held(), **more)


def crosstalk(**more: Any) -> Effect:
    client = a_side(1, Role.CLIENT, test=TEST, line="t.py:9:talk")
    return an_effect(EffectKind.CROSSTALK, client, a_side(0, Role.SERVER, test="t.py::test_help"), **more)


def failed(text: str = "", *, message: str = "", test: str = TEST, **more: Any) -> TestResult:
    return TestResult(id=test, message=message, text=text, **{"outcome": TestOutcome.FAILED, **more})


def of_copy_1(result: TestResult, *findings: Finding) -> Explanation | None:
    """What is said of *result*, a test of copy 1."""
    _, explanations = explain(findings, [[], [result]])
    return explanations.get((1, result.id))


def with_(*effects: Effect, **changes: Any) -> Finding:
    return a_finding(effects=effects, **changes)


CERTAIN, POSSIBLE = Explanation("0123456789", is_certain=True), Explanation("0123456789", is_certain=False)


# --- named by the failure -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [IN_USE, "listen tcp 127.0.0.1:9: bind: address already in use", "Error: listen EADDRINUSE: :::9"],
)
def test_a_refused_test_whose_failure_names_the_error_is_explained(text: str) -> None:
    assert of_copy_1(failed(message=text), with_(refusal(wanted()))) == CERTAIN


@pytest.mark.parametrize(
    "text", ["no server at 127.0.0.1:8025", FAILED_IN_BIND, "    t_test.go:9: bind :8025: refused"]
)
def test_a_refused_test_whose_failure_names_the_port_or_the_line_is_explained(text: str) -> None:
    assert of_copy_1(failed(text), with_(refusal(wanted()))) == CERTAIN


def test_the_finding_names_the_tests_whose_failure_it_explains() -> None:
    (finding,), _ = explain([with_(refusal(wanted()))], [[], [failed(IN_USE)]])
    assert finding.failed_tests == (TEST,)


def test_a_failure_that_names_the_path_of_a_unix_socket_is_explained() -> None:
    path = Endpoint(Protocol.UNIX, "/tmp/planted.sock")
    assert of_copy_1(failed("cannot reach /tmp/planted.sock"), with_(refusal(wanted(), endpoint=path))) == CERTAIN


def test_a_test_that_reached_anothers_server_is_explained_if_its_failure_names_the_port() -> None:
    assert of_copy_1(failed("E  wrong greeting from 127.0.0.1:8025"), with_(crosstalk())) == CERTAIN


def test_a_test_that_reached_anothers_server_and_names_nothing_may_be_explained() -> None:
    assert of_copy_1(failed(OTHER), with_(crosstalk())) == POSSIBLE


# --- failed for another reason --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [OTHER, FAILED_LATER])
def test_a_test_that_provokes_a_refusal_and_fails_for_another_reason_is_not_explained(text: str) -> None:
    assert of_copy_1(failed(text), with_(refusal(wanted()))) is None


def test_source_of_a_plain_traceback_names_nothing() -> None:
    where = 'Traceback (most recent call last):\n  File "t.py", line 15, in test_quit'
    text = f"{where}\n    check(8025, errno.EADDRINUSE)\nValueError: no"
    assert of_copy_1(failed(text), with_(refusal(wanted()))) is None


def test_what_the_test_printed_names_the_port_all_the_same() -> None:
    printed = "\n--- Captured stderr call ---\n    at Server.listen, port 8025"
    assert of_copy_1(failed(FAILED_LATER + printed), with_(refusal(wanted()))) == CERTAIN


def test_another_port_of_which_the_number_is_a_part_is_another_port() -> None:
    assert of_copy_1(failed("no server at 127.0.0.1:18025"), with_(refusal(wanted()))) is None


@pytest.mark.parametrize("effect", [refusal(wanted(), recovered=True), refusal(wanted("t.py::test_other"))])
def test_what_recovered_and_what_happened_to_another_test_explains_nothing(effect: Effect) -> None:
    assert of_copy_1(failed(message=OTHER), with_(effect)) is None


def test_a_recovered_refusal_explains_nothing_though_the_failure_names_it() -> None:
    assert of_copy_1(failed(message=IN_USE), with_(refusal(wanted(), recovered=True))) is None


def test_the_test_that_held_the_port_was_not_affected_by_the_refusal() -> None:
    _, explanations = explain([with_(refusal(wanted()))], [[failed(OTHER, test="t.py::test_help")], []])
    assert explanations == {}


def test_the_same_test_of_another_copy_is_another_test() -> None:
    _, explanations = explain([with_(refusal(wanted()))], [[failed(IN_USE)], []])
    assert explanations == {}


def test_a_test_that_passed_needs_no_explanation() -> None:
    passed = failed(IN_USE, outcome=TestOutcome.PASSED)
    assert of_copy_1(passed, with_(refusal(wanted()))) is None


def test_a_finding_that_had_no_effect_explains_nothing() -> None:
    assert of_copy_1(failed(IN_USE), with_(sides=(wanted(),))) is None


def test_a_note_explains_what_names_it_and_nothing_else() -> None:
    note = with_(refusal(wanted(attribution=AttributedBy.ENVIRONMENT), severity=Severity.NOTE))
    assert of_copy_1(failed(message=IN_USE), note) == CERTAIN
    assert of_copy_1(failed(message=OTHER), note) is None


# --- refused elsewhere ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribution", [AttributedBy.THREAD_START, AttributedBy.PROCESS, AttributedBy.ENVIRONMENT])
def test_a_server_that_was_refused_in_another_thread_or_process_may_explain_the_failure(
    attribution: AttributedBy,
) -> None:
    finding = with_(refusal(wanted(attribution=attribution)))
    assert of_copy_1(failed("ConnectionRefusedError: [Errno 111] Connection refused"), finding) == POSSIBLE


def test_a_test_that_was_lost_after_a_refusal_may_be_explained() -> None:
    lost = failed(message="it was running when its copy ended", outcome=TestOutcome.LOST)
    assert of_copy_1(lost, with_(refusal(wanted()))) == POSSIBLE


def test_a_command_that_failed_is_explained_by_what_happened_in_its_copy() -> None:
    def command(text: str) -> TestResult:
        return failed(text, test="node", message="exit status 1", is_of_copy=True)

    finding = with_(refusal(wanted(test="", line="")))
    assert of_copy_1(command("Error: listen EADDRINUSE: address already in use :::8025"), finding) == CERTAIN
    assert of_copy_1(command("2 tests failed"), finding) == POSSIBLE


# --- raised again ---------------------------------------------------------------------------------------------------


LATER = "t.py::test_later"


@pytest.mark.parametrize("test", ["t.py::test_first", ""])
def test_the_error_of_a_wider_fixture_is_explained_in_each_test_that_it_is_raised_in(test: str) -> None:
    assert of_copy_1(failed(FAILED_IN_BIND, test=LATER), with_(refusal(wanted(test)))) == CERTAIN


@pytest.mark.parametrize("text", [IN_USE, "E   no answer from port 8025"])
def test_the_error_or_the_port_alone_may_be_of_another_refusal(text: str) -> None:
    assert of_copy_1(failed(text, test=LATER), with_(refusal(wanted("t.py::test_first")))) is None


# --- the right one of several ---------------------------------------------------------------------------------------


def two(first: Effect, second: Effect) -> tuple[Finding, Finding]:
    return with_(first, id="first"), with_(second, id="second")


def explained_by(result: TestResult, *findings: Finding) -> str:
    explanation = of_copy_1(result, *findings)
    assert explanation is not None
    return explanation.finding


def test_of_two_ports_the_one_whose_line_failed_explains_it() -> None:
    later = wanted(line="t.py:8:other", at_ns=9)
    findings = two(refusal(wanted()), refusal(later, endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 8026)))
    assert explained_by(failed(FAILED_IN_BIND, message=IN_USE), *findings) == "first"


def test_of_two_ports_the_one_that_the_failure_names_explains_it() -> None:
    findings = two(refusal(wanted()), refusal(wanted(), endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 8026)))
    assert explained_by(failed("address already in use: 8026"), *findings) == "second"
    assert explained_by(failed("address already in use: 8025"), *findings) == "first"


def test_of_two_refusals_that_fit_equally_the_last_one_raised() -> None:
    findings = two(refusal(wanted(line="", at_ns=5)), refusal(wanted(line="", at_ns=9)))
    assert explained_by(failed(message=IN_USE), *findings) == "second"
    assert explained_by(failed(message=IN_USE), *reversed(findings)) == "second"
