"""report.html of a series as text: rates of findings and tests, rounds with a link to the page of each."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.series import SeriesReport
from parasuite.model.causes import EffectKind
from parasuite.model.run_summary import TestCount
from parasuite.reports.page import series_page as module
from parasuite.reports.page.series_page import series_page, series_test_data
from parasuite.reports.wording import printable

from runner.tests.conftest import Parasuite
from runner.tests.pages import data_of
from runner.tests.series_reports import FAILED, PASSED, a_series, three_rounds
from runner.tests.summaries import a_finding, a_run, history_of


class Seen(HTMLParser):
    """The tags of a page, its text outside scripts and style, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._raw = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._raw = tag in ("script", "style")
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        self._raw = self._raw and tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text += data


def test_a_finding_is_shown_with_its_rates_and_a_link_to_the_page_of_the_last_round_that_had_it() -> None:
    seen = Seen(series_page(three_rounds()))
    assert "a port was lost" in seen.text
    assert "in 2 of 2 rounds (100 %, 95 % interval 34 to 100 %)" in seen.text
    assert f"{EffectKind.REFUSED}" in seen.text
    assert "in 1 of 2 rounds (50 %, 95 % interval 9 to 91 %)" in seen.text
    assert "../../runs/20260101T000002Z-0000/report.html#finding-0123456789" in seen.links


def test_every_round_is_listed_with_its_verdict_and_a_link_to_its_page() -> None:
    seen = Seen(series_page(three_rounds(pages=["../../runs/a/report.html", "", "../../runs/c:d/report.html"])))
    pages = [link for link in seen.links if link.endswith("report.html")]
    assert pages == ["../../runs/a/report.html", "../../runs/c%3Ad/report.html"]
    assert "unfinished" in seen.text
    assert "20260101T000001Z-0000" in seen.text


def test_a_test_has_a_letter_for_each_round_and_those_that_failed_come_first() -> None:
    data = data_of(series_page(three_rounds()), "test-data")
    assert [data["strings"][name] for name in data["names"]] == ["t::shaky", "t::steady"]
    assert (data["outcomes"], data["passed"], data["of"]) == (["PF", "PP"], [1, 2], [2, 2])
    assert data["last"] == ["9 to 91 %", "34 to 100 %"]
    assert (data["unit"], data["first"]) == ("round", 1)


def test_only_the_last_rounds_of_a_test_are_drawn_and_only_the_worst_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CELLS_MAX", 2)
    monkeypatch.setattr(module, "ROWS_MAX", 1)
    report = a_series(*(a_run(n, tests={"t::steady": PASSED, "t::shaky": (FAILED, PASSED)[n % 2]}) for n in range(5)))
    data = series_test_data(report.history.tests, 5)
    assert (data["first"], data["outcomes"], data["left_out"]) == (4, ["PF"], 1)
    assert "Rounds, the last 2" in Seen(series_page(report)).text


@given(st.lists(st.sampled_from([None, PASSED, FAILED, TestCount()]), max_size=12))
def test_the_letters_of_a_test_agree_with_its_rate(counts: list[TestCount | None]) -> None:
    runs = [a_run(number, tests={} if count is None else {"t": count}) for number, count in enumerate(counts)]
    for test in history_of(*runs).tests:
        letters = ["-" if not count or not count.ran else "F" if count.failed else "P" for count in counts]
        assert test.outcomes == "".join(letters)[: len(test.outcomes)]
        assert set(letters[len(test.outcomes) :]) <= {"-"}
        assert (test.passed.count, test.passed.of) == (letters.count("P"), len(letters) - letters.count("-"))


@given(st.text(st.characters(), min_size=1, max_size=20))
def test_a_name_is_text_wherever_it_comes_from(name: str) -> None:
    def named(word: str) -> SeriesReport:
        found = a_finding(title=word, place=word)
        run = a_run(findings=(found,), tests={word: FAILED}, verdict=word, host=word, remarks=(word,))
        return a_series(run, reason=word, folder=word, missing=[word], root=word)

    text = series_page(named(name + "!"))
    assert Seen(text).tags == Seen(series_page(named("harmless"))).tags
    assert printable(name + "!") in Seen(text).text
    assert set(text) - {"\n"} == {char for char in text if char.isprintable()}


def test_a_series_writes_a_page_with_links_that_work_and_its_rounds_say_which_they_are(
    parasuite: Parasuite, tmp_path: Path
) -> None:
    tree = tmp_path / "tests"
    tree.mkdir()
    (tree / "test_it.py").write_text("def test_it():\n    pass\n")
    run = ("run", "-j", "1", "--sensors", "none", "--repeat", "2", str(tree))
    parasuite(*run)
    series = (parasuite.cwd / ".parasuite" / "latest").resolve()
    seen = Seen((series / "report.html").read_text())
    pages = [link for link in seen.links if link.endswith("report.html")]
    assert len(pages) == 2
    for number, page in enumerate(pages, 1):
        assert f"round {number} of 2" in (series / page).read_text()
    (series / "report.html").unlink()
    parasuite("report", "--no-page")
    assert not (series / "report.html").exists()
    parasuite("merge", "--no-page", str(series), "-o", "merged")
    assert not (parasuite.cwd / "merged" / "report.html").exists()
    parasuite(*run, "--no-page")
    assert not (parasuite.cwd / ".parasuite" / "latest" / "report.html").exists()
