"""Test results in what tools print. The outputs are those of go 1.19, node 20 and cargo 1.95, with other paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.words import TestOutcome, TestTool
from parasuite.plan.targets import Command
from parasuite.record.outputs.cargo import parse_cargo
from parasuite.record.outputs.go import DIED, parse_go, parse_go_json
from parasuite.record.outputs.node_spec import parse_node_spec
from parasuite.record.outputs.read import output_results
from parasuite.record.outputs.results import Lines, Parsed
from parasuite.record.outputs.tap import LOST, parse_tap

from runner.tests.conftest import Parasuite
from runner.tests.reported import bad_test, counted

OUTPUTS = Path(__file__).parent / "outputs"
PARSERS = [parse_go, parse_go_json, parse_tap, parse_cargo, parse_node_spec]


def parsed(parser: Callable[[Lines], Parsed], name: str) -> Parsed:
    return parser((OUTPUTS / name).read_text().splitlines())


def brief(found: Parsed) -> list[tuple[str, str, str]]:
    return [(result.outcome, result.id, result.message) for result in found.tests]


OF_EVERY_TEST = [
    ("passed", "example.com/net/a::TestPasses", ""),
    (
        "failed",
        "example.com/net/a::TestFails",
        "a_test.go:9: listen tcp 127.0.0.1:8025: bind: address already in use",
    ),
    ("skipped", "example.com/net/a::TestSkips", "a_test.go:12: no network"),
    ("failed", "example.com/net/a::TestTable", ""),
    ("failed", "example.com/net/a::TestTable/one", "a_test.go:22: one is wrong"),
    ("passed", "example.com/net/a::TestTable/two_words", ""),
    ("passed", "example.com/net/b::TestOk", ""),
    ("failed", "example.com/net/b::TestPanics", "panic: boom [recovered]"),
    ("error", "example.com/net/c", "build failed"),
    ("passed", "example.com/net/d::TestOk", ""),
    ("lost", "example.com/net/d::TestExits", DIED),
    ("passed", "example.com/net/f::TestOk", ""),
]


@pytest.mark.parametrize(("parser", "name"), [(parse_go, "go-verbose.txt"), (parse_go_json, "go-json.txt")])
def test_the_verbose_output_and_the_stream_of_go_name_every_test(
    parser: Callable[[Lines], Parsed], name: str
) -> None:
    found = parsed(parser, name)
    assert (sorted(brief(found)), found.lists_all) == (sorted(OF_EVERY_TEST), True)


def test_the_plain_output_of_go_names_what_failed_and_is_not_all() -> None:
    found = parsed(parse_go, "go-plain.txt")
    failed = [each for each in OF_EVERY_TEST if each[0] in ("failed", "error")]
    died = ("error", "example.com/net/d", "exit status 3")
    assert (brief(found), found.lists_all) == ([*failed, died], False)


def test_the_tests_of_node_are_named_by_their_parents() -> None:
    assert brief(parsed(parse_tap, "node-tap.txt")) == [
        ("passed", "passes", ""),
        ("failed", "fails", "Expected values to be strictly equal:"),
        ("skipped", "skips", "no network"),
        ("skipped", "todo", "todo"),
        ("passed", "has # hash - and dash", ""),
        ("passed", "parent > child one", ""),
        ("failed", "parent > child two", "boom"),
        ("failed", "parent", "1 subtest failed"),
        ("passed", "suite > inner passes", ""),
        ("failed", "suite > inner fails", "listen EADDRINUSE: address already in use 127.0.0.1:8025"),
        ("failed", "broken suite > never", "test did not finish before its parent and was cancelled"),
        ("passed", "passes", ""),
        ("failed", "/home/me/c.test.js", "test failed"),
        ("failed", "/home/me/d.test.js", "test failed"),
    ]


def test_the_spec_reporter_of_node_names_the_same_tests() -> None:
    of_tap = {(outcome, test_id) for outcome, test_id, _ in brief(parsed(parse_tap, "node-tap.txt"))}
    of_spec = {(outcome, test_id) for outcome, test_id, _ in brief(parsed(parse_node_spec, "node-spec.txt"))}
    # Which of them are parents it does not say, so these have no result of their own.
    assert of_spec == of_tap - {("failed", "parent")}


def test_the_tests_of_cargo_are_named_by_crate() -> None:
    assert brief(parsed(parse_cargo, "cargo.txt")) == [
        ("skipped", "net_things::tests::ignored", "no network"),
        ("skipped", "net_things::tests::ignored_too", ""),
        ("passed", "net_things::tests::panics", ""),
        ("failed", "net_things::tests::fails", "assertion `left == right` failed: address in use"),
        ("passed", "net_things::tests::passes", ""),
        ("passed", "dies::ok", ""),
        ("passed", "net::integration", ""),
        ("failed", "net::returns_error", 'Error: "no"'),
        ("passed", "net_things::src/lib.rs - one (line 1)", ""),
    ]


def test_no_result_of_cargo_hides_another_of_a_binary_of_the_same_name() -> None:
    binary = "     Running tests/net.rs (target/debug/deps/net-0123456789abcde{})"
    failing = "test works ... FAILED\nfailures:\n---- works stdout ----\n{} went wrong\nfailures:"
    outputs = [failing.format("the first"), failing.format("the second"), "test works ... ok"]
    lines = "\n".join(f"{binary.format(number)}\n{output}" for number, output in enumerate(outputs)).splitlines()
    assert brief(parse_cargo(lines)) == [
        ("failed", "net::works", "the first went wrong"),
        ("failed", "net::works", "the second went wrong"),
        ("passed", "net::works", ""),
    ]


@pytest.mark.parametrize("plan", ["1..3", "1..3 # of this file"])
def test_tests_that_the_plan_of_a_tap_stream_announces_and_nobody_reports_are_lost(plan: str) -> None:
    found = parse_tap(["TAP version 14", plan, "ok 1 - a", "not ok 2 - b", "Bail out!"])
    assert not found.lists_all
    assert brief(found)[2:] == [("lost", "the rest of the plan", LOST.format(planned=3, reported=2))]


@pytest.mark.parametrize(
    "lines",
    [
        ["1..2", "ok 1 - a", "ok 2 - b"],
        ["ok 1 - a", "ok 2 - b", "1..2"],
        ["1..1", "ok 1 - a", "TAP version 14", "1..1", "ok 1 - b"],
        ["1..2", "ok 1 - a", "    1..4", "    ok 1 - inner", "ok 2 - b"],
        ["1..0 # SKIP nothing to test here"],
    ],
)
def test_a_plan_that_was_kept_adds_no_result(lines: list[str]) -> None:
    assert "lost" not in {outcome for outcome, *_ in brief(parse_tap(["TAP version 14", *lines]))}


def test_a_failure_has_its_text_and_a_duration() -> None:
    (failed,) = [each for each in parsed(parse_tap, "node-tap.txt").tests if each.id == "fails"]
    assert "1 !== 2" in failed.text
    assert failed.duration_s == pytest.approx(0.001903309)


PIECES = ["ok 1 - a", "not ok", "    ok", "# Subtest: ", "  ---", "  ...", "  error: |-", " # SKIP", "=== RUN   T"]
PIECES += ["✖ a (1ms)", "▶ a", "  ✔ b", " # TODO"]
PIECES += ["--- FAIL: T (1.5s)", "FAIL\tp\t0.1s", "test a ... ok", "---- a stdout ----", "     Running x (y-", "{"]
PIECES += ['{"Action":"fail","Package":"p","Test":"t","Elapsed":1e999}', '{"Action":[],"Package":{}}', "é", "\x00"]


@pytest.mark.parametrize("parser", PARSERS)
@given(lines=st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=3).map("".join), max_size=30))
def test_no_output_makes_a_parser_fail(parser: Callable[[Lines], Parsed], lines: list[str]) -> None:
    assert all(0 <= result.duration_s < float("inf") for result in parser(lines).tests)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "NaN", "-1", "true", '"1"'])
def test_a_duration_that_is_none_counts_as_0(number: str) -> None:
    event = f'{{"Action":"pass","Package":"p","Test":"t","Elapsed":{number}}}'
    assert [result.duration_s for result in parse_go_json([event]).tests] == [0.0]


def test_a_line_that_is_no_json_to_python_is_ignored() -> None:
    event = f'{{"Action":"pass","Package":"p","Test":"t","Elapsed":{"9" * 5000}}}'
    assert parse_go_json([event]).tests == []


@pytest.mark.parametrize("parser", PARSERS)
def test_of_more_results_than_a_report_can_hold_the_rest_is_left_out(
    parser: Callable[[Lines], Parsed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parasuite.record.outputs.results._RESULTS_MAX", 4)
    templates: dict[Callable[[Lines], Parsed], str] = {
        parse_go: "=== RUN   T{}",
        parse_go_json: '{{"Action":"run","Package":"p","Test":"T{}"}}',
        parse_tap: "ok 1 - T{}",
        parse_cargo: "test T{} ... ok",
        parse_node_spec: "✔ T{} (1ms)",
    }
    line = templates[parser]
    found = parser([line.format(number) for number in range(20)])
    assert (len(found.tests) <= 5, found.lists_all) == (True, False)


@pytest.mark.parametrize(
    ("words", "tool"),
    [
        (["go", "test", "./..."], TestTool.GO),
        (["/usr/local/go/bin/go", "test"], TestTool.GO),
        (["cargo", "test"], TestTool.CARGO),
        (["cargo", "+nightly", "test"], TestTool.CARGO),
        (["go", "vet", "test"], TestTool.NONE),
        (["go"], TestTool.NONE),
        (["node", "--test", "tests/"], TestTool.NODE),
        (["node", "tests/a.js"], TestTool.NONE),
        (["npm", "test"], TestTool.NONE),
        (["sh", "-c", "go test"], TestTool.NONE),
    ],
)
def test_the_command_tells_its_tool(words: list[str], tool: TestTool) -> None:
    assert Command(tuple(words)).tool is tool


@pytest.mark.parametrize(
    ("name", "tool", "count"),
    [
        ("go-verbose.txt", TestTool.GO, 12),
        ("go-verbose.txt", TestTool.NONE, 0),
        ("go-json.txt", TestTool.NONE, 12),
        ("node-tap.txt", TestTool.NONE, 14),
        ("cargo.txt", TestTool.CARGO, 9),
        ("cargo.txt", TestTool.NONE, 0),
        ("node-spec.txt", TestTool.NODE, 13),
        ("node-spec.txt", TestTool.NONE, 0),
        ("no such file", TestTool.GO, 0),
    ],
)
def test_only_an_unmistakable_output_is_read_without_knowing_the_tool(name: str, tool: TestTool, count: int) -> None:
    assert len(output_results(OUTPUTS, name, tool).tests) == count


def fake_go(parasuite: Parasuite, outputs: dict[int, str], status: int) -> str:
    """A program `go` that prints the output of its copy; its path."""
    path = parasuite.cwd / "go"
    for copy, text in outputs.items():
        (parasuite.cwd / f"output-{copy}").write_text(text)
    path.write_text(f"#!/bin/sh\ncat output-$PARASUITE_COPY\nexit {status}\n")
    path.chmod(0o755)
    return f"./{path.name}"


def test_a_command_that_is_gos_own_is_reported_test_by_test(parasuite: Parasuite) -> None:
    text = (OUTPUTS / "go-verbose.txt").read_text()
    fixed = text.replace("--- FAIL: TestFails", "--- PASS: TestFails")
    program = fake_go(parasuite, {0: text, 1: fixed}, 1)
    finished = parasuite("run", "-j", "2", "--sensors", "none", "--", program, "test", "-v", "./...")
    assert finished.code == 1
    assert bad_test(TestOutcome.FAILED, "example.com/net/a::TestFails", [0], 2) in finished.stdout
    assert counted(passed=11, failed=7, error=2, lost=2, skipped=2) in finished.verdict


def test_a_go_command_that_lists_no_passed_tests_lacks_none(parasuite: Parasuite) -> None:
    program = fake_go(parasuite, {0: (OUTPUTS / "go-plain.txt").read_text(), 1: "FAIL\tp\t0.1s\n"}, 1)
    finished = parasuite("run", "-j", "2", "--sensors", "none", "--", program, "test", "./...")
    assert "not-collected" not in finished.stdout
