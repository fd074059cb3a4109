"""A suite that runs as root and gives its privilege away has the temporary folder that it would have without us."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from runner.tests.conftest import Parasuite

if sys.platform == "win32" or os.geteuid() != 0:
    pytest.skip("only root has a privilege to give away", allow_module_level=True)

NOBODY = 65534
DROPS = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
MAKES_A_FILE = f"""
import os, tempfile
{DROPS}
with tempfile.NamedTemporaryFile() as file:
    print(os.path.dirname(file.name) == os.environ["TMPDIR"], os.fstat(file.fileno()).st_uid)
"""
FAILS_WITH_A_FILE = f"""
import os, sys, tempfile
print(oct(os.stat(os.environ["TMPDIR"]).st_mode))
{DROPS}
tempfile.mkstemp(prefix="evidence-")
sys.exit(1)
"""


def output_of(parasuite: Parasuite, code: str, base: Path, *, base_mode: int) -> str:
    """What one copy of *code* printed where *base*, with *base_mode*, is the folder for temporary files."""
    base.mkdir()
    base.chmod(base_mode)
    argv = ["run", "-j", "1", "--sensors", "none", "--", sys.executable, "-I", "-S", "-c", code]
    finished = parasuite(*argv, environ={"TMPDIR": str(base)})
    return (finished.folder / "copies" / "000" / "output.log").read_text()


def test_another_user_of_the_suite_makes_files_where_everybody_could(parasuite: Parasuite, tmp_path: Path) -> None:
    assert output_of(parasuite, MAKES_A_FILE, tmp_path / "t", base_mode=0o1777) == f"True {NOBODY}\n"


def test_the_folders_of_the_copies_are_no_more_open_than_the_one_around_them(
    parasuite: Parasuite, tmp_path: Path
) -> None:
    code = """
import os
for folder in (os.environ["TMPDIR"], os.path.dirname(os.environ["TMPDIR"])):
    print(oct(os.stat(folder).st_mode & 0o7007))
"""
    shared = output_of(parasuite, code, tmp_path / "shared", base_mode=0o1777)
    private = output_of(parasuite, code, tmp_path / "private", base_mode=0o700)
    assert (shared.split(), private.split()[1]) == (["0o1007", "0o1"], "0o0")


def test_what_is_kept_of_a_copy_is_open_to_nobody_else(parasuite: Parasuite, tmp_path: Path) -> None:
    assert output_of(parasuite, FAILS_WITH_A_FILE, tmp_path / "t", base_mode=0o1777) == "0o41777\n"
    kept = parasuite.cwd / ".parasuite" / "latest" / "copies" / "000" / "tmp"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [path.name.partition("-")[0] for path in kept.iterdir()] == ["evidence"]
