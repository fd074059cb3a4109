"""report.html in Chromium, driven by playwright, with a mouse and with a keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from parasuite.judge.report import Report
from parasuite.judge.series import SeriesReport
from parasuite.reports.page.columns import shown
from parasuite.reports.page.page import page as page_text
from parasuite.reports.page.series_page import series_page

from netsupport.tests import real_tools
from runner.tests.pages import a_collision, with_name_everywhere
from runner.tests.series_reports import three_rounds

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Without them it asks its makers' servers for updates and lists. --no-sandbox: it refuses to run as root otherwise.
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SAFETY_NET_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    real_tools.package("playwright")
    path = real_tools.program_if_any(*CHROMIUM)
    if not path:
        pytest.skip(f"chromium: {real_tools.NOT_INSTALLED}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS.split(), timeout=2 * SAFETY_NET_MS)
        yield launched
        launched.close()


@dataclass
class Opened:
    """A page, what it wrote to its console, what it asked for."""

    page: Page
    console: list[str]
    requests: list[str]

    @property
    def status(self) -> str:
        return str(self.page.locator("#status").inner_text())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait_until_status_is_not(self, words: str) -> None:
        changed = "words => document.getElementById('status').textContent !== words"
        self.page.wait_for_function(changed, arg=words)

    def wait_for_status(self, part: str) -> None:
        self.page.locator("#status", has_text=part).wait_for()


Open = Callable[..., Opened]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open the page of a report; at the end it must have written nothing to its console and asked for nothing."""
    opened: list[Opened] = []

    def open_it(report: Report | SeriesReport, scheme: str = "light") -> Opened:
        text = series_page(report) if isinstance(report, SeriesReport) else page_text(report)
        (tmp_path / "report.html").write_text(text)
        url = (tmp_path / "report.html").as_uri()
        page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        page.set_default_timeout(SAFETY_NET_MS)
        it = Opened(page, [], [])
        page.on("console", lambda message: it.console.append(message.text))
        page.on("pageerror", lambda error: it.console.append(str(error)))
        page.on("request", lambda request: it.requests.append(request.url))
        page.goto(url)
        it.requests.remove(url)
        opened.append(it)
        return it

    yield open_it
    for it in opened:
        it.page.close()
    assert [(it.console, it.requests) for it in opened] == [([], [])] * len(opened)


def seconds_in_view(status: str) -> float:
    """Of "2.000 s to 2.500 s: ..."."""
    start, end = status.partition(":")[0].split(" to ")
    return float(end.removesuffix(" s")) - float(start.removesuffix(" s"))


def test_a_click_on_a_finding_shows_its_moment_and_both_sides_can_be_read(open_page: Open) -> None:
    opened = open_page(a_collision())
    card = opened.page.locator("#finding-aaaaaaaaaa")
    sides = card.locator(".effect").first.locator(".side")
    assert ["copy 1" in sides.nth(0).inner_text(), "copy 0" in sides.nth(1).inner_text()] == [True, True]
    before = seconds_in_view(opened.status)
    card.get_by_role("button", name="Show finding aaaaaaaaaa").click()
    opened.wait_for_status("Now at: refused: 127.0.0.1:8025")
    assert seconds_in_view(opened.status) < before / 2
    assert "copy 1, tests/test_mail.py::test_quit, because of copy 0" in opened.status


def test_the_timeline_zooms_with_buttons_and_wheel_and_is_dragged(open_page: Open) -> None:
    opened = open_page(a_collision())
    whole = opened.status
    opened.page.get_by_role("button", name="Zoom in").click()
    opened.wait_until_status_is_not(whole)
    once = opened.status
    assert seconds_in_view(once) == pytest.approx(0.6 * seconds_in_view(whole), rel=0.01)
    lanes = opened.page.locator("#view")
    lanes.hover(position={"x": 600, "y": 20})
    opened.page.mouse.down()
    lanes.hover(position={"x": 500, "y": 20})
    opened.page.mouse.up()
    opened.wait_until_status_is_not(once)
    assert seconds_in_view(opened.status) == pytest.approx(seconds_in_view(once), abs=0.002)
    opened.page.get_by_role("button", name="Whole run").click()
    opened.wait_for_status(whole)


