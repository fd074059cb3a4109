"""Each module can be imported alone, and nothing of ours takes a name that a project may use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import parasuite
import pytest

ROOT = Path(parasuite.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if "recorder" not in path.parts and path.name != "__main__.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_imported_alone_without_a_warning(module: str) -> None:
    command = [sys.executable, "-W", "error", "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_supervisor_needs_the_standard_library_alone() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); import parasuite.supervisor"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_lies_on_a_copy_s_path_is_marked_as_ours() -> None:
    names = {path.name for path in (ROOT / "sensors" / "recorder").iterdir() if path.name != "__pycache__"}
    assert {name for name in names if not name.startswith("_parasuite_")} <= {"sitecustomize.py"}
