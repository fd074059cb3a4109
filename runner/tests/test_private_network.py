"""`--network private`: the whole run in a new network, which is like the host's but for the way outside."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parasuite.judge.port_range import PortRangeReader
from parasuite.judge.verdict import ExitCode
from parasuite.model.events import Bind, Endpoint
from parasuite.model.network_plan import NetworkPolicy, NetworkRefusal, NetworkStep
from parasuite.model.results import TestResult
from parasuite.model.words import NetworkMode, Protocol, TestOutcome
from parasuite.probe.interfaces import host_addresses
from parasuite.reports.wording import in_network

from runner.tests.conftest import SAFETY_NET_S, Parasuite, kinds
from runner.tests.sandbox import refusing

if sys.platform != "linux":
    pytest.skip("network namespaces are Linux's", allow_module_level=True)

from parasuite.run.networks import refusals
from parasuite.run.networks.prepare import why_no_network
from parasuite.run.networks.refusals import explain_refusal
from parasuite.run.networks.surroundings import SETTINGS, plan_network

NOBODY = 65534
PRIVATE = ("--network", "private")
needs_network = pytest.mark.skipif(bool(why_no_network()), reason=f"no new network: {why_no_network()}")

# What a program sees of the network, the user and the settings around it. A child of this process runs it, since an
# unprivileged user may not be able to execute this Python.
LOOK = """
def look():
    import os, socket, struct

    def answered(family, address, group=b"", option=0):
        sender, receiver = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        receiver.settimeout(20)
        receiver.bind(("", 0) if group else (address, 0))
        if group:
            receiver.setsockopt(socket.IPPROTO_IP if len(group) == 4 else socket.IPPROTO_IPV6, option,
                                group + (bytes(4) if len(group) == 4 else struct.pack("=I", 0)))
        sender.sendto(b"hello", (address, receiver.getsockname()[1]))
        return receiver.recv(9).decode()

    def resolved(family, flags):
        try:
            found = socket.getaddrinfo("localhost", 80, family, socket.SOCK_STREAM, 0, flags)
            return sorted(each[4][0] for each in found)
        except socket.gaierror:
            return []  # Which error it is depends on whether a DNS server could be asked.

    def setting(name):
        try:
            return open("/proc/sys/net/" + name).read().split()
        except OSError as error:
            return error.errno

    has_v6 = os.path.exists("/proc/net/if_inet6") and "0" * 31 + "1" in open("/proc/net/if_inet6").read()
    return {
        "user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        "home": os.environ.get("HOME"),
        "localhost": [resolved(family, flags) for family in (0, socket.AF_INET, socket.AF_INET6)
                      for flags in (0, socket.AI_ADDRCONFIG)],
        "settings": {name: setting(name) for name in NAMES},
        "v4": answered(socket.AF_INET, "127.0.0.1"),
        "v6": answered(socket.AF_INET6, "::1") if has_v6 else "",
        "multicast v4": answered(socket.AF_INET, "239.255.77.1", socket.inet_aton("239.255.77.1"),
                                 socket.IP_ADD_MEMBERSHIP),
        "own addresses": [answered(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in ADDRESSES],
    }
"""


def seen_by(uid: int, addresses: tuple[str, ...], *, inside: bool) -> Any:
    """What LOOK reports in a child with *uid*, in a new network if *inside*."""
    code = f"""
import ctypes, json, os
from parasuite.run.networks.namespace import enter_network
from parasuite.run.networks.surroundings import plan_network
NAMES, ADDRESSES = {list(SETTINGS)}, {list(addresses)}
{LOOK}
import encodings.idna, socket
socket.getaddrinfo("localhost", 80)
if {uid} != os.getuid():
    os.setgroups([]); os.setresgid({uid}, {uid}, {uid}); os.setresuid({uid}, {uid}, {uid})
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0  # PR_SET_DUMPABLE, as after an exec
if {inside}:
    not_copied = enter_network(plan_network(ADDRESSES))
    assert not_copied == [], not_copied
print(json.dumps(look()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SAFETY_NET_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_network
@pytest.mark.parametrize("uid", sorted({os.getuid(), NOBODY if os.getuid() == 0 else os.getuid()}))
def test_a_private_network_is_like_the_one_around_it(uid: int) -> None:
    addresses = plan_network(host_addresses()[0]).addresses
    assert seen_by(uid, addresses, inside=True) == seen_by(uid, addresses, inside=False)


@needs_network
def test_multicast_of_ipv6_and_the_loopback_device_work_without_any_other_address() -> None:
    code = """
import socket, struct
from parasuite.run.networks.namespace import enter_network
from parasuite.run.networks.surroundings import plan_network
enter_network(plan_network([]))
receiver, sender = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
receiver.settimeout(20); receiver.bind(("::", 0))
group = socket.inet_pton(socket.AF_INET6, "ff02::4242")
receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", 0))
sender.sendto(b"hello", ("ff02::4242", receiver.getsockname()[1]))
print(receiver.recv(9).decode())
try: socket.create_connection(("192.0.2.1", 9), timeout=20)
except OSError as error: print(error.errno)
"""
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SAFETY_NET_S)
    assert (done.stdout.split(), done.stderr) == (["hello", str(errno.ENETUNREACH)], "")


STRANGER_ON_THE_PORT = """
import os, socket

def test_a_server():
    with socket.create_server(("127.0.0.1", int(os.environ["PLANTED_PORT"]))) as server:
        with socket.create_connection(server.getsockname()):
            pass
"""


@needs_network
@pytest.mark.parametrize("network", NetworkMode)
def test_a_stranger_on_the_same_port_outside_is_in_the_way_only_in_the_hosts_network(
    network: NetworkMode, parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(STRANGER_ON_THE_PORT)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        environ = {"PLANTED_PORT": str(stranger.getsockname()[1])}
        finished = parasuite.run_pytest("-j", "1", "--network", network, "tests", environ=environ)
    is_outside = network is NetworkMode.HOST
    assert finished.code == (ExitCode.TEST_FAILED if is_outside else ExitCode.PASSED), finished.stdout
    assert ("foreign" in kinds(finished)) is is_outside


@needs_network
def test_a_run_says_which_network_it_used(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("import socket\ndef test_it():\n    socket.create_server(('', 0)).close()\n")
    finished = parasuite.run_pytest("-j", "1", *PRIVATE, "--port-range", "64", "tests")
    words = in_network(NetworkMode.PRIVATE, 64)
    assert finished.code == ExitCode.PASSED, finished.stdout + finished.stderr
    assert words in finished.stderr.partition("\n")[0]
    assert f"ports {words}: no finding" in finished.stdout  # Nobody can reach it: the listener is not exposed.
    assert "proven visible" in finished.stdout
    assert (finished.run["network"], finished.run["port_range"]) == ("private", 64)
    assert json.loads((finished.folder / "findings.json").read_text())["run"]["network"] == "private"


LOST_AMONG_FEW = """
import os, socket

def test_a_lost_port(meet, copy):
    if copy == 0:
        with socket.create_server(("127.0.0.1", 0)) as drawn:
            port = drawn.getsockname()[1]
    meet("drawn")
    taken = []
    if copy == 1:
        try:
            while True:
                taken.append(socket.create_server(("127.0.0.1", 0)))
        except OSError:
            pass
    meet("taken")
    try:
        if copy == 0:
            socket.create_server(("127.0.0.1", port)).close()
    finally:
        meet("done")
"""


@needs_network
def test_a_lost_port_is_soon_lost_where_there_are_few(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite(LOST_AMONG_FEW, "test_it.py")
    suite((Path(__file__).parent / "planted" / "conftest.py").read_text(), "conftest.py")
    finished = parasuite.run_pytest("-j", "2", *PRIVATE, "--port-range", "16", "tests")
    assert finished.code == ExitCode.TEST_FAILED, finished.stdout
    assert kinds(finished) == ["lost-port", "refused"]
    assert "the 16 ephemeral ports of the private network ran out" in finished.stdout


def test_a_port_range_without_a_private_network_is_an_error(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--port-range", "64", "--", "true")
    assert (finished.code, finished.stderr) == (
        ExitCode.USAGE,
        "parasuite: --port-range only applies to a private network; add --network private\n",
    )


# --- where it is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_container_that_forbids_namespaces_is_named_with_the_cure(command: str, parasuite: Parasuite) -> None:
    arguments = ["run", *PRIVATE, "--", "true"] if command == "run" else ["doctor"]
    done = subprocess.run(
        refusing(["unshare", "clone3"], [sys.executable, "-m", "parasuite", *arguments]),
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        capture_output=True,
        text=True,
        timeout=SAFETY_NET_S,
    )
    why = f"unshare(2): {os.strerror(errno.EPERM)}; {refusals.FILTERED}"
    if command == "run":
        assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
        assert done.stderr == f"parasuite: --network private: no new network can be made here: {why}\n"
        assert not (parasuite.cwd / ".parasuite").exists()
    else:
        assert f"networks: missing: {why}\n" in done.stdout


ROOT, USER = NetworkPolicy(is_root=True), NetworkPolicy(is_root=False)
UNSHARE, MAP_IDS, CONFIGURE = NetworkStep.UNSHARE, NetworkStep.MAP_IDS, NetworkStep.CONFIGURE


@pytest.mark.parametrize(
    ("step", "number", "policy", "cure"),
    [
        (UNSHARE, errno.ENOSPC, NetworkPolicy(is_root=False, user_namespaces_max=0), "NO_USER_NAMESPACES"),
        (UNSHARE, errno.ENOSPC, NetworkPolicy(is_root=True, network_namespaces_max=0), "NO_NETWORK_NAMESPACES"),
        (UNSHARE, errno.ENOSPC, NetworkPolicy(is_root=False, user_namespaces_max=9), "LIMIT_REACHED"),
        (UNSHARE, errno.EPERM, NetworkPolicy(is_root=False, userns_clone=0), "NO_CLONE"),
        (UNSHARE, errno.EPERM, NetworkPolicy(is_root=True, is_filtered=True), "FILTERED"),
        (UNSHARE, errno.ENOSYS, NetworkPolicy(is_root=False, is_filtered=True), "FILTERED"),
        (UNSHARE, errno.ENOSYS, USER, "NOT_BUILT"),
        (UNSHARE, errno.EINVAL, ROOT, "NOT_BUILT"),
        (UNSHARE, errno.EPERM, USER, "FORBIDDEN"),
        (MAP_IDS, errno.EPERM, NetworkPolicy(is_root=False, apparmor_restricts=1), "APPARMOR"),
        (CONFIGURE, errno.EPERM, NetworkPolicy(is_root=False, apparmor_restricts=1), "APPARMOR"),
        (CONFIGURE, errno.EAFNOSUPPORT, USER, "NO_NETLINK"),
        (NetworkStep.PORT_RANGE, errno.EROFS, ROOT, "READ_ONLY"),
    ],
)  # fmt: skip
def test_a_refusal_names_who_refused_and_the_cure(
    step: NetworkStep, number: int, policy: NetworkPolicy, cure: str
) -> None:
    expected = f"{step}: {os.strerror(number)}; {getattr(refusals, cure)}"
    assert explain_refusal(NetworkRefusal(step, number), policy) == expected


# --- what is planned, and what is noted -----------------------------------------------------------------------------


def test_only_addresses_that_other_hosts_know_are_given_to_the_loopback_device() -> None:
    addresses = ["127.0.0.1", "::1", "fe80::1", "192.0.2.7", "2001:db8::7", "no address"]
    assert plan_network(addresses).addresses == ("192.0.2.7", "2001:db8::7")


@pytest.mark.parametrize("ports", [2, 64, 64_512])
def test_a_narrowed_range_has_as_many_ports_as_asked_for_and_none_that_needs_a_privilege(ports: int) -> None:
    port_range = plan_network([], ports).port_range
    assert port_range is not None
    first, last = port_range
    assert (last - first + 1, first >= 1024, last <= 65535) == (ports, True, True)


def notes_about(errno_name: str, message: str, port_range: int | None = 64) -> list[str]:
    reader = PortRangeReader()
    reader.read(Bind(t_ns=1, asked=Endpoint(Protocol.TCP, "127.0.0.1", 0), errno=errno_name))
    failed = TestResult(id="test", outcome=TestOutcome.FAILED, message=message)
    return reader.notes(port_range, [[failed]])


def test_ports_that_ran_out_are_noted_with_the_width_to_try_next() -> None:
    (note,) = notes_about("EADDRINUSE", "OSError: [Errno 99] Cannot assign requested address")
    assert "1 binds to port 0 were refused and 1 test results name EADDRNOTAVAIL" in note
    assert "--port-range 128" in note


@pytest.mark.parametrize(
    ("errno_name", "message", "port_range"), [("", "AssertionError", 64), ("EADDRINUSE", "EADDRNOTAVAIL", None)]
)
def test_nothing_is_noted_where_ports_did_not_run_out(errno_name: str, message: str, port_range: int | None) -> None:
    assert notes_about(errno_name, message, port_range) == []
