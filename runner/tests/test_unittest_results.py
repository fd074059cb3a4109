"""Results of the tests that a command runs, as the recorder in its Python processes writes them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.copy_results import IGNORED_FAILURES
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome
from parasuite.record.command_results import TORN_LINES
from parasuite.record.tally import NEVER_BEGAN, NOT_RUN, WAS_RUNNING, Tally, tally_of

from runner.tests.conftest import Parasuite
from runner.tests.recording import PATIENCE_S, environment
from runner.tests.reported import bad_test, counted

UNITTEST = ("-m", "unittest", "-q")


def tally_after(tmp_path: Path, *argv: str) -> Tally:
    """What a copy of `python ARGV` in *tmp_path* wrote of its tests; the recorder must not have failed."""
    folder = tmp_path / "copy"
    environ = {**environment(folder, "pages"), "PARASUITE_RESULTS": str(folder)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert [file.read_text() for file in (folder / "recorder").iterdir()] == [], done.stderr
    return tally_of(folder, "results.jsonl")


def results(tmp_path: Path, code: str) -> dict[str, TestResult]:
    """Of the unittest suite *code*, by id."""
    (tmp_path / "test_it.py").write_text("import os, subprocess, sys, unittest\n" + textwrap.dedent(code))
    return {result.id: result for result in tally_after(tmp_path, *UNITTEST).results()}


def outcomes(found: dict[str, TestResult]) -> dict[str, str]:
    return {test_id: result.outcome for test_id, result in found.items()}


def test_each_unittest_result_is_known(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """
        class T(unittest.TestCase):
            def test_pass(self): pass
            def test_fail(self): self.assertEqual(1, 2)
            def test_error(self): raise OSError("busy")
            def test_skip(self): self.skipTest("no network")
            @unittest.skip("not here")
            def test_skipped_by_decorator(self): pass
            @unittest.expectedFailure
            def test_expected(self): self.fail()
            @unittest.expectedFailure
            def test_unexpected(self): pass
        """,
    )
    assert {test_id: (result.outcome, result.message) for test_id, result in found.items()} == {
        "test_it.T.test_pass": ("passed", ""),
        "test_it.T.test_fail": ("failed", "AssertionError: 1 != 2"),
        "test_it.T.test_error": ("error", "OSError: busy"),
        "test_it.T.test_skip": ("skipped", "no network"),
        "test_it.T.test_skipped_by_decorator": ("skipped", "not here"),
        "test_it.T.test_expected": ("skipped", "expected failure"),
        "test_it.T.test_unexpected": ("failed", "unexpected success"),
    }


def test_a_failure_has_its_traceback_without_unittests_own_lines_and_its_time(tmp_path: Path) -> None:
    (found,) = results(
        tmp_path, "class T(unittest.TestCase):\n    def test_fail(self): self.assertEqual(1, 2)"
    ).values()
    assert "in test_fail" in found.text
    assert "unittest/case.py" not in found.text.partition("in test_fail")[0]
    assert found.started_ns > 0
    assert 0 < found.duration_s < PATIENCE_S


def test_failed_subtests_are_one_failed_test_that_names_each(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """
        class T(unittest.TestCase):
            def test_it(self):
                for port in range(3):
                    with self.subTest(port=port):
                        self.assertEqual(port, 1)
        """,
    )
    assert {test_id: (result.outcome, result.message) for test_id, result in found.items()} == {
        "test_it.T.test_it": ("failed", "(port=0) AssertionError: 0 != 1\n(port=2) AssertionError: 2 != 1")
    }


def test_a_skip_in_a_subtest_does_not_hide_the_test(tmp_path: Path) -> None:
    code = """
        class T(unittest.TestCase):
            def test_it(self):
                with self.subTest(): self.skipTest("this one")
        """
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_it": "skipped"}


def test_a_test_and_its_teardown_that_both_fail_are_one_result_with_both(tmp_path: Path) -> None:
    (found,) = results(
        tmp_path,
        """
        class T(unittest.TestCase):
            def tearDown(self): raise OSError("left")
            def test_it(self): self.fail("first")
        """,
    ).values()
    assert (found.outcome, found.message) == ("failed", "AssertionError: first\nOSError: left")


@pytest.mark.parametrize(
    ("raised", "outcome", "message"),
    [("OSError('busy')", "error", "setUpClass failed: OSError: busy"), ("unittest.SkipTest('x')", "skipped", "x")],
)
def test_a_class_that_cannot_be_set_up_stands_for_its_tests(
    tmp_path: Path, raised: str, outcome: str, message: str
) -> None:
    found = results(
        tmp_path,
        f"""
        class T(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise {raised}
            def test_it(self): pass
        class U(unittest.TestCase):
            def test_it(self): pass
        """,
    )
    assert outcomes(found) == {"test_it.T": outcome, "test_it.U.test_it": "passed"}
    assert (found["test_it.T"].message, found["test_it.T"].is_of_collection) == (message, True)


@pytest.mark.parametrize(
    ("line", "outcome", "message"),
    [
        ("import no_such_module", "error", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise unittest.SkipTest('not here')", "skipped", "not here"),
    ],
)
def test_a_module_that_cannot_be_imported_stands_for_its_tests(
    tmp_path: Path, line: str, outcome: str, message: str
) -> None:
    (found,) = results(tmp_path, line).values()
    assert (found.id, found.outcome, found.message, found.is_of_collection) == ("test_it", outcome, message, True)


INNER = """
    class Inner(unittest.TestCase):
        def test_fails(self): self.fail()
        @classmethod
        def tearDownClass(cls): raise OSError
    unittest.TextTestRunner(stream=open(os.devnull, "w")).run(unittest.TestSuite([Inner("test_fails")]))
"""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(INNER, id="in the same process"),
        pytest.param(
            "subprocess.run([sys.executable, '-m', 'unittest', 'fails'], stderr=subprocess.DEVNULL)", id="in a child"
        ),
        pytest.param(
            "subprocess.run(['sh', '-c', sys.executable + ' -m unittest fails; true'], stderr=subprocess.DEVNULL)",
            id="in a grandchild",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the parent's parent"),
        ),
        pytest.param(
            "subprocess.run([sys.executable, '-m', 'pytest', 'fails.py'], stdout=subprocess.DEVNULL)", id="by pytest"
        ),
        pytest.param(
            "import pytest; pytest.main(['-p', 'no:terminal', '-p', 'no:randomly', 'fails.py'])",
            id="by pytest in the same process",
        ),
    ],
)
def test_a_test_that_runs_within_another_is_no_result_of_the_copy(tmp_path: Path, body: str) -> None:
    fails = "import unittest\nclass F(unittest.TestCase):\n    def test_fails(self): self.fail()\n"
    (tmp_path / "fails.py").write_text(fails)
    indented = textwrap.indent(textwrap.dedent(body), " " * 8)
    code = f"class T(unittest.TestCase):\n    def test_outer(self):\n{indented}\n"
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_outer": "passed"}


def test_a_runner_in_a_class_that_is_set_up_is_no_result_of_the_copy(tmp_path: Path) -> None:
    indented = textwrap.indent(textwrap.dedent(INNER), " " * 8)
    code = (
        f"class T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n{indented}\n"
        "    def test_it(self): pass\n"
    )
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_it": "passed"}


def test_a_runner_in_a_module_that_is_set_up_is_no_result_of_the_copy(tmp_path: Path) -> None:
    code = """
        class Inner(unittest.TestCase):
            def test_fails(self): self.fail()
        def load_tests(loader, tests, pattern): return loader.loadTestsFromTestCase(T)
        def setUpModule(): Inner("test_fails").run(unittest.TestResult())
        class T(unittest.TestCase):
            def test_it(self): pass
        """
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_it": "passed"}


def test_a_forked_child_of_a_test_that_comes_back_writes_no_second_result(tmp_path: Path) -> None:
    code = """
        class T(unittest.TestCase):
            def test_it(self):
                child = os.fork()
                if not child: self.fail("in the child")
                os.waitpid(child, 0)
        """
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_it": "passed"}


def test_a_case_with_a_run_of_its_own_is_recorded(tmp_path: Path) -> None:
    code = """
        class T(unittest.TestCase):
            def run(self, result):
                result.startTest(self)
                self.test_it()
                result.addSuccess(self)
                result.stopTest(self)
            def __call__(self, result):
                self.run(result)
            def test_it(self): pass
        """
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_it": "passed"}


def test_a_result_object_that_hides_behind_a_proxy_is_seen(tmp_path: Path) -> None:
    code = """
        class Quiet(unittest.TestResult):
            def addFailure(self, test, error): pass
        class Proxy:
            def __init__(self): self.inner = Quiet()
            def __getattr__(self, name): return getattr(self.inner, name)
        class T(unittest.TestCase):
            def test_it(self): self.fail("seen")
        if __name__ == "__main__":
            T("test_it").run(Proxy())
        """
    (tmp_path / "it.py").write_text("import unittest\n" + textwrap.dedent(code))
    (found,) = tally_after(tmp_path, "it.py").results()
    assert (found.id, found.message) == ("__main__.T.test_it", "AssertionError: seen")


def test_a_test_that_runs_when_its_process_is_killed_is_told_from_those_that_never_began(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """
        import signal
        class T(unittest.TestCase):
            def test_a(self): pass
            def test_b(self): os.kill(os.getpid(), signal.SIGKILL)
            def test_c(self): pass
        """,
    )
    assert {test_id: (result.outcome, result.message) for test_id, result in found.items()} == {
        "test_it.T.test_a": ("passed", ""),
        "test_it.T.test_b": ("lost", WAS_RUNNING),
        "test_it.T.test_c": ("lost", NEVER_BEGAN),
    }


def test_a_runner_that_stops_at_the_first_failure_leaves_tests_not_run(tmp_path: Path) -> None:
    code = "import unittest\nclass T(unittest.TestCase):\n def test_a(self): self.fail()\n def test_b(self): pass\n"
    (tmp_path / "test_it.py").write_text(code)
    found = {result.id: result for result in tally_after(tmp_path, *UNITTEST, "--failfast").results()}
    assert outcomes(found) == {"test_it.T.test_a": "failed", "test_it.T.test_b": "not-run"}
    assert found["test_it.T.test_b"].message == NOT_RUN


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_tests_in_workers_of_a_runner_are_recorded(tmp_path: Path, method: str) -> None:
    if sys.platform != "linux" and method != "spawn":
        pytest.skip("this way of starting processes is tested on Linux")
    (tmp_path / "runner.py").write_text(
        "import multiprocessing, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_a(self): pass\n"
        "    def test_b(self): self.fail()\n"
        "def run(name): T(name).run(unittest.TestResult())\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool: pool.map(run, ['test_a', 'test_b'])\n"
    )
    found = {result.id: result.outcome for result in tally_after(tmp_path, "runner.py").results()}
    main = "__main__" if method == "fork" else "__mp_main__"
    assert found == {f"{main}.T.test_a": "passed", f"{main}.T.test_b": "failed"}


def test_a_pytest_that_a_command_starts_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): assert 0\n")
    tally = tally_after(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert (tally.has_ended, {found.id: found.outcome for found in tally.results()}) == (
        True,
        {"test_it.py::test_a": "passed", "test_it.py::test_b": "failed"},
    )


def test_of_a_pytest_with_workers_only_the_controller_writes(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    tally = tally_after(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2")
    lines = (tmp_path / "copy" / "results.jsonl").read_text().splitlines()
    assert ({found.id: found.outcome for found in tally.results()}, sum('"result"' in line for line in lines)) == (
        {"test_it.py::test_a": "passed", "test_it.py::test_b": "passed"},
        2,
    )


def test_a_pytest_session_that_a_test_runs_in_its_own_process_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("pytest_plugins = 'pytester'\n")
    (tmp_path / "test_it.py").write_text(
        "def test_outer(pytester):\n"
        "    pytester.makepyfile('def test_inner(): assert 0')\n"
        "    pytester.inline_run('-p', 'no:randomly')\n"
        "    pytester.runpytest_subprocess('-p', 'no:randomly')\n"
    )
    tally = tally_after(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert {found.id: found.outcome for found in tally.results()} == {"test_it.py::test_outer": "passed"}


def test_what_a_test_tells_another_result_object_of_itself_is_not_its_result(tmp_path: Path) -> None:
    found = results(
        tmp_path,
        """
        class T(unittest.TestCase):
            def test_it(self):
                other = unittest.TestResult()
                other.addFailure(self, (None, None, None))
                other.addError(self, (None, None, None))
        """,
    )
    assert outcomes(found) == {"test_it.T.test_it": "passed"}


def test_a_user_sees_no_frame_of_the_recorder_in_a_traceback_of_a_runner(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(
        "import traceback, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def run(self, result): raise KeyError('own')\n"
        "    def test_it(self): pass\n"
        "try:\n"
        "    unittest.TestSuite([T('test_it')])(unittest.TestResult())\n"
        "except KeyError:\n"
        "    open('seen', 'w').write(traceback.format_exc())\n"
    )
    tally_after(tmp_path, "it.py")
    assert "_parasuite" not in (tmp_path / "seen").read_text()


FLAKY = """
import os, unittest
class T(unittest.TestCase):
    def test_a(self): pass
    def test_b(self): self.assertNotEqual(os.environ["PARASUITE_COPY"], "1")
"""


def test_a_command_that_runs_unittest_is_reported_test_by_test(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite(FLAKY, "test_flaky.py")
    finished = parasuite("run", "-j", "2", "--", sys.executable, "-m", "unittest", "discover", "tests")
    assert finished.code == 1
    assert bad_test(TestOutcome.FAILED, "test_flaky.T.test_b", [1], 2) in finished.stdout
    assert counted(passed=3, failed=1) in finished.verdict
    assert "1 of 2 passed; failed in copy 1" in (finished.folder / "junit-merged.xml").read_text()


def test_tests_that_failed_in_a_command_that_ended_well_are_not_counted(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite(FLAKY, "test_flaky.py")
    shell = f"{sys.executable} -m unittest discover tests || true"
    finished = parasuite("run", "-j", "2", "--sensors", "recorder", "--", "sh", "-c", shell)
    assert finished.code == 0
    assert IGNORED_FAILURES.format(copy=1, count=1) in finished.stdout


def test_tests_that_a_command_did_not_reach_after_a_failure_are_no_second_failure(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite(FLAKY, "test_flaky.py")
    suite("import unittest\nclass L(unittest.TestCase):\n    def test_c(self): pass\n", "test_later.py")
    shell = " && ".join(
        f"{sys.executable} -m unittest discover tests -p test_{name}.py" for name in ("flaky", "later")
    )
    finished = parasuite("run", "-j", "2", "--sensors", "recorder", "--", "sh", "-c", shell)
    assert (finished.code, counted(passed=4, failed=1) in finished.verdict) == (1, True), finished.stdout


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("mkfifo $PARASUITE_COPY_DIR/results.jsonl", "results.jsonl is a pipe, not a file"),
        ("echo spoilt > $PARASUITE_COPY_DIR/results.jsonl", TORN_LINES.format(count=1)),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell and pipes")
def test_results_that_a_command_spoils_are_an_error_of_its_copy(
    parasuite: Parasuite, spoil: str, complaint: str
) -> None:
    finished = parasuite("run", "-j", "1", "--sensors", "none", "--", "sh", "-c", spoil)
    assert (finished.code, complaint in finished.stdout) == (1, True), finished.stdout


def test_without_sensors_a_command_is_judged_by_its_exit_status(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite(FLAKY, "test_flaky.py")
    command = (sys.executable, "-m", "unittest", "discover", "tests")
    finished = parasuite("run", "-j", "2", "--sensors", "none", "--", *command)
    assert (finished.code, counted(passed=1, failed=1) in finished.verdict) == (1, True), finished.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs fcntl")
def test_the_descriptors_of_a_test_have_the_numbers_that_they_have_unrecorded(tmp_path: Path) -> None:
    code = """
        class T(unittest.TestCase):
            def test_first(self):
                with open(os.devnull) as null:
                    self.assertEqual(null.fileno(), 3)
        """
    assert outcomes(results(tmp_path, code)) == {"test_it.T.test_first": TestOutcome.PASSED}
