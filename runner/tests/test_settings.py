"""The table of settings: each row gives an option, a key of pyproject.toml, a variable, help and completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from parasuite.plan.arguments import arguments
from parasuite.plan.errors import ConfigError
from parasuite.plan.launch import launches
from parasuite.plan.options import origins, setting_options
from parasuite.plan.project import read_project
from parasuite.plan.setting import Origin
from parasuite.plan.settings import SETTINGS, Settings
from parasuite.plan.targets import Command, PytestTree

from runner.tests.conftest import Parasuite

STORED = {field: setting for field, setting in SETTINGS.items() if not setting.is_option_only}
# For each setting: three texts, and the values that they are read as.
EXAMPLES: dict[str, list[tuple[str, object]]] = {
    "copies": [("3", 3), ("4", 4), ("5", 5)],
    "timeout_s": [("1", 1.0), ("2.5", 2.5), ("1e3", 1000.0)],
    "fail_on": [("never", "never"), ("warning", "warning"), ("error", "error")],
    "fail_fast": [("copy", "copy"), ("never", "never"), ("all", "all")],
    "exit_code_from": [("suite", "suite"), ("parasuite", "parasuite"), ("suite", "suite")],
    "output_format": [("json", "json"), ("concise", "concise"), ("sarif", "sarif")],
    "output_dir": [("a", Path("a")), ("b/c", Path("b/c")), ("/d", Path("/d"))],
    "baseline": [("a.toml", Path("a.toml")), ("b/c.toml", Path("b/c.toml")), ("/d.toml", Path("/d.toml"))],
    "python": [("python3", "python3"), ("./python", "./python"), ("/bin/python", "/bin/python")],
    "collect_junit": [("a*", "a*"), ("b", "b"), ("c-{copy}", "c-{copy}")],
    "control": [("1", 1), ("3", 3), ("9", 9)],
    "prove_s": [("1", 1.0), ("2.5", 2.5), ("1e3", 1000.0)],
    "network": [("private", "private"), ("host", "host"), ("private", "private")],
    "port_range": [("64", 64), ("128", 128), ("256", 256)],
    "repeat": [("1", 1), ("2", 2), ("3", 3)],
    "duration_s": [("90", 90.0), ("30m", 1800.0), ("1h30m1.5s", 5401.5)],
    "stagger_s": [("1", 1.0), ("0.5", 0.5), ("2", 2.0)],
    "start": [("fork", "fork"), ("exec", "exec"), ("fork", "fork")],
    "seed": [("0", 0), ("7", 7), ("4294967295", 4294967295)],
    "until": [("failure", "failure"), ("finding", "finding"), ("failure", "failure")],
    "sensors": [("none", ()), ("auto", ("auto",)), ("recorder, sampler", ("recorder", "sampler"))],
    "page": [("false", False), ("1", True), ("no", False)],
    "trace": [("true", True), ("1", True), ("no", False)],
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
    return context.params, {name: source.origin for name, source in origins(context).items()}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("field", STORED)
def test_arguments_give_a_parasuite_elsewhere_the_same_settings(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = STORED[field]
    for text, _ in EXAMPLES[field]:
        monkeypatch.setenv(setting.environment_variables[0], text)
        context = click.Command("run", params=setting_options()).make_context("run", ["-k", "-one or two"])
        words = arguments(Settings(**context.params), origins(context), without=())
        monkeypatch.delenv(setting.environment_variables[0])
        assert parse(*words)[0] == context.params


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
        lambda: monkeypatch.setenv(setting.environment_variables[0], in_environment),
    ):
        prepare()
        values, sources = parse()
        seen.append((values[field], sources[setting.name]))
    flag = setting.option_flags[-1]
    values, sources = parse(*([flag.replace("--", "--no-")] if setting.is_switch else [flag, in_option]))
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
        ("page = false", "page", False),
        ("sensors = ['recorder', 'sampler']", "sensors", ("recorder", "sampler")),
    ],
)
def test_pyproject_may_use_the_types_of_toml(project: Path, line: str, field: str, value: object) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    assert parse()[0][field] == value


@pytest.mark.parametrize(
    "line",
    [
        "copies = 0",
        "copies = 2.0",
        "copies = '2.0'",
        "timeout = inf",
        "sensors = [1]",
        "repeat = 0",
        "duration = '0m'",
        "duration = 'm'",
        "duration = '1m1h'",
        "duration = inf",
        "page = 0",
    ],
)
def test_an_unusable_value_in_pyproject_is_named_with_its_place(project: Path, line: str) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    with pytest.raises(ConfigError, match=rf"\[tool\.parasuite\] {line.split()[0]} must be "):
        parse()


def test_a_key_for_a_setting_that_is_only_an_option_is_refused(project: Path) -> None:
    project.write_text("[tool.parasuite]\nkeyword = 'x'\n")
    with pytest.raises(ConfigError, match="unknown setting 'keyword'"):
        parse()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("flag", ["-j", "--copies", "--jobs"])
def test_the_number_of_copies_has_three_options(flag: str) -> None:
    assert parse(flag, "3")[0]["copies"] == 3


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("variable", ["PARASUITE_JOBS", "PARASUITE_COPIES"])
def test_the_number_of_copies_has_two_variables_and_an_error_names_the_one_that_was_used(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "3")
    assert parse()[0]["copies"] == 3
    monkeypatch.setenv(variable, "many")
    with pytest.raises(ConfigError, match=f"^{variable} must be a whole number"):
        parse()


@pytest.mark.usefixtures("project")
def test_in_a_copy_the_number_of_copies_that_parasuite_has_set_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARASUITE_RUN_ID", "20260101T000000Z-0000")
    monkeypatch.setenv("PARASUITE_COPIES", "7")
    assert parse()[1]["copies"] is Origin.DEFAULT
    monkeypatch.setenv("PARASUITE_JOBS", "3")
    assert parse()[0]["copies"] == 3


@pytest.mark.parametrize(
    ("key", "meant"),
    [("timout", "timeout"), ("jobs", "copies"), ("fail_on", "fail-on"), ("targets", "target"), ("cmd", "command")],
)
def test_the_error_for_an_unknown_key_says_which_one_may_have_been_meant(project: Path, key: str, meant: str) -> None:
    project.write_text(f"[tool.parasuite]\n{key} = 3\n")
    with pytest.raises(ConfigError, match=rf"unknown setting '{key}' in \[tool.parasuite\]; did you mean {meant}\?$"):
        parse()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PARASUITE_TIMOUT", "; did you mean PARASUITE_TIMEOUT?"),
        ("PARASUITE_JOB", "; did you mean PARASUITE_JOBS?"),
        ("PARASUITE_IGNORE_LIMIT", "; did you mean PARASUITE_IGNORE_LIMITS?"),
        ("PARASUITE_KEYWORD", " (known: PARASUITE_BASELINE, PARASUITE_COLLECT_JUNIT, "),
    ],
)
def test_an_unknown_variable_is_an_error_that_says_which_one_may_have_been_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "")
    with pytest.raises(ConfigError, match=re.escape(f"unknown variable {variable} in the environment{said}")):
        parse()


def test_no_variable_that_parasuite_sets_for_a_copy_is_unknown_to_a_parasuite_in_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.parent
    (launch,) = launches(
        Command(("true",)), copies=1, python="", pytest_args=(), run_id="r", run_dir=folder, scratch_dir=folder,
        cwd=folder, environ={"PYTHONDONTWRITEBYTECODE": "1"}, recorder_mode="pages", clock="time:[1] 0",
    )  # fmt: skip
    for name, value in launch.env.items():
        monkeypatch.setenv(name, value)
    assert parse()[1]["copies"] is Origin.DEFAULT


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("target = 'tests'", PytestTree("tests")),
        ("command = ['./check.sh', 'a word']", Command(("./check.sh", "a word"))),
        ("command = './check.sh \"a word\" $HOME'", Command(("./check.sh", "a word", "$HOME"))),
    ],
)
def test_a_project_names_what_is_run_in_its_own_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, line: str, target: object
) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    below = project.parent / "tests"
    below.mkdir()
    (project.parent / "check.sh").write_text("#!/bin/sh\n")
    (project.parent / "check.sh").chmod(0o755)
    monkeypatch.chdir(below)
    found = read_project(below)
    assert (found.chosen_target(), found.folder) == (target, project.parent)


def test_a_project_that_names_nothing_to_run_leaves_that_open(project: Path) -> None:
    project.write_text("[tool.parasuite]\ncopies = 3\n")
    assert read_project(project.parent).chosen_target() is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("target = 3", "target must be a path, not 3"),
        ("target = ''", "target must be a path, not ''"),
        ('command = "a \'b"', "command must be a command line, or a list of its words"),
        ("command = ''", "command must be a command line, or a list of its words"),
        ("command = []", "command must be a command line, or a list of its words"),
        ("command = ['a', 3]", "command must be a command line, or a list of its words"),
        ("command = true", "command must be a command line, or a list of its words"),
        ("command = 'a'\ntarget = 'b'", "has both target and command"),
    ],
)
def test_a_target_or_command_that_cannot_be_used_is_named_in_the_error(
    project: Path, line: str, complaint: str
) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        read_project(project.parent)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("target = 'no/tests'", "no such file or folder: no/tests"),
        ("command = './no.sh'", "no such command: ./no.sh"),
        ("command = 'no-such-command x'", "no such command: no-such-command"),
    ],
)
def test_a_target_or_command_that_does_not_exist_is_named_with_the_file_that_names_it(
    project: Path, line: str, complaint: str
) -> None:
    project.write_text(f"[tool.parasuite]\n{line}\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{project}: {complaint}')}$"):
        read_project(project.parent).chosen_target()


def test_a_folder_that_is_called_pyproject_toml_is_an_error(project: Path) -> None:
    project.unlink()
    project.mkdir()
    with pytest.raises(ConfigError, match=f"^{re.escape(str(project))} is not a file"):
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


def test_the_page_about_settings_lists_every_setting_of_pyproject() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    names = [*(setting.name for setting in STORED.values()), "target", "command"]
    assert [name for name in names if f"`{name}`" not in page] == []
