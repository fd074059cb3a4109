"""`# parasuite: allow[CAUSE] REASON`: in which lines it counts, for which findings, and how it is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.allowed import NO_BRACKETS, NO_REASON, UNUSABLE, parsed
from parasuite.judge.findings import Finding
from parasuite.judge.suppressions import with_suppressions
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.location import Location
from parasuite.model.suppression import AllowComment, Suppressed, allow_comment_in
from parasuite.model.words import Role, SuppressedBy
from parasuite.record.sources import allow_comments
from parasuite.reports.terminal import terminal

from runner.tests.building import a_finding, a_report, a_side, an_effect
from runner.tests.conftest import Parasuite

HARD_CODED = "# parasuite: allow[hard-coded] the device"


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        ("s.bind(('', 80))  # parasuite: allow[reuse] why", "# parasuite: allow[reuse] why"),
        ("listen(80); // parasuite: allow[reuse] why", "// parasuite: allow[reuse] why"),
        ("LISTEN 80 -- parasuite: allow[reuse] why", "-- parasuite: allow[reuse] why"),
        ("listen(80); /* parasuite: allow[reuse] why */", "/* parasuite: allow[reuse] why */"),
        ("listen(80)  #parasuite:allow[reuse] why\n", "#parasuite:allow[reuse] why"),
        ("print('parasuite: allow[reuse] why')", ""),
        ("listen(80)  # parasuite: allowed", ""),
    ],
)
def test_a_comment_begins_as_comments_do_in_most_languages(line: str, comment: str) -> None:
    assert allow_comment_in(line) == comment


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# parasuite: allow hard-coded why", NO_BRACKETS),
        ("# parasuite: allow[hard-coded]", NO_REASON),
        ("/* parasuite: allow[hard-coded] */", NO_REASON),
        ("# parasuite: allow[hardcoded] why", "no cause is called 'hardcoded'; did you mean hard-coded?"),
        ("# parasuite: allow[hard-coded, refused] why", "no cause is called 'refused'; did you mean"),
        ("# parasuite: allow[] why", "no cause is called '' (known: "),
    ],
)
def test_a_comment_that_allows_nothing_is_told(text: str, why: str) -> None:
    allowed, remarks = parsed([AllowComment("tests/test_it.py", 7, text)])
    said = UNUSABLE.format(text=text, file="tests/test_it.py", line=7, why=why)
    (remark,) = remarks
    assert (allowed, remark.text.startswith(said)) == ({}, True)
    assert remark.place == Location("tests/test_it.py", 7, "")


def suppressed(finding: Finding, *comments: tuple[str, int], text: str = HARD_CODED) -> Suppressed | None:
    """Whether and why *finding* is suppressed if there are *comments* at these lines."""
    found = [AllowComment(file, line, text) for file, line in comments]
    (marked,) = with_suppressions([finding], (), found, (), "2026-11-22").findings
    return marked.suppressed


LINES = "tests/helpers.py:7:serve tests/test_it.py:40:test_one"
SAME_LINES = a_finding(sides=(a_side(0, line=LINES), a_side(1, line=LINES)))


@pytest.mark.parametrize("place", [("tests/helpers.py", 7), ("tests/test_it.py", 40)])
def test_a_comment_counts_in_each_line_that_the_call_was_made_through(place: tuple[str, int]) -> None:
    assert suppressed(SAME_LINES, place) == Suppressed(SuppressedBy.COMMENT, "the device")


@pytest.mark.parametrize("place", [("tests/helpers.py", 8), ("tests/test_it.py", 7), ("helpers.py", 7)])
def test_a_comment_on_another_line_leaves_the_finding_as_it_is(place: tuple[str, int]) -> None:
    assert suppressed(SAME_LINES, place) is None


def test_a_comment_for_another_cause_leaves_the_finding_as_it_is() -> None:
    assert suppressed(SAME_LINES, ("tests/helpers.py", 7), text="# parasuite: allow[reuse] x") is None


def test_a_comment_may_allow_several_causes() -> None:
    text = "# parasuite: allow[reuse, hard-coded] the device"
    assert suppressed(SAME_LINES, ("tests/helpers.py", 7), text=text) == Suppressed(
        SuppressedBy.COMMENT, "the device"
    )


TWO_PLACES = (a_side(0, line="tests/test_a.py:7:test_a"), a_side(1, line="tests/test_b.py:9:test_b"))


def test_a_port_that_two_places_use_needs_a_comment_at_each() -> None:
    finding = a_finding(sides=TWO_PLACES)
    first, second = ("tests/test_a.py", 7), ("tests/test_b.py", 9)
    assert [suppressed(finding, *places) is not None for places in ([first], [second], [first, second])] == [
        False,
        False,
        True,
    ]


def test_a_second_place_that_only_an_effect_names_needs_a_comment_too() -> None:
    holder = a_side(1, Role.HELD, line="tests/test_b.py:9:test_b")
    refusal = an_effect(EffectKind.REFUSED, a_side(0, Role.WANTED), holder)
    finding = a_finding(sides=TWO_PLACES[:1], effects=(refusal,))
    assert suppressed(finding, ("tests/test_a.py", 7)) is None


def test_a_user_of_the_port_whose_line_is_not_known_is_not_allowed() -> None:
    finding = a_finding(sides=(*TWO_PLACES[:1], a_side(1)))
    assert suppressed(finding, ("tests/test_a.py", 7)) is None


def test_a_finding_about_one_function_needs_one_comment() -> None:
    drawn = a_finding(Cause.LOST_PORT, sides=TWO_PLACES)
    text = "# parasuite: allow[lost-port] the device"
    assert suppressed(drawn, ("tests/test_b.py", 9), text=text) is not None


def test_a_process_outside_the_run_needs_no_comment() -> None:
    talked = a_finding(Cause.STRANGER, sides=(a_side(None), *TWO_PLACES[:1]))
    text = "# parasuite: allow[stranger] the device"
    assert suppressed(talked, ("tests/test_a.py", 7), text=text) is not None


def test_a_reason_in_a_comment_cannot_forge_a_line_of_the_report() -> None:
    marked = a_finding(suppressed=Suppressed(SuppressedBy.COMMENT, "x\x1b[2J\r\u202e error [reuse]"))
    lines = [line.plain for line in terminal(a_report(findings=[marked]))]
    assert all(line.isprintable() for line in lines)
    assert any("suppressed by a comment: x\\x1b[2J\\r\\u202e error [reuse]" in line for line in lines)


def read(folder: Path, *places: tuple[str, int]) -> list[tuple[str, int]]:
    """Where there is a comment, of *places*."""
    found = allow_comments(folder, [Location(file, line, "f") for file, line in places])
    return [(each.file, each.line) for each in found]


def test_only_the_lines_that_are_asked_for_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"x  {HARD_CODED}\ny\nz  {HARD_CODED}\nz  {HARD_CODED}\n")
    assert read(tmp_path, ("a.py", 3), ("a.py", 2), ("a.py", 1), ("a.py", 5)) == [("a.py", 1), ("a.py", 3)]


def test_a_file_may_be_named_by_its_absolute_path_or_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HARD_CODED)
    (tmp_path / "link.py").symlink_to("a.py")
    absolute = str(tmp_path / "a.py")
    assert read(tmp_path / "elsewhere", (absolute, 1)) == [(absolute, 1)]
    assert read(tmp_path, ("link.py", 1)) == [("link.py", 1)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes and devices in its file system")
def test_what_is_no_file_has_no_comments_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to("nothing")
    names = ["pipe", "folder", "nowhere", "missing", "/dev/zero", "$TMPDIR/x.py", "a\0b", "x" * 5000]
    assert read(tmp_path, *((name, 1) for name in names)) == []


def test_a_file_without_an_end_of_line_is_read_up_to_a_bound(tmp_path: Path) -> None:
    with (tmp_path / "huge.py").open("wb") as stream:
        stream.truncate(1 << 40)
    assert read(tmp_path, ("huge.py", 2)) == []


@given(content=st.binary(max_size=300) | st.text(max_size=99).map(lambda text: (HARD_CODED + text).encode("utf-8")))
def test_any_file_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("source")
    (folder / "a.py").write_bytes(content)
    comments = allow_comments(folder, [Location("a.py", line, "f") for line in range(1, 5)])
    assert all(len(each.text) <= 500 and each.text.startswith("#") for each in comments)
    parsed(comments)


SUITE = """\
import socket

def test_on_all_addresses():
    socket.create_server(("", 0)).close()  # parasuite: allow[exposed] <b>other hosts</b> are the point

def test_with_a_comment_on_the_wrong_line():
    # parasuite: allow[exposed] not here
    socket.create_server(("", 0)).close()
"""


def test_a_comment_suppresses_what_it_stands_beside_and_a_later_report_says_the_same(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    source = suite(SUITE)
    finished = parasuite.run_pytest("-j", "1", "--fail-on", "warning", "tests/")
    found = {finding["places"][0]["function"]: finding["suppressed"] for finding in finished.findings}
    reason = "<b>other hosts</b> are the point"
    assert (finished.code, found) == (
        66,
        {
            "test_on_all_addresses": {"by": "comment", "reason": reason, "until": None},
            "test_with_a_comment_on_the_wrong_line": None,
        },
    ), finished.stdout
    source.write_text("")
    assert parasuite("report").stdout == finished.stdout
