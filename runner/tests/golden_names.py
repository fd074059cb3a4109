"""The finding ids and JUnit case names of the planted suites, compared with golden/finding_ids.json.

Users suppress findings by id and CI servers keep a history by case name, so neither may change unnoticed. An id is a
hash, most hashes include a port, and the ports of planted suites are reserved afresh for every run. So the file lists
what each id is made of: cause, protocol, and the name by which it is grouped. That is the port or path that was
reserved for the test, a function or two (`places`), or else the Python that runs the tests. The hash is computed
here, not by parasuite.

Left out are the findings about a port that the kernel chose and another copy asked for by number: the two tests that
lose a port to a thief, whose port no other run will have.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from xml.etree import ElementTree

from runner.tests.conftest import PLANTED, Finished

_THIEVES = {"test_refused_released_and_lost", "test_refused_held_and_lost"}
_ENTRIES = json.loads((Path(__file__).parent / "golden" / "finding_ids.json").read_text())


def assert_golden(
    finished: Finished, suite: str, reserved: Mapping[str, str], without: Set[str] = frozenset()
) -> None:
    """Compare all findings of *finished*, a run of the planted *suite*, with the file.

    *reserved*: the port, or the path of a Unix socket, by the name of its test. *without*: tests whose findings
    are left out on both sides, since a program is missing or a sensor cannot see them.
    """
    expected = {}
    for entry in _ENTRIES[suite]:
        if _test_name(entry["test"]) not in without:
            identifier, case_name = _golden(entry, reserved)
            expected[identifier] = case_name
    case_names = {name.rpartition(" ")[2]: name for name in _case_names(finished)}
    assert set(case_names) == {finding["id"] for finding in finished.findings}
    left_out = {*without, *_THIEVES}
    found = {
        finding["id"]: case_names[finding["id"]]
        for finding in finished.findings
        if finding["severity"] != "note" and not {_test_name(test) for test in finding["tests"]} & left_out
    }
    assert found == expected


def _golden(entry: Mapping[str, str], reserved: Mapping[str, str]) -> tuple[str, str]:
    """The id of the finding, and the name of its case."""
    cause, protocol = entry["cause"], entry["protocol"]
    fixed = reserved.get(entry["test"], "") if cause == "hard-coded" else ""
    effect = ["crosstalk"] if cause == "unknown" else []
    name = fixed or " ".join([*effect, *(f"{PLANTED}/{place}" for place in entry.get("places", "").split())])
    name = name or Path(sys.executable).name
    identifier = hashlib.sha256(repr((cause, protocol, name)).encode()).hexdigest()[:10]
    return identifier, f"{cause} {protocol} {name} {identifier}" if fixed else f"{cause} {identifier}"


def _case_names(finished: Finished) -> list[str]:
    report = ElementTree.parse(finished.folder / "junit.xml")
    cases = report.iterfind(".//testsuite[@name='parasuite.ports']/testcase")
    return [case.get("name", "") for case in cases]


def _test_name(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]
