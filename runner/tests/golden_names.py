"""The finding ids and JUnit case names of the planted suites, compared with golden/finding_ids.json.

Users suppress findings by id and CI servers keep a history by case name, so neither may change unnoticed. An id is a
hash, most hashes include a port, and the ports of planted suites are reserved afresh for every run. So the file lists
what each id is made of: kind, protocol, port or path (`reserved_for` names the test it was reserved for; null means
that the kernel chose the port), and the role, test, file and function of each side. The hash is computed here, not by
parasuite. `address` is "any" where it depends on which of two sockets was seen first.

The suite `orphan` is left out: the sampler knows the orphan's test only if it looked while that test ran. The same
defect is in `defects`, as `test_orphan`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from pathlib import Path
from xml.etree import ElementTree

from runner.tests.conftest import PLANTED, Finished

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
        if not {_test_name(test) for _, test, _ in entry["sides"]} & without:
            identifier, case_name = _golden(entry, reserved)
            expected[identifier] = case_name
    found = {
        finding["id"]
        for finding in finished.findings
        if not {_test_name(side["test"]) for side in finding["sides"]} & without
    }
    case_names = {name.rpartition(" ")[2]: name for name in _case_names(finished)}
    assert set(case_names) == {finding["id"] for finding in finished.findings}
    # A name that fits its pattern is shown as the pattern, so that a failure shows nothing but the difference.
    shown = {
        identifier: pattern if (pattern := expected.get(identifier)) and re.fullmatch(pattern, name) else name
        for identifier, name in case_names.items()
        if identifier in found
    }
    assert shown == expected


def _golden(entry: Mapping[str, object], reserved: Mapping[str, str]) -> tuple[str, str]:
    """The id of the finding, and a pattern of its case's name."""
    kind, protocol, address, test = (entry[key] for key in ("kind", "protocol", "address", "reserved_for"))
    port = reserved[str(test)] if test else "*"
    assert isinstance(entry["sides"], list)
    sides = sorted((role, test, f"{PLANTED}/{place}" if place else "") for role, test, place in entry["sides"])
    identifier = hashlib.sha256(repr((kind, protocol, port, sides)).encode()).hexdigest()[:10]
    if protocol == "unix":
        return identifier, f"{kind} {re.escape(f'unix:{port}')} {identifier}"
    host = ".*" if address == "any" else re.escape(f"[{address}]" if ":" in str(address) else str(address))
    port_pattern = "[0-9]+" if port == "*" else port
    return identifier, f"{kind} {host}:{port_pattern}{'/udp' if protocol == 'udp' else ''} {identifier}"


def _case_names(finished: Finished) -> list[str]:
    report = ElementTree.parse(finished.folder / "junit.xml")
    cases = report.iterfind(".//testsuite[@name='parasuite.ports']/testcase")
    return [case.get("name", "") for case in cases]


def _test_name(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]
