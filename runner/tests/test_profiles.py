"""Profiles of pyproject.toml: which settings count, where they come from, and what is wrong with a profile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from parasuite.plan.errors import ConfigError
from parasuite.plan.options import origins, setting_options
from parasuite.plan.project import read_project

from runner.tests.conftest import Parasuite

PROFILES = """\
[tool.parasuite]
copies = 2
timeout = 60
fail-on = "never"

[tool.parasuite.profile.ci]
copies = 4
timeout = 120

[tool.parasuite.profile.nightly]
inherits = "ci"
copies = 16
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pyproject.toml of a project with profiles, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROFILES)
    return tmp_path / "pyproject.toml"


def parse(*arguments: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The values by field, and where they come from, by name."""
    context = click.Command("run", params=setting_options()).make_context("run", list(arguments))
    return context.params, {name: str(source) for name, source in origins(context).items()}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("profile", "copies", "timeout"),
    [
        ("", (2, "pyproject.toml"), (60.0, "pyproject.toml")),
        ("ci", (4, "profile ci"), (120.0, "profile ci")),
        ("nightly", (16, "profile nightly"), (120.0, "profile ci")),
    ],
)
@pytest.mark.parametrize("is_variable", [False, True])
def test_a_profile_goes_before_what_it_inherits_from_and_that_before_the_project(
    monkeypatch: pytest.MonkeyPatch,
    profile: str,
    copies: tuple[int, str],
    timeout: tuple[float, str],
    is_variable: bool,
) -> None:
    if is_variable:
        monkeypatch.setenv("PARASUITE_PROFILE", profile)
    values, sources = parse(*([] if is_variable else ["--profile", profile]))
    assert (values["copies"], sources["copies"]) == copies
    assert (values["timeout_s"], sources["timeout"]) == timeout
    assert (values["fail_on"], sources["fail-on"]) == ("never", "pyproject.toml")


@pytest.mark.usefixtures("project")
def test_the_environment_and_the_command_line_go_before_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARASUITE_TIMEOUT", "7")
    values, sources = parse("-j", "3", "--profile", "nightly")
    assert (values["copies"], sources["copies"]) == (3, "command line")
    assert (values["timeout_s"], sources["timeout"]) == (7.0, "environment")


@pytest.mark.usefixtures("project")
def test_the_option_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARASUITE_PROFILE", "nightly")
    assert parse("--profile", "ci")[0]["copies"] == 4


@pytest.mark.usefixtures("project")
def test_an_unknown_profile_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"pyproject.toml: unknown profile 'nightli'; did you mean nightly\?$"):
        parse("--profile", "nightli")


def test_a_profile_without_a_pyproject_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown profile 'ci'; pyproject.toml has no profiles$"):
        read_project(tmp_path, "ci")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tool.parasuite]\nprofile = 'ci'", "profile must be tables, each below [tool.parasuite.profile.NAME]"),
        ("[tool.parasuite.profile]\nci = 3", "profile.ci must be a table, below [tool.parasuite.profile.ci], not 3"),
        ("[tool.parasuite.profile.a]\ninherits = 3", "[tool.parasuite.profile.a] inherits must be the name of"),
        (
            "[tool.parasuite.profile.a]\ninherits = 'bb'\n[tool.parasuite.profile.b]",
            "[tool.parasuite.profile.a] inherits an unknown profile 'bb'; did you mean b?",
        ),
        (
            "[tool.parasuite.profile.a]\ninherits = 'b'\n[tool.parasuite.profile.b]\ninherits = 'a'",
            "profiles inherit from each other: a -> b -> a",
        ),
        ("[tool.parasuite.profile.a]\ninherits = 'a'", "profiles inherit from each other: a -> a"),
        (
            "[tool.parasuite.profile.a]\ntimout = 3",
            "unknown setting 'timout' in [tool.parasuite.profile.a]; did you mean timeout?",
        ),
        (
            "[tool.parasuite.profile.a]\ninherit = 'b'",
            "unknown setting 'inherit' in [tool.parasuite.profile.a]; did you mean inherits?",
        ),
        ("[tool.parasuite.profile.a]\ncopies = true", "[tool.parasuite.profile.a] copies must be a whole number"),
    ],
)
def test_a_mistake_in_any_profile_is_named_although_nobody_asks_for_it(
    project: Path, text: str, complaint: str
) -> None:
    project.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        parse()


def test_an_unusable_value_of_a_profile_is_named_with_its_place(project: Path) -> None:
    project.write_text("[tool.parasuite.profile.ci]\ncopies = 0\n")
    with pytest.raises(ConfigError, match=r"^\[tool.parasuite.profile.ci\] copies must be a whole number"):
        parse("--profile", "ci")


def test_a_run_records_the_profile_that_a_value_came_from_and_report_finds_its_folder(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text(
        "[tool.parasuite.profile.ci]\ncopies = 1\nsensors = 'none'\noutput-dir = 'ci'\n"
    )
    assert parasuite("run", "--profile", "ci", "--", "true").code == 0
    record = (parasuite.cwd / "ci" / "latest" / "run.json").read_text()
    assert '"copies": "profile ci"' in record
    assert parasuite("report", "--profile", "ci").code == 0
    assert parasuite("report", environ={"PARASUITE_PROFILE": "ci"}).code == 0
    assert parasuite("report").code == 2


def test_a_shell_completes_the_names_of_profiles(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text(PROFILES)
    asked = {"_PARASUITE_COMPLETE": "bash_complete", "COMP_WORDS": "parasuite run --profile n", "COMP_CWORD": "3"}
    assert parasuite(environ=asked).stdout.split() == ["plain,nightly"]
