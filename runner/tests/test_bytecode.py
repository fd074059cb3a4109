"""A user who asks Python for no compiled files gets none, and programs find that setting unchanged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite
from runner.tests.recording import PATIENCE_S, PYTEST, RECORDER, environment

SETTING = """
import json, os, sys
import mod
print(json.dumps([os.environ.get("PYTHONDONTWRITEBYTECODE"), sys.dont_write_bytecode, sys.pycache_prefix]))
"""
UNCHANGED = ["1", True, None]
ASKED = {"PYTHONDONTWRITEBYTECODE": "1"}


def compiled(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.pyc") if ".parasuite" not in path.parts)


def test_a_command_finds_the_setting_unchanged_and_leaves_no_compiled_file(parasuite: Parasuite) -> None:
    (parasuite.cwd / "mod.py").write_text("")
    (parasuite.cwd / "suite.py").write_text(SETTING)
    finished = parasuite("run", "-j", "1", "--", sys.executable, "suite.py", environ=ASKED)
    output = (finished.folder / "copies" / "000" / "output.log").read_text()
    assert (json.loads(output), compiled(parasuite.cwd)) == (UNCHANGED, [])


def test_the_recorder_is_compiled_once_all_the_same(parasuite: Parasuite) -> None:
    parasuite("run", "-j", "1", "--", sys.executable, "-c", "", environ=ASKED)
    names = {path.name.partition(".")[0] for path in (parasuite.cwd / ".parasuite" / "bytecode").rglob("*.pyc")}
    assert "_parasuite_recorder" in names


def test_pytest_compiles_the_tests_out_of_the_way_and_their_programs_compile_nothing(parasuite: Parasuite) -> None:
    tests = parasuite.cwd / "tests"
    tests.mkdir()
    (tests / "mod.py").write_text("")
    (tests / "program.py").write_text(SETTING)
    (tests / "test_program.py").write_text(
        "import subprocess, sys\n"
        "def test_program():\n"
        "    program = __file__.replace('test_program', 'program')\n"
        "    said = subprocess.check_output([sys.executable, program], text=True)\n"
        f"    assert said.strip() == {json.dumps(UNCHANGED)!r}\n"
    )
    finished = parasuite("run", "-j", "1", "tests", environ=ASKED)
    assert finished.code == 0, finished.stdout
    names = {path.name.partition(".")[0] for path in (parasuite.cwd / ".parasuite" / "bytecode").rglob("*.pyc")}
    assert ("test_program" in names, compiled(parasuite.cwd)) == (True, [])


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files can be set there")
@pytest.mark.parametrize("cut", ["recorder", "suite"])
def test_a_compiled_file_that_was_cut_short_is_not_kept(tmp_path: Path, cut: str) -> None:
    (tmp_path / "bulky.py").write_text("".join(f"name_{number} = {number}.5\n" for number in range(2000)))
    (tmp_path / "test_suite.py").write_text("import bulky\ndef test_nothing(): pass\n")
    env = {**environment(tmp_path / "copy"), **ASKED, "PARASUITE_BYTECODE": str(tmp_path / "bytecode")}
    suite = [sys.executable, *PYTEST[:2], "-p", "_parasuite_pytest", *PYTEST[2:]]
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"
    limited = [sys.executable, "-I", "-c", f"{limit}; os.execv(sys.argv[1], sys.argv[1:])", *suite]
    whole = [[sys.executable, "-c", ""]] if cut == "suite" else []  # It compiles the recorder.
    for argv in (*whole, limited, suite):
        done = subprocess.run(
            argv, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert (done.returncode, os.listdir(tmp_path / "copy" / "recorder")) == (0, []), done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["events", "pages"])
@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_python_too_old_to_be_recorded_leaves_no_compiled_file(tmp_path: Path, version: str, mode: str) -> None:
    python = real_tools.program(f"python{version}", "-c", "")
    installation = tmp_path / "recorder"
    shutil.copytree(RECORDER, installation, ignore=shutil.ignore_patterns("__pycache__"))
    env = {**environment(tmp_path / "copy", mode), "PYTHONPATH": str(installation)}
    done = subprocess.run([python, "-c", ""], env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr, compiled(installation)) == (0, "", [])
    assert os.listdir(tmp_path / "copy" / "pages") == []
