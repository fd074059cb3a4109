"""Imports have one direction: import-linter's contract names every room and module, and there is no circle."""

from __future__ import annotations

import ast
import graphlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import parasuite
import pytest

ROOT = Path(parasuite.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
# Not a package: this folder is put on a copy's path, and its modules are imported by their bare names.
RECORDER = ROOT / "sensors" / "recorder"
FILES = sorted(ROOT.rglob("*.py"))

_COSTS = "every Python that a copy starts would pay for it, and few need it"
_NO_LIBC = "it raises ImportError where there is no C library that can be called"
# Our own modules that a function imports: (file, module) -> why it is not imported at the top of the file.
IMPORTED_LATE = {
    ("parasuite.cli.on_hosts", "parasuite.hosts.session"): "it imports Dask, which takes a second and may be missing",
    ("sitecustomize", "_parasuite_environment"): "whatever fails in it must not stop the program",
    ("sitecustomize", "_parasuite_recorder"): "whatever fails in it must not stop the program",
    ("sitecustomize", "_parasuite_bytecode"): _COSTS,
    ("sitecustomize", "_parasuite_failures"): _COSTS,
    ("_parasuite_guard", "_parasuite_failures"): _COSTS,
    ("_parasuite_recorder", "_parasuite_log"): _COSTS,
    ("_parasuite_recorder", "_parasuite_sessions"): _COSTS,
    ("_parasuite_recorder", "_parasuite_unittest"): _COSTS,
    ("_parasuite_sessions", "_parasuite_pytest"): "it imports pytest",
    ("_parasuite_clock", "_parasuite_libc"): _NO_LIBC,
    ("_parasuite_page", "_parasuite_libc"): _NO_LIBC,
    (
        "_parasuite_page",
        "_parasuite_clock",
    ): "only the writer of a page needs it, and parasuite, which reads pages, has no module of that name",
}


def module_of(file: Path) -> str:
    if file.parent == RECORDER:
        return file.stem
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): ast.parse(file.read_text("utf-8")) for file in FILES}


def imported(tree: ast.AST) -> Iterator[str]:
    """Those of our modules that the import statements in *tree* name, wherever they are."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            bare = name.removeprefix("parasuite.sensors.recorder.")
            # The last part of a name is a module, or something that a module defines.
            yield from [module for module in (bare, bare.rpartition(".")[0]) if module in MODULES][:1]


def imported_late() -> set[tuple[str, str]]:
    return {
        (module, name)
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imported(node)
    }


def test_the_contract_names_every_room_and_module_and_nothing_else() -> None:
    settings = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["importlinter"]
    (contract,) = (each for each in settings["contracts"] if each["type"] == "layers")
    named = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    named |= set(contract["exhaustive_ignores"])
    rooms = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    modules = {file.stem for file in ROOT.glob("*.py")} - {"__init__"}
    assert (contract["containers"], contract["exhaustive"], named) == (["parasuite"], True, rooms | modules)


def test_import_linter_finds_every_module_since_each_folder_but_the_recorder_is_a_package() -> None:
    folders = {folder for file in FILES for folder in file.parents if folder.is_relative_to(ROOT)}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == {RECORDER}


def test_every_import_is_absolute() -> None:
    relative = [
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_function_imports_a_module_of_ours_except_for_a_reason() -> None:
    assert imported_late() - set(IMPORTED_LATE) == set()


def test_no_modules_import_each_other() -> None:
    imports = {module: set(imported(tree)) for module, tree in MODULES.items()}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
