"""The table of settings: each row gives an option, a key of pyproject.toml, a variable, help and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from parasuite.plan.errors import ConfigError
from parasuite.plan.options import origins, setting_options
from parasuite.plan.settings import SETTINGS, Origin

from runner.tests.conftest import Parasuite

STORED = {field: setting for field, setting in SETTINGS.items() if not setting.is_option_only}
# For each setting: three texts, and the values that they are read as.
EXAMPLES: dict[str, list[tuple[str, object]]] = {
    "copies": [("3", 3), ("4", 4), ("5", 5)],
    "timeout_s": [("1", 1.0), ("2.5", 2.5), ("1e3", 1000.0)],
    "fail_on": [("never", "never"), ("warning", "warning"), ("error", "error")],
    "exit_code_from": [("suite", "suite"), ("parasuite", "parasuite"), ("suite", "suite")],
    "output_dir": [("a", Path("a")), ("b/c", Path("b/c")), ("/d", Path("/d"))],
    "python": [("python3", "python3"), ("./python", "./python"), ("/bin/python", "/bin/python")],
    "collect_junit": [("a*", "a*"), ("b", "b"), ("c-{copy}", "c-{copy}")],
    "sensors": [("none", ()), ("auto", ("auto",)), ("recorder, sampler", ("recorder", "sampler"))],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pyproject.toml of an empty project, which is the current folder; no variable of parasuite is set."""
    for name in [name for name in os.environ if name.startswith("PARASUITE")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path / "pyproject.toml"


def parse(*arguments: str) -> tuple[dict[str, Any], dict[str, Origin]]:
    """The values by field, and the origins by name."""
    context = click.Command("run", params=setting_options()).make_context("run", list(arguments))
    return context.params, origins(context)


@pytest.mark.parametrize("field", STORED)
def test_the_command_line_overrides_the_environment_which_overrides_pyproject(
    field: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = STORED[field]
    (in_file, file_value), (in_environment, environment_value), (in_option, option_value) = EXAMPLES[field]
    seen = []
    for prepare in (
        lambda: None,
        lambda: project.write_text(f"[tool.parasuite]\n{setting.name} = '{in_file}'\n"),
        lambda: monkeypatch.setenv(str(setting.environment_variable), in_environment),
    ):
        prepare()
        values, sources = parse()
        seen.append((values[field], sources[setting.name]))
    values, sources = parse(setting.option_flags[-1], in_option)
    seen.append((values[field], sources[setting.name]))
    assert seen[0][1] is Origin.DEFAULT
    assert seen[1:] == [
        (file_value, Origin.PROJECT),
        (environment_value, Origin.ENVIRONMENT),
        (option_value, Origin.COMMAND_LINE),
    ]


def test_an_empty_variable_is_not_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write_text("[tool.parasuite]\ncopies = 3\n")
    monkeypatch.setenv("PARASUITE_JOBS", "")
    values, sources = parse()
    assert (values["copies"], sources["copies"]) == (3, Origin.PROJECT)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("copies = 3", "copies", 3),
        ("timeout = 2", "timeout_s", 2.0),
        ("timeout = 2.5", "timeout_s", 2.5),
        ("sensors = ['recorder', 'sampler']", "sensors", ("recorder", "sampler")),
    ],
)
def test_pyproject_may_use_the_types_of_toml(project: Path, line: str, field: str, value: object) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    assert parse()[0][field] == value


@pytest.mark.parametrize("line", ["copies = 0", "copies = 2.0", "copies = '2.0'", "timeout = inf", "sensors = [1]"])
def test_an_unusable_value_in_pyproject_is_named_with_its_place(project: Path, line: str) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    with pytest.raises(ConfigError, match=rf"\[tool\.parasuite\] {line.split()[0]} must be "):
        parse()


def test_a_key_for_a_setting_that_is_only_an_option_is_refused(project: Path) -> None:
    project.write_text("[tool.parasuite]\nkeyword = 'x'\n")
    with pytest.raises(ConfigError, match="unknown setting 'keyword'"):
        parse()


def test_help_lists_every_setting_and_needs_no_valid_pyproject(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\nnonsense = 1\n")
    finished = parasuite("run", "--help")
    words = finished.stdout.split()
    assert (finished.code, finished.stderr) == (0, "")
    missing = [flag for each in SETTINGS.values() for flag in each.option_flags if flag not in words]
    assert [flag for flag in missing if f"{flag}," not in words] == []


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        ("run --fail-on w", ["plain,warning"]),
        ("run --sensors recorder,s", ["plain,recorder,seccomp", "plain,recorder,sampler"]),
        ("run --output-dir bu", ["dir,bu"]),
        ("run --coll", ["plain,--collect-junit"]),
        ("doctor --sensors a", ["plain,auto"]),
    ],
)
def test_a_shell_completes_options_and_values(parasuite: Parasuite, words: str, proposed: list[str]) -> None:
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\nnonsense = 1\n")
    asked = {"_PARASUITE_COMPLETE": "bash_complete", "COMP_WORDS": f"parasuite {words}"}
    done = subprocess.run(
        [sys.executable, "-m", "parasuite"],
        cwd=parasuite.cwd,
        env={**parasuite.environ, **asked, "COMP_CWORD": str(len(words.split()))},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == proposed, done.stderr


def test_the_readme_lists_every_setting_of_pyproject() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert [setting.name for setting in STORED.values() if f"`{setting.name}`" not in readme] == []
