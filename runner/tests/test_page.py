"""report.html as text: complete, self-contained, bounded, and deaf to what names contain."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.timeline import Timeline
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.results import TestResult
from parasuite.model.suppression import Suppressed
from parasuite.model.words import SuppressedBy, TestOutcome
from parasuite.reports.page import cards, test_data, timeline_data
from parasuite.reports.page.columns import NAME_MAX, shown
from parasuite.reports.page.cures import cure
from parasuite.reports.page.page import page
from parasuite.reports.timeline import OUTSIDE
from parasuite.reports.wording import printable

from runner.tests.building import a_finding, a_report, a_side, an_effect
from runner.tests.conftest import Parasuite
from runner.tests.pages import a_collision, a_hold, data_of, with_name_everywhere

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><!--",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7*7 }}",
    "\0\u202e\ud800\u2028",
]


class Elements(HTMLParser):
    """The tags of a page, and the text outside scripts and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = self._raw and tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text += data


def shape(text: str) -> list[tuple[str, list[str]]]:
    """The tags of a page with the names of their attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in Elements(text).tags]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_comes_from(name: str) -> None:
    text = page(with_name_everywhere(name))
    assert shape(text) == shape(page(with_name_everywhere("harmless")))
    assert printable(name) in Elements(text).text
    assert printable(name) in data_of(text, "timeline-data")["strings"]
    assert printable(name) in data_of(text, "test-data")["strings"]


@given(st.text(st.characters(), max_size=20))
def test_no_name_changes_the_elements_of_the_page(name: str) -> None:
    assert shape(page(with_name_everywhere(name + "!"))) == shape(page(with_name_everywhere("harmless")))


def test_a_page_is_only_characters_that_a_reader_sees() -> None:
    text = page(with_name_everywhere("\0\x1b[2J\u202e\u200b\ud800"))
    assert set(text) - {"\n"} == {char for char in text if char.isprintable()}


def test_a_long_name_is_cut_in_the_middle() -> None:
    name = "test_" + 10_000 * "x" + "_end"
    assert len(shown(name)) < NAME_MAX + 20
    assert (shown(name)[:7], shown(name)[-5:]) == ("test_xx", "x_end")
    assert len(page(with_name_everywhere(name))) < len(page(with_name_everywhere("short"))) + 60_000


def test_the_policy_names_the_script_and_the_style_by_their_hashes_and_allows_nothing_else() -> None:
    text = page(a_collision())
    policy = next(
        a["content"] or "" for tag, a in Elements(text).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    for kind, pattern in (("script", r'<script type="module">(.*?)</script>'), ("style", "<style>(.*?)</style>")):
        match = re.search(pattern, text, re.DOTALL)
        assert match is not None
        digest = base64.b64encode(hashlib.sha256(match.group(1).encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_on_the_page_leads_to_a_server() -> None:
    text = page(a_collision())
    links = [attributes.get("src") or attributes.get("href") for _, attributes in Elements(text).tags]
    assert {link for link in links if link and not link.startswith("#")} == {"data:,"}
    script = text.rpartition('<script type="module">')[2]
    assert not re.search(r"fetch\(|XMLHttpRequest|innerHTML|insertAdjacent|import ", script)


def test_a_finding_is_shown_with_both_sides_their_frames_and_its_cure() -> None:
    text = Elements(page(a_collision())).text
    for expected in (
        "TCP port 8025 is fixed: 2 parties asked for it",
        "tests/conftest.py:12 server",
        "tests/test_mail.py:40 test_quit",
        "+2.500 s",
        "pid 4711",
        a_finding().hint,
        "When it is innocent",
    ):
        assert expected in text


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_cure_without_a_link_to_a_file(cause: Cause) -> None:
    assert "<h4>" in cure(cause)
    assert "<a " not in cure(cause)


def test_the_timeline_has_a_lane_per_party_a_mark_per_effect_and_the_window_of_a_lost_port() -> None:
    data = data_of(page(a_collision()), "timeline-data")
    marks, text = data["marks"], data["strings"]
    assert data["lanes"] == ["copy 0", "copy 1"]
    assert [text[number] for number in marks["kind"]] == ["refused", "crosstalk", "lost window"]
    assert [(marks[name][0], marks[name][2]) for name in ("lane", "other", "at", "window")] == [
        (1, 0),
        (0, -1),
        (2_500_000, 4_500_000),
        (0, 400_000),
    ]
    assert data["findings"][0]["moment"] == [2_000_000, 2_500_000]
    assert [data["holds"][name][1] for name in ("lane", "start", "end", "asked")] == [0, 2_000_000, 5_000_000, 8025]


def test_a_stranger_has_the_last_lane() -> None:
    effect = an_effect(EffectKind.FOREIGN, a_side(0, at_ns=5), a_side(None, at_ns=1))
    data = data_of(page(a_report(findings=(a_finding(effects=(effect,)),))), "timeline-data")
    assert data["lanes"] == ["copy 0", "copy 1", OUTSIDE]


def test_the_tests_of_a_lane_are_stored_as_differences() -> None:
    report = a_collision()
    data = data_of(page(report), "timeline-data")
    tests = data["tests"]
    starts = list(accumulate(tests["after"]))
    drawn = [
        (lane, start, took, data["strings"][name], letter)
        for lane, start, took, name, letter in zip(
            tests["lane"], starts, tests["took"], tests["name"], tests["outcome"], strict=True
        )
    ]
    others = [f"tests/test_other.py::test_{number}" for number in range(3)]
    assert drawn == [
        *((copy, 100_000, 500_000, name, "P") for copy in range(2) for name in others),
        (1, 2_000_000, 1_000_000, "tests/test_mail.py::test_quit", "F"),
    ]


def test_findings_of_one_cause_share_its_cure() -> None:
    many = [a_finding(id=f"{number:010x}") for number in range(3)]
    text = page(a_report(findings=many))
    assert text.count('id="cure-hard-coded"') == 1
    assert text.count('href="#cure-hard-coded"') == 3


def test_what_a_large_run_leaves_out_is_counted_and_what_failed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_data, "TESTS_MAX", 2)
    monkeypatch.setattr(timeline_data, "MARKS_MAX", 1)
    report = a_collision()
    report = replace(report, timeline=Timeline(holds=(a_hold(0, 8025, 1, 2),), left_out=7, end_ns=5))
    data = data_of(page(report), "timeline-data")
    assert data["left_out"] == {"holds": 7, "marks": 2, "tests": 5}
    assert "F" in data["tests"]["outcome"]


def test_tests_have_a_letter_per_copy_and_the_worst_come_first() -> None:
    data = data_of(page(a_collision()), "test-data")
    assert data["outcomes"] == ["-F", "PP", "PP", "PP"]
    assert data["strings"][data["names"][0]] == "tests/test_mail.py::test_quit"


def test_rows_of_tests_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_data, "ROWS_MAX", 1)
    assert data_of(page(a_collision()), "test-data")["left_out"] == 3


def test_findings_beyond_those_shown_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parasuite.reports.page.page.FINDINGS_MAX", 1)
    monkeypatch.setattr(cards, "FINDINGS_MAX", 1)
    assert "1 more finding: see findings.json" in Elements(page(a_collision())).text


def test_a_suppressed_finding_is_shown_last_with_its_reason_and_is_not_counted() -> None:
    first, second = a_collision().findings
    suppressed = replace(
        first, suppressed=Suppressed(by=SuppressedBy.PROJECT, reason="the device has only this port")
    )
    text = page(replace(a_collision(), findings=(suppressed, second)))
    assert text.index('id="finding-bbbbbbbbbb"') < text.index('id="finding-aaaaaaaaaa"')
    assert "the device has only this port" in Elements(text).text
    assert "1 error" not in Elements(text).text
    assert "1 suppressed" in Elements(text).text


def test_a_failed_test_links_to_the_finding_that_explains_it() -> None:
    links = [attributes.get("href") for tag, attributes in Elements(page(a_collision())).tags if tag == "a"]
    assert "#finding-aaaaaaaaaa" in links


def test_a_run_without_anything_to_show_has_a_page() -> None:
    empty = a_report(copy_ends=[], results=[], findings=())
    assert data_of(page(empty), "timeline-data")["lanes"] == []
    lost = TestResult(id="t", outcome=TestOutcome.LOST, started_ns=5)
    assert "lost" in page(a_report(results=[[lost], []]))


def test_a_run_writes_a_page_unless_it_is_told_not_to(parasuite: Parasuite) -> None:
    run = ("run", "-j", "1", "--sensors", "none")
    with_page = parasuite(*run, "--", "true")
    assert (with_page.folder / "report.html").read_text().startswith("<!doctype html>")
    without = parasuite(*run, "--no-page", "--", "true")
    assert not (without.folder / "report.html").exists()
    parasuite("report", "--no-page")
    assert not (without.folder / "report.html").exists()
    parasuite("report")
    assert (without.folder / "report.html").exists()