def test_filters_leave_what_concerns_a_port_a_party_and_a_test(open_page: Open) -> None:
    opened = open_page(a_collision())
    page = opened.page
    page.get_by_text("What is in view, as a table").click()
    opened.wait_for_status("3 holds, 3 marks")
    page.get_by_label("Port or path").fill("8025")
    opened.wait_for_status("1 hold, 2 marks")
    page.locator("#event-rows tr").nth(2).wait_for()
    assert {row.split("\t")[3] for row in page.locator("#event-rows tr").all_inner_texts()} == {"8025"}
    page.get_by_role("button", name="Clear").click()
    opened.wait_for_status("3 holds, 3 marks")
    page.get_by_label("Party").select_option("copy 1")
    opened.wait_for_status("1 hold, 2 marks")
    page.get_by_label("Test", exact=True).fill("test_quit")
    opened.wait_for_status("0 holds, 1 mark")


def test_a_pointer_over_a_hold_shows_who_holds_it(open_page: Open) -> None:
    opened = open_page(a_collision())
    lanes, tip = opened.page.locator("#view"), opened.page.locator("#tip")
    place = lanes.bounding_box()
    assert place is not None
    found = set()
    # At 4 s of the 6 s, from the top of the lanes to their end.
    for y in range(4, int(place["height"]), 4):
        lanes.hover(position={"x": 150 + (place["width"] - 160) * 4 / 6, "y": y})
        found.add(tip.inner_text() if tip.is_visible() else "")
    assert any("127.0.0.1:8025 held for 3000.0 ms" in words and "test_help" in words for words in found)


def test_a_keyboard_is_enough(open_page: Open) -> None:
    opened = open_page(a_collision())
    page = opened.page

    def tab_to(selector: str) -> None:
        for _ in range(60):
            opened.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        pytest.fail(f"Tab never came to {selector}")

    tab_to("#finding-aaaaaaaaaa summary")
    opened.press("Enter", "Enter")  # Closed, and opened again.
    tab_to("#finding-aaaaaaaaaa .to-timeline")
    opened.press("Enter")
    opened.wait_for_status("Now at: refused")
    assert page.evaluate("document.activeElement.id") == "view"
    opened.press("n")
    opened.wait_for_status("Now at: crosstalk")
    opened.press("p")
    opened.wait_for_status("Now at: refused")
    near = opened.status
    opened.press("-")
    opened.wait_until_status_is_not(near)
    assert seconds_in_view(opened.status) > seconds_in_view(near)
    opened.press("0")
    opened.wait_for_status("0.000 s to 6.000 s")
    tab_to("#events summary")
    opened.press("Enter")
    page.locator("#event-rows tr").first.wait_for()
    tab_to("#test-search")
    page.keyboard.type("quit")
    page.locator("#test-count", has_text="1 test").wait_for()


@pytest.mark.parametrize(
    "name", ["<script>document.title = 'obeyed'</script>", "\"'><b>", "a\0b", "\u202etxt.\u2066", "x" * 10_000]
)
def test_a_hostile_name_is_shown_as_text(open_page: Open, name: str) -> None:
    opened = open_page(with_name_everywhere(name))
    page = opened.page
    page.get_by_text("What is in view, as a table").click()
    cells = page.locator("#event-rows code", has_text=shown(name)[:20])
    cells.first.wait_for()
    assert page.locator("#test-rows code").first.inner_text().startswith(shown(name)[:20])
    assert page.locator("h3", has_text=shown(name)[:20]).count() == 1
    assert "obeyed" not in page.title() or name in page.title()
    assert page.locator("main b, main script").count() == 0
    # Nothing is wider than the window, so that no name hides the others.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("report", [a_collision, three_rounds])
def test_axe_finds_no_violation(open_page: Open, report: Callable[[], Report | SeriesReport], scheme: str) -> None:
    real_tools.package("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    opened = open_page(report(), scheme)
    opened.page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    results = Axe().run(opened.page)
    found = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in results.response["violations"]]
    assert found == []


def test_the_page_of_a_series_shows_in_which_rounds_a_test_failed(open_page: Open) -> None:
    page = open_page(three_rounds()).page
    assert page.locator("#test-rows tr").count() == 2
    page.get_by_label("only those that failed in some round").check()
    assert page.locator("#test-rows code").all_inner_texts() == ["t::shaky"]
    assert page.get_by_role("img", name="round 1 passed, round 2 failed").is_visible()
    assert page.locator("#test-rows .rate").inner_text() == "1 of 2"


def test_a_print_has_the_findings_and_no_controls(open_page: Open) -> None:
    opened = open_page(a_collision())
    opened.page.emulate_media(media="print")
    assert opened.page.locator("#filters").is_hidden()
    assert opened.page.locator("#finding-aaaaaaaaaa .sides").first.is_visible()
