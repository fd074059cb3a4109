"""Programs that people read JUnit files with find every finding, failure, lost test and dead copy in ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.report import Report
from parasuite.reports.junit_xml import junit, junit_merged

from netsupport.tests import real_tools
from runner.tests.bad_nights import PARTS, bad_night

Layout = Callable[[Report], str]
LAYOUTS = pytest.mark.parametrize("layout", [junit, junit_merged])
# In the file of all copies, the copy is in the name of a suite and in the class of a case.
WHERE: dict[Layout, str] = {junit: "copy-5", junit_merged: "failed in copy 5"}


def written(layout: Layout, folder: Path) -> Path:
    path = folder / "junit.xml"
    path.write_text(layout(bad_night()), encoding="utf-8")
    return path


def missing(shown: str, layout: Layout) -> list[str]:
    """What *shown*, made from the file, lacks."""
    parts = {**PARTS, "its copy": WHERE[layout]}
    return [name for name, text in parts.items() if text not in shown]


@LAYOUTS
def test_junitparser_finds_the_cases_that_failed(layout: Layout, tmp_path: Path) -> None:
    real_tools.package("junitparser")
    import junitparser

    cases = [case for suite in junitparser.JUnitXml.fromfile(str(written(layout, tmp_path))) for case in suite]
    bad = [
        case
        for case in cases
        if any(isinstance(each, junitparser.Failure | junitparser.Error) for each in case.result)
    ]
    shown = " ".join(
        f"{case.classname}.{case.name} {' '.join(str(each.message) for each in case.result)}" for case in bad
    )
    assert (len(bad), missing(shown, layout)) == (4, [])


@LAYOUTS
def test_junit2html_makes_a_page_that_shows_them(layout: Layout, tmp_path: Path) -> None:
    real_tools.package("junit2htmlreport")
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "junit2htmlreport", str(written(layout, tmp_path)), str(page)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert missing(page.read_text(), layout) == []


@LAYOUTS
def test_xunit_viewer_lists_them(layout: Layout, tmp_path: Path) -> None:
    viewer = real_tools.program("xunit-viewer")
    # The page that it can make has them compressed, for its own script.
    command = [viewer, "--console", "--no-color", "-r", str(written(layout, tmp_path))]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (made.returncode, missing(made.stdout, layout)) == (0, []), made.stderr
