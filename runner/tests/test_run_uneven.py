"""Copies that did not run the same tests, and tests that were run more than once: never a silent pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree
from parasuite.model.words import TestOutcome

from netsupport.tests import real_tools
from runner.tests.conftest import Finished, Parasuite
from runner.tests.reported import bad_test, counted

Write = Callable[[str, str], Path]

SKIPS_ELSEWHERE = """
import os, pytest
if os.environ["PARASUITE_COPY"] != "0":
    pytest.skip("database port busy", allow_module_level=True)
def test_one(): pass
def test_two(): pass
"""
FEWER_ELSEWHERE = """
import os, pytest
@pytest.mark.parametrize("n", range(5 if os.environ["PARASUITE_COPY"] == "0" else 1))
def test_it(n): pass
"""


def cases(finished: Finished, name: str) -> dict[tuple[str, str], etree._Element]:
    """The test cases of a JUnit file by class and name."""
    root = etree.parse(finished.folder / name)
    return {
        (str(case.get("classname")), str(case.get("name"))): case
        for suite in root.iterfind("testsuite")
        if str(suite.get("name")).startswith("tests")
        for case in suite.iterfind("testcase")
    }


def message(case: etree._Element, element: str) -> str:
    found = case.find(element)
    assert found is not None, etree.tostring(case)
    return str(found.get("message"))


@pytest.mark.parametrize("arguments", [(), ("--", "-n", "2")], ids=["alone", "xdist"])
def test_a_module_that_some_copies_skipped_is_skipped_there_and_never_green(
    parasuite: Parasuite, suite: Write, arguments: tuple[str, ...]
) -> None:
    if arguments:
        real_tools.package("xdist")
    suite(SKIPS_ELSEWHERE, "test_db.py")
    suite("def test_other(): pass\n", "test_other.py")
    finished = parasuite.run_pytest("-j", "3", "tests/", *arguments)
    assert finished.code == 0, finished.stdout
    assert counted(passed=5, skipped=4) in finished.verdict
    assert (
        "skipped in 2 of 3 copies (1, 2), passed in others: tests/test_db.py::test_one and 1 more test\n"
        "    Skipped: database port busy\n"
    ) in finished.stdout
    each = cases(finished, "junit.xml")
    assert message(each["copy-2.tests.test_db", "test_two"], "skipped") == "Skipped: database port busy"
    merged = cases(finished, "junit-merged.xml")
    told = "1 of 3 passed; skipped in copy 1, 2: Skipped: database port busy"
    assert message(merged["tests.test_db", "test_one"], "skipped") == told


def test_a_module_that_every_copy_skipped_is_a_case_as_in_pytest_s_own_file(
    parasuite: Parasuite, suite: Write
) -> None:
    suite("import pytest\npytest.importorskip('no_such_module')\ndef test_one(): pass\n", "test_db.py")
    suite("def test_other(): pass\n", "test_other.py")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert (finished.code, counted(passed=2, skipped=2) in finished.verdict) == (0, True), finished.stdout
    (reason,) = {
        message(case, "skipped") for key, case in cases(finished, "junit.xml").items() if "test_db" in key[1]
    }
    assert "no_such_module" in reason


def test_where_every_copy_skipped_every_module_no_test_ran(parasuite: Parasuite, suite: Write) -> None:
    suite("import pytest\npytest.skip('not today', allow_module_level=True)\n", "test_db.py")
    assert parasuite.run_pytest("-j", "2", "tests/").code == 4


@pytest.mark.parametrize("arguments", [(), ("--", "-n", "2")], ids=["alone", "xdist"])
def test_tests_that_a_copy_did_not_collect_fail_the_run(
    parasuite: Parasuite, suite: Write, arguments: tuple[str, ...]
) -> None:
    if arguments:
        real_tools.package("xdist")
    suite(FEWER_ELSEWHERE, "test_it.py")
    finished = parasuite.run_pytest("-j", "4", "tests/", *arguments)
    assert (finished.code, finished.run["exit_code"]) == (1, 1), finished.stdout
    assert counted(passed=8, not_collected=12) in finished.verdict
    assert (
        "not-collected tests/test_it.py::test_it[4] in 3 of 4 copies (1, 2, 3)\n"
        "    collected in 1 of 4 copies (0), not in this one\n"
    ) in finished.stdout
    merged = cases(finished, "junit-merged.xml")
    told = "ran in 1 of 4 copies; not collected in copy 1, 2, 3"
    assert message(merged["tests.test_it", "test_it[4]"], "error") == told


def test_a_selection_and_an_order_of_its_own_are_the_same_tests(parasuite: Parasuite, suite: Write) -> None:
    suite(
        "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_n(n): pass\ndef test_no(): pass\n", "t.py"
    )
    (parasuite.cwd / "conftest.py").write_text(
        "import random\ndef pytest_collection_modifyitems(items): random.shuffle(items)\n"
    )
    (parasuite.cwd / "pytest.ini").write_text("[pytest]\npython_files = t.py\n")
    finished = parasuite.run_pytest("-j", "3", "-k", "not test_no", "tests/")
    assert (finished.code, counted(passed=60) in finished.verdict) == (0, True), finished.stdout


def test_a_test_beside_a_copy_that_died_says_in_how_many_it_ran(parasuite: Parasuite, suite: Write) -> None:
    suite("import os\nif os.environ['PARASUITE_COPY'] == '1': os._exit(9)\ndef test_one(): pass\n", "test_it.py")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert (finished.code, "not-collected" in finished.stdout) == (1, False), finished.stdout
    case = cases(finished, "junit-merged.xml")["tests.test_it", "test_one"]
    assert case.findtext("system-out") == "ran in 1 of 2 copies"


def test_cases_that_one_copy_of_a_command_did_not_run_fail_the_run(parasuite: Parasuite) -> None:
    case = '<testcase classname="shell" name="{}"/>'
    script = parasuite.cwd / "check.sh"
    script.write_text(
        f"#!/bin/sh\necho '<testsuite>{case.format('a')}' > out-$PARASUITE_COPY.xml\n"
        f"test $PARASUITE_COPY = 1 || echo '{case.format('b')}' >> out-$PARASUITE_COPY.xml\n"
        "echo '</testsuite>' >> out-$PARASUITE_COPY.xml\n"
    )
    script.chmod(0o755)
    finished = parasuite("run", "-j", "3", "--collect-junit", "out-{copy}.xml", "--", "./check.sh")
    assert finished.code == 1
    assert bad_test(TestOutcome.NOT_COLLECTED, "shell::b", [1], 3) in finished.stdout


# As pytest-rerunfailures does it: each attempt a report with the outcome "rerun", and its tear-down after it. The
# plug-in itself cannot be among what these tests need: beside pytest-xdist it opens a socket in each run of pytest.
RERUN = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for attempt in range(3):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        again = False
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed and attempt < 2:
                report.outcome, again = "rerun", True
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if not again:
            return True
    return True
"""
# As older releases of it do: the test starts and finishes once, and nothing comes after a "rerun" of an attempt.
RERUN_WITHIN = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(3):
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed and attempt < 2:
                report.outcome = "rerun"
                item.ihook.pytest_runtest_logreport(report=report)
                break
            item.ihook.pytest_runtest_logreport(report=report)
        else:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
