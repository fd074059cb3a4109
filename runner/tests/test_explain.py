"""`parasuite explain`: a page about each cause and effect, that is complete and whose code is right."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.explain import UNKNOWN_WORD, is_finding_id, overview, page_lines
from parasuite.model.causes import Cause, EffectKind, docs_page
from parasuite.plan.errors import ConfigError
from parasuite.record.finding_search import NO_RUN

from runner.tests.conftest import Parasuite

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "findings"
CURES = ["### Python, with netsupport", "### Python, without it", "### Another language, or a program"]
SECTIONS = {
    Cause: ["## What happened", "## How to read it", "## Cures", *CURES, "## When it is innocent"],
    EffectKind: ["## What happened", "## How to read it", "## What to do", "## When it is innocent"],
}
WORDS: list[Cause | EffectKind] = [*Cause, *EffectKind]


def python_blocks(word: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", "\n".join(page_lines(word)), re.MULTILINE | re.DOTALL)


def test_there_is_a_page_for_each_word_and_no_other() -> None:
    assert sorted(path.stem for path in PAGES.glob("*")) == sorted(WORDS)


@pytest.mark.parametrize("cause", Cause)
def test_the_page_that_a_finding_names_exists(cause: Cause) -> None:
    assert (ROOT / docs_page(cause)).is_file()


@pytest.mark.parametrize("word", WORDS)
def test_a_page_has_its_sections_in_order_and_is_headed_by_the_title(word: Cause | EffectKind) -> None:
    first, *rest = page_lines(word)
    expected = SECTIONS[type(word)]
    assert first == f"# {word}: {word.info.title}"
    assert [line for line in rest if line in expected] == expected


@pytest.mark.parametrize("word", WORDS)
def test_a_page_fits_a_terminal_of_80_columns(word: str) -> None:
    assert [line for line in page_lines(word) if len(line) > 80] == []


@pytest.mark.parametrize("word", WORDS)
def test_the_python_on_a_page_compiles_and_imports_what_exists(word: str) -> None:
    for block in python_blocks(word):
        for statement in ast.parse(block).body:
            if isinstance(statement, ast.Import):
                modules = [importlib.import_module(alias.name) for alias in statement.names]
                assert len(modules) == len(statement.names)
            elif isinstance(statement, ast.ImportFrom):
                module = importlib.import_module(statement.module or "")
                assert [alias.name for alias in statement.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("cause", Cause)
def test_a_cure_in_python_is_shown_as_code(cause: Cause) -> None:
    assert len(python_blocks(cause)) >= 2


def test_without_a_word_all_are_listed_with_title_and_severity(parasuite: Parasuite) -> None:
    done = parasuite("explain")
    assert (done.code, done.stdout.splitlines()) == (0, list(overview()))
    listed = {tuple(line.split(maxsplit=2)) for line in done.stdout.splitlines()}
    assert [word for word in WORDS if (word, word.info.severity, word.info.title) not in listed] == []


def test_a_word_prints_its_page(parasuite: Parasuite) -> None:
    done = parasuite("explain", "hard-coded")
    assert (done.code, done.stdout) == (0, (PAGES / "hard-coded.md").read_text("utf-8"))


def test_an_unknown_word_is_wrong_usage_with_a_suggestion(parasuite: Parasuite) -> None:
    done = parasuite("explain", "hardcoded")
    message = UNKNOWN_WORD.format(word="'hardcoded'", suggestion="; did you mean hard-coded?")
    assert (done.code, done.stdout, done.stderr) == (2, "", f"parasuite: {message}\n")


@pytest.mark.parametrize("word", ["", "redis", "../../README", "Hard-coded"])
def test_only_the_words_themselves_have_a_page(word: str) -> None:
    with pytest.raises(ConfigError):
        list(page_lines(word))


@pytest.mark.parametrize("word", WORDS)
def test_no_word_is_taken_for_an_id(word: str) -> None:
    assert not is_finding_id(word)


def test_an_id_prints_the_finding_of_the_newest_run_that_has_it_and_the_page_about_its_cause(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    source = suite('import socket\ndef test_it(): socket.create_server(("", 0)).close()\n')
    run = ("-j", "1", "--sensors", "recorder", "tests/")
    (finding,) = parasuite.run_pytest(*run).findings
    source.write_text("def test_it(): pass\n")
    assert parasuite.run_pytest(*run).findings == []
    done = parasuite("explain", finding["id"][:6])
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"warning [exposed] {finding['title']}\n    at tests/test_it.py:2 test_it\n")
    assert done.stdout.endswith((PAGES / "exposed.md").read_text("utf-8"))


def test_an_id_that_no_run_has_is_wrong_usage(parasuite: Parasuite) -> None:
    done = parasuite("explain", "0123456789")
    said = NO_RUN.format(where=".parasuite")
    assert (done.code, done.stdout, done.stderr) == (2, "", f"parasuite: {said}\n")


def test_a_shell_completes_the_words(parasuite: Parasuite) -> None:
    environ = {"_PARASUITE_COMPLETE": "bash_complete", "COMP_WORDS": "parasuite explain re", "COMP_CWORD": "2"}
    done = parasuite(environ=environ)
    assert done.stdout.split() == [f"plain,{word}" for word in ("reuse", "refused")], done.stderr
