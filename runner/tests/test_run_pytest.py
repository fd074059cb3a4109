"""`parasuite run` on pytest trees that know nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from parasuite.model.words import TestOutcome

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite
from runner.tests.reported import bad_test, counted

Write = Callable[[str], Path]


def test_every_copy_runs_the_whole_tree_and_the_verdict_counts_it(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\ndef test_two(): pass\n")
    finished = parasuite.run_pytest("-j", "3", "tests/")
    assert finished.code == 0, finished.stderr
    copies, tests, ports, _, verdict = finished.verdict.splitlines()
    assert (copies, tests, verdict) == ("copies: 3 of 3 ended well", counted(passed=6).strip(), "passed")
    assert ports.startswith("ports: no finding, ")


def test_the_project_s_own_configuration_holds(parasuite: Parasuite, suite: Write) -> None:
    suite("def check_one(): pass\ndef test_two(): assert 0\n")
    (parasuite.cwd / "pytest.ini").write_text("[pytest]\npython_functions = check_*\naddopts = -p no:cacheprovider\n")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert (finished.code, counted(passed=2) in finished.verdict) == (0, True), finished.stdout


def test_strict_configuration_without_a_cache_is_no_obstacle(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "pytest.ini").write_text(
        "[pytest]\naddopts = -p no:cacheprovider --strict-config --strict-markers\nfilterwarnings = error\n"
    )
    finished = parasuite.run_pytest("-j", "1", "tests/")
    assert finished.code == 0, finished.stdout


def test_a_failure_in_one_copy_alone_fails_the_run_and_names_the_copy(parasuite: Parasuite, suite: Write) -> None:
    suite("import os\ndef test_one():\n    assert os.environ['PARASUITE_COPY'] != '2', 'not here'\n")
    finished = parasuite.run_pytest("-j", "4", "tests/")
    assert finished.code == 1
    assert bad_test(TestOutcome.FAILED, "tests/test_it.py::test_one", [2], 4) in finished.stdout


def test_results_come_through_xdist(parasuite: Parasuite, suite: Write) -> None:
    real_tools.package("xdist")
    suite("import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_n(n): assert n != 4\n")
    finished = parasuite.run_pytest("-j", "2", "tests/", "--", "-n", "2")
    assert finished.code == 1
    assert counted(passed=10, failed=2) in finished.verdict


def test_k_and_m_select_tests(parasuite: Parasuite, suite: Write) -> None:
    suite("import pytest\ndef test_apple(): pass\n@pytest.mark.slow\ndef test_pear(): pass\n")
    (parasuite.cwd / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    assert counted(passed=1) in parasuite.run_pytest("-j", "1", "-k", "apple", "tests/").verdict
    assert counted(passed=1) in parasuite.run_pytest("-j", "1", "-m", "slow", "tests/").verdict


def test_arguments_behind_the_dashes_reach_pytest(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): assert 0\ndef test_two(): pass\n")
    finished = parasuite.run_pytest("-j", "1", "tests/", "--", "-x", "-p", "no:randomly")
    assert counted(failed=1, not_run=1) in finished.verdict


def test_a_unix_socket_in_tmp_path_fits_even_in_a_deep_project(tmp_path: Path, parasuite: Parasuite) -> None:
    deep = tmp_path / ("d" * 60)
    (deep / "tests").mkdir(parents=True)
    (deep / "tests" / "test_unix.py").write_text(
        "import socket\n"
        "def test_a_socket_with_a_rather_long_name_of_its_test(tmp_path):\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        "        s.bind(str(tmp_path / 'server.sock'))\n"
    )
    finished = Parasuite(deep, parasuite.environ).run_pytest("-j", "2", "tests/")
    assert finished.code == 0, finished.stdout


def test_a_project_with_folders_named_like_ours_runs_untouched(parasuite: Parasuite) -> None:
    for name in ("runner", "ci", "netsupport", "parasuite"):
        package = parasuite.cwd / name
        package.mkdir()
        (package / "__init__.py").write_text(f"WHOSE = 'the project, {name}'\n")
    tests = parasuite.cwd / "tests"
    tests.mkdir()
    (parasuite.cwd / "conftest.py").write_text("")
    (tests / "test_names.py").write_text(
        "import ci, netsupport, parasuite, runner\n"
        "def test_every_name_is_the_project_s():\n"
        "    assert [m.WHOSE for m in (ci, netsupport, parasuite, runner)] == [\n"
        "        f'the project, {name}' for name in ('ci', 'netsupport', 'parasuite', 'runner')]\n"
    )
    # As a console script runs: the folder it is started in is not on its path, as it would be by -m.
    script = "import sys; sys.path.pop(0); from parasuite.cli.main import main; main()"
    arguments = ["run", "-j", "2", "--python", sys.executable, "tests/"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_copies_leave_in_files_is_their_own(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import os, tempfile\n"
        "def test_one(tmp_path):\n"
        "    print('places', tempfile.gettempdir(), tmp_path, os.environ['COVERAGE_FILE'])\n"
        "    assert 0\n"
    )
    finished = parasuite.run_pytest("-j", "2", "tests/")
    outputs = [(finished.folder / "copies" / name / "output.log").read_text() for name in ("000", "001")]
    places = [
        next(line for line in output.splitlines() if line.startswith("places")).split()[1:] for output in outputs
    ]
    assert all(first != second for first, second in zip(*places, strict=True))


def test_the_temporary_files_of_a_failed_copy_are_kept_beside_the_run(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import os\n"
        "def test_one(tmp_path):\n"
        "    (tmp_path / 'evidence').write_text('here')\n"
        "    os.mkfifo(tmp_path / 'pipe')\n"
        "    assert os.environ['PARASUITE_COPY'] != '1'\n"
    )
    finished = parasuite.run_pytest("-j", "2", "tests/")
    evidence = {path.resolve() for path in finished.folder.glob("copies/*/tmp/**/evidence")}
    assert [path.relative_to(finished.folder).parts[1] for path in evidence] == ["001"]
    assert not (finished.folder / "copies" / "000" / "tmp").exists()


def test_a_long_message_is_shown_by_its_first_line(parasuite: Parasuite, suite: Write) -> None:
    suite("def test_one(): raise RuntimeError('no database\\n' + 'x' * 20_000)\n")
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "tests/")
    assert "    RuntimeError: no database\n" in finished.stdout