# As flaky does it: the report of a failed attempt is made and shown to nobody.
FLAKY = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for attempt in range(3):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        again = False
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed and attempt < 2:
                again = True
            else:
                item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if not again:
            return True
    return True
"""
# As pytest-retry does it: the report of a failed attempt has a word of its own, and the test goes on.
RETRY = """
import pytest
from _pytest.runner import call_and_report

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    item._initrequest()
    call_and_report(item, "setup")
    for attempt in range(3):
        report = call_and_report(item, "call", log=False)
        if not report.failed or attempt == 2:
            break
        report.outcome = "retried"
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logreport(report=report)
    call_and_report(item, "teardown", nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
PLUGINS = [
    pytest.param(RERUN, id="rerunfailures"),
    pytest.param(RERUN_WITHIN, id="older rerunfailures"),
    pytest.param(FLAKY, id="flaky"),
    pytest.param(RETRY, id="retry"),
]
FAILS_TWICE = """
import os
attempts = []
def test_it():
    attempts.append(0)
    assert len(attempts) == 3 or os.environ["PARASUITE_COPY"] == "0", f"attempt {len(attempts)}"
def test_other(): pass
"""


@pytest.mark.parametrize("plugin", PLUGINS)
def test_failed_attempts_of_a_test_that_passed_when_run_again_are_kept(
    parasuite: Parasuite, suite: Write, plugin: str
) -> None:
    suite(FAILS_TWICE, "test_it.py")
    (parasuite.cwd / "conftest.py").write_text(plugin)
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert finished.code == 0, finished.stdout
    assert counted(passed=4, failed_attempts=2) in finished.verdict
    assert (
        "run again tests/test_it.py::test_it in 1 of 2 copies (1): 2 failed attempts\n    AssertionError: attempt 1\n"
    ) in finished.stdout
    each = cases(finished, "junit.xml")["copy-1.tests.test_it", "test_it"].findall("flakyFailure")
    assert [str(element.get("message")).partition("\n")[0] for element in each] == [
        "AssertionError: attempt 1",
        "AssertionError: attempt 2",
    ]
    (first, _) = cases(finished, "junit-merged.xml")["tests.test_it", "test_it"].findall("flakyFailure")
    assert str(first.get("message")).startswith("copy 1: AssertionError: attempt 1")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_test_that_failed_to_the_last_attempt_failed(parasuite: Parasuite, suite: Write, plugin: str) -> None:
    suite(
        "attempts = []\ndef test_it():\n    attempts.append(0)\n    assert 0, f'attempt {len(attempts)}'\n",
        "test_it.py",
    )
    (parasuite.cwd / "conftest.py").write_text(plugin)
    finished = parasuite.run_pytest("-j", "1", "tests/")
    assert (finished.code, counted(failed=1, failed_attempts=2) in finished.verdict) == (1, True)
    case = cases(finished, "junit.xml")["copy-0.tests.test_it", "test_it"]
    assert [element.tag for element in case] == ["failure", "rerunFailure", "rerunFailure"]
    assert message(case, "failure").startswith("AssertionError: attempt 3")
