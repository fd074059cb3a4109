"""What the documents say of files and figures agrees with the tree and with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from parasuite.cli.main import _main as main_group
from parasuite.plan.options import SettingOption
from parasuite.plan.settings import SETTINGS
from parasuite.reports.registry import REPORT_FILES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def named_in_contributing() -> Iterator[str]:
    """The paths of the table "to add, change, and always"."""
    for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines():
        if line.startswith("| a"):
            yield from re.findall(r"`([\w*/]+(?:/|\.py|\.md|\.json|\.toml))`", line)


def test_every_file_that_contributing_names_exists() -> None:
    roots = (ROOT, ROOT / "runner" / "parasuite")
    # converted_tests/test_MODULE stands for one folder a module, support.py and fixtures.py for the files in it.
    names = [name.replace("MODULE", "ssl") for name in named_in_contributing()]
    missing = [
        name
        for name in names
        if name not in ("support.py", "fixtures.py") and not any(list(root.glob(name)) for root in roots)
    ]
    assert (len(names) > 20, missing) == (True, [])


def test_every_module_in_the_table_of_rooms_exists() -> None:
    parasuite = ROOT / "runner" / "parasuite"
    table = re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    named = [(room, module) for room, modules in table for module in re.findall(r"`(\w+)/?`", modules)]
    files = {
        path.with_suffix("").relative_to(parasuite).parts for path in parasuite.rglob("*") if "__" not in path.name
    }
    missing = [each for each in named if not any((file[0], file[-1]) == each for file in files)]
    missing += [(room, "") for room, _ in table if (room,) not in files]
    assert (len(named) > 30, missing) == (True, [])


def test_readme_and_sensors_agree_on_the_share_of_listeners_that_the_sampler_sees() -> None:
    readme = re.search(r"sees (\d+) % of listeners that live 200 ms, (\d+) %", (ROOT / "README.md").read_text())
    row = re.search(r"\| psutil every 1 s \|(.*)", (ROOT / "docs" / "sensors.md").read_text())
    assert readme is not None
    assert row is not None
    of_10_ms, of_200_ms = (row.group(1).split("|")[column].strip() for column in (2, 4))
    assert [f"{share} %" for share in readme.groups()] == [of_200_ms, of_10_ms]


@pytest.mark.parametrize("name", [file.name for file in REPORT_FILES])
def test_the_description_of_the_run_folder_has_every_report(name: str) -> None:
    assert re.search(rf"^      {re.escape(name)} ", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)


def options() -> Iterator[tuple[click.Command, click.Option]]:
    """Every option of every command, with its command."""
    context = click.Context(main_group)
    for name in main_group.list_commands(context):
        command = main_group.get_command(context, name)
        assert command is not None
        yield from ((command, option) for option in command.params if isinstance(option, click.Option))


def test_every_option_is_in_the_docs() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    flags = {flag for _, option in options() for flag in (*option.opts, *option.secondary_opts)}
    assert [flag for flag in sorted(flags) if not re.search(rf"{re.escape(flag)}(?![\w-])", text)] == []


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.is_switch])
def test_the_help_of_a_switch_says_which_way_it_is_by_default(name: str) -> None:
    record = SettingOption(name).get_help_record(click.Context(main_group))
    assert record is not None
    assert ("[default: (no-" in record[1]) == (SETTINGS[name].default == "false")


def test_the_help_of_every_option_says_its_default() -> None:
    records = [(option.opts, option.get_help_record(click.Context(command))) for command, option in options()]
    # A flag without an opposite is off.
    flags = {"--help", "--update"}
    without = [opts for opts, record in records if record and "[default" not in record[1] and not flags & set(opts)]
    assert without == []
