"""Where a sandbox refuses some system calls, a run falls back to the sensors that are left, and says why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from parasuite.model.sensors import WITHOUT_PRIVILEGE, SensorName
from parasuite.probe import interfaces
from parasuite.probe.interfaces import host_addresses
from parasuite.probe.probe import Visibility, doctor_lines
from parasuite.reports.wording import listeners_seen
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from runner.tests.conftest import SAFETY_NET_S, Parasuite
from runner.tests.sandbox import refusing

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp filters are Linux's", allow_module_level=True)

REASONS = {
    "netlink": "netlink: Address family not supported by protocol; allow AF_NETLINK sockets",
    "pidfd_open": "pidfd_open: Operation not permitted; allow pidfd_open(2)",
    "process_vm_readv": "process_vm_readv: Operation not permitted; give the container CAP_SYS_PTRACE",
    "seccomp": "seccomp: Operation not permitted; allow seccomp(2)",
}
BINDS = [sys.executable, "-c", "import socket; socket.create_server(('127.0.0.1', 0)).close()"]


def sandboxed(parasuite: Parasuite, refused: str, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`parasuite COMMAND ARGUMENTS` where *refused* is; the test is skipped where another filter watches already."""
    if "EBUSY" in _why_no_filter():
        pytest.skip("a parasuite around this one watches already")
    return subprocess.run(
        refusing([refused], [sys.executable, "-m", "parasuite", command, *arguments]),
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        capture_output=True,
        text=True,
        timeout=SAFETY_NET_S,
    )


def _why_no_filter() -> str:
    code = "import errno\nfrom parasuite.sensors.seccomp.filter import install\n"
    code += "try: install()\nexcept OSError as error: print(errno.errorcode[error.errno])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


@pytest.mark.parametrize("refused", REASONS)
def test_the_recorder_takes_over_where_seccomp_cannot_work(parasuite: Parasuite, refused: str) -> None:
    done = sandboxed(parasuite, refused, "run", "-j", "1", "--", *BINDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seccomp is missing: {REASONS[refused]}" in done.stdout
    assert "Python proven visible" in done.stdout
    assert listeners_seen(1, calls=2) in done.stdout


@pytest.mark.parametrize("refused", REASONS)
def test_doctor_reports_the_same_about_a_sandbox_as_a_run(parasuite: Parasuite, refused: str) -> None:
    done = sandboxed(parasuite, refused, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seccomp: missing: {REASONS[refused]}" in done.stdout


def test_a_run_without_sensors_does_not_make_their_system_calls(parasuite: Parasuite) -> None:
    done = sandboxed(parasuite, "netlink", "run", "-j", "1", "--sensors", "none", "--", *BINDS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_addresses_of_the_host_are_known_without_netlink() -> None:
    code = "from parasuite.probe.interfaces import host_addresses; print(sorted(host_addresses()[0]))"
    asked: Sequence[str] = refusing(["netlink"], [sys.executable, "-c", code])
    done = subprocess.run(asked, capture_output=True, text=True, timeout=SAFETY_NET_S)
    assert (done.stdout.strip(), done.stderr) == (str(sorted(host_addresses()[0])), "")


def test_addresses_of_the_host_that_cannot_be_found_are_none_rather_than_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("psutil.net_if_addrs", refuse)
    monkeypatch.setattr(interfaces, "_in_proc", frozenset)
    addresses, why = host_addresses()
    assert (addresses, why) == (frozenset(), "the addresses of this host are not known: Operation not permitted")


@pytest.mark.parametrize("drop", ["os.setgroups([]); os.setgid(65534); os.setuid(65534)", ""])
def test_the_probe_knows_whether_setuid_programs_lose_their_privilege(drop: str) -> None:
    if drop and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = "import os\nfrom parasuite.probe.self_test import SelfTestResult, _can_install\n"
    code += f"{drop}\nresult = SelfTestResult(); print(_can_install(result), result.no_new_privs, result.seccomp)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SAFETY_NET_S)
    if done.stdout.startswith("False"):
        pytest.skip(f"no filter can be put on here: {done.stdout}")
    assert (done.stdout.split(), done.stderr) == (["True", str(bool(drop or os.geteuid()))], "")


def test_doctor_says_that_setuid_programs_lose_their_privilege() -> None:
    assert f"    {WITHOUT_PRIVILEGE}" in doctor_lines(Visibility(use=(SensorName.SECCOMP,), no_new_privs=True))
    assert f"    {WITHOUT_PRIVILEGE}" not in doctor_lines(Visibility(use=(SensorName.SECCOMP,)))
