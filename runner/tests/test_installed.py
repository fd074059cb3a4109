"""What a user installs: a wheel without our tests, whose corpus runs where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from parasuite.explain import page_lines
from parasuite.model.causes import Cause, EffectKind
from parasuite.reports.page.page import SCRIPTS

from runner.tests.conftest import Parasuite

CHECKOUT = Path(__file__).parent.parent.parent


DEMO = "parasuite/cli/demo_suite/tests/test_shop.py.in"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--wheel-dir", str(folder), str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_three_packages_an_entry_point_and_no_package_s_tests(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    packages = {"parasuite", "netsupport", "converted_tests"}
    assert {name.partition("/")[0] for name in names} == packages | {"netsupport_entry.py"}
    assert DEMO in names
    assert not [name for name in names if name != DEMO and ("/tests/" in name or "/benchmarks/" in name)]
    assert {"converted_tests/pytest.ini", "parasuite/py.typed", "netsupport/py.typed"} <= set(names)
    assert {f"parasuite/reports/page/{name}" for name in (*SCRIPTS, "page.css", "page.html.j2")} <= set(names)
    pages = {name for name in names if name.startswith("parasuite/") and name.endswith(".md")}
    assert pages == {f"parasuite/pages/{word}.md" for word in (*Cause, *EffectKind)}


@pytest.mark.parametrize("word", [Cause.HARD_CODED, EffectKind.REFUSED])
def test_an_installed_wheel_explains_a_word(wheel: Path, parasuite: Parasuite, word: str) -> None:
    site = parasuite.cwd / "site"
    zipfile.ZipFile(wheel).extractall(site)
    explained = parasuite("explain", word, environ={"PYTHONPATH": str(site)})
    assert (explained.code, explained.stdout.splitlines()) == (0, list(page_lines(word))), explained.stderr


def test_the_corpus_runs_from_an_installed_wheel_in_a_read_only_folder(wheel: Path, parasuite: Parasuite) -> None:
    site = parasuite.cwd / "site"
    zipfile.ZipFile(wheel).extractall(site)
    for path in (site, *site.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(site.rglob("*"))
    try:
        # Root may write in any folder; what must not be done is told by what lies there afterwards.
        environ = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1" if os.geteuid() == 0 else ""}
        finished = parasuite("run", "-j", "2", "-k", "test_poplib", environ=environ)
        assert finished.code == 0, finished.stdout + finished.stderr
        assert str(site) in finished.run["target"]["folder"]
        assert sorted(site.rglob("*")) == before
    finally:
        for path in (site, *site.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
