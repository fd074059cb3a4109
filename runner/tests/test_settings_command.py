"""`parasuite settings`: every setting, its value, and where that comes from."""

from __future__ import annotations

import pytest
from parasuite.cli.settings import NO_PROJECT
from parasuite.plan.project import FILE_NAME
from parasuite.plan.settings import SETTINGS

from runner.tests.conftest import Finished, Parasuite

PROJECT = """\
[tool.parasuite]
command = ["./check.sh", "a word"]
timeout = 60

[tool.parasuite.profile.ci]
fail-on = "warning"
sensors = ["recorder", "sampler"]

[[tool.parasuite.ambient]]
port = 6379
reason = "redis"

[[tool.parasuite.suppress]]
id = "0123456789"
reason = "later"
"""


def rows(finished: Finished) -> dict[str, str]:
    """Each setting's origin and value, as printed, without the spaces that align them."""
    assert (finished.code, finished.stderr) == (0, "")
    table = finished.stdout.split("\n\n")[0].splitlines()
    return {name: " ".join(rest) for name, *rest in map(str.split, table)}


def test_every_stored_setting_is_listed_and_no_other(parasuite: Parasuite) -> None:
    stored = [setting.name for setting in SETTINGS.values() if not setting.is_option_only]
    assert list(rows(parasuite("settings"))) == ["setting", *stored]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("copies", "environment 3"),
        ("fail-on", "profile ci warning"),
        ("sensors", "profile ci recorder,sampler"),
        ("timeout", "pyproject.toml 60"),
        ("output-dir", "default .parasuite"),
        ("collect-junit", "default not set"),
        ("command", "pyproject.toml ./check.sh 'a word'"),
    ],
)
def test_each_value_is_listed_with_its_origin(parasuite: Parasuite, name: str, row: str) -> None:
    (parasuite.cwd / FILE_NAME).write_text(PROJECT)
    assert rows(parasuite("settings", "--profile", "ci", environ={"PARASUITE_JOBS": "3"}))[name] == row


def test_what_is_no_single_value_is_counted(parasuite: Parasuite) -> None:
    (parasuite.cwd / FILE_NAME).write_text(PROJECT)
    (parasuite.cwd / "parasuite-baseline.toml").write_text("[findings]\n0123456789 = 'baseline'\n")
    rest = parasuite("settings").stdout.split("\n\n")[1].splitlines()
    assert rest == [FILE_NAME, "profiles: ci", "ambient: 1 row", "suppress: 1 row", "baseline: 1 entry"]


def test_without_a_project_that_is_said(parasuite: Parasuite) -> None:
    assert NO_PROJECT.format(file=FILE_NAME) in parasuite("settings").stdout


def test_a_value_that_cannot_be_used_is_an_error(parasuite: Parasuite) -> None:
    finished = parasuite("settings", environ={"PARASUITE_TIMEOUT": "soon"})
    assert (finished.code, finished.stdout) == (2, "")
    assert finished.stderr == "parasuite: PARASUITE_TIMEOUT must be a number of seconds above 0, not 'soon'\n"
