"""`--network each`: no copy can meet another one, and yet every port that would make them collide is found."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.findings import find
from parasuite.judge.networks import as_shared, with_networks
from parasuite.judge.verdict import ExitCode
from parasuite.model.events import Bind, Connect, Event, Listen, Release, RunStarted
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.network_plan import NetworkPlan
from parasuite.model.words import NetworkMode
from parasuite.record.run_folder import RunFolder

from netsupport import reserve_port
from netsupport.tests import real_tools
from runner.tests.building import by, serves, tcp
from runner.tests.conftest import Finished, Parasuite, kinds, planted

if sys.platform != "linux":
    pytest.skip("network namespaces are Linux's", allow_module_level=True)

from parasuite.run.networks.prepare import why_no_network
from parasuite.run.supervisor.messages import StartCopy, from_json, network_of, network_text, to_json

EACH = ("--network", "each")
needs_network = pytest.mark.skipif(bool(why_no_network()), reason=f"no new network: {why_no_network()}")

_PYTHON = "import socket, sys; socket.create_server(('127.0.0.1', int(sys.argv[1]))).close()"
_NODE = "require('net').createServer().listen(+process.argv[1], '127.0.0.1', function () { this.close() })"
_OPENSSL = """
import subprocess, sys
argv = ["openssl", "s_server", "-nocert", "-4", "-accept", "127.0.0.1:" + sys.argv[1]]
with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
    assert any(b"ACCEPT" in line for line in server.stdout)
    server.kill()
"""
_STATIC_C = """
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
    struct sockaddr_in here = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    return bind(server, (struct sockaddr *)&here, sizeof here) || listen(server, 1);
}
"""


def program(language: str, folder: Path) -> list[str]:
    """A program that serves on the port in its last argument for a moment, and fails if it cannot."""
    if language == "Python":
        return [sys.executable, "-c", _PYTHON]
    if language == "node":
        return [real_tools.program("node"), "-e", _NODE]
    if language == "openssl":
        real_tools.program("openssl", "version")
        return [sys.executable, "-I", "-S", "-c", _OPENSSL]
    source, made = folder / "server.c", folder / "server"
    source.write_text(_STATIC_C)
    compiler = real_tools.program_if_any("gcc", "cc")
    argv = [compiler, "-static", "-o", str(made), str(source)]
    if not compiler or subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        pytest.skip("a static C program cannot be compiled here")
    return [str(made)]


def ids(finished: Finished) -> set[tuple[str, str, str]]:
    return {(finding["cause"], finding["id"], finding["evidence"]) for finding in finished.findings}


@needs_network
@pytest.mark.parametrize("language", ["Python", "node", "openssl", "static C"])
def test_a_fixed_port_is_found_as_on_the_host_exact_and_with_its_release(
    parasuite: Parasuite, tmp_path: Path, language: str
) -> None:
    argv = program(language, tmp_path)
    with reserve_port(child_reuses_address=False) as lease:
        on_host = parasuite("run", "-j", "1", "--", *argv, str(lease.port))
        apart = parasuite("run", "-j", "2", *EACH, "--", *argv, str(lease.port))
    assert apart.code == ExitCode.PASSED, apart.stdout + apart.stderr
    assert ids(apart) == ids(on_host) != set()
    assert kinds(apart) == ["hard-coded"]  # On the host one copy asked for it: that is a note.
    assert apart.findings[0]["evidence"] == "exact"
    events = list(RunFolder(apart.folder).events(lambda: False))
    listened = {(event.party, event.cookie) for event in events if isinstance(event, Listen)}
    released = {(event.party, event.cookie) for event in events if isinstance(event, Release) and event.is_timed}
    assert len(listened) == 2
    assert listened <= released


THREE_PORTS = """
import os, socket

def test_three_services(meet):
    first = int(os.environ["PLANTED_PORT"])
    with socket.create_server(("127.0.0.1", first)), socket.create_server(("127.0.0.1", first + 1)):
        with socket.create_server(("127.0.0.1", first + 2)):
            meet("all three are up")
"""


def planted_suite(suite: Callable[..., Path], source: str) -> None:
    suite(source, "test_it.py")
    suite((Path(__file__).parent / "planted" / "conftest.py").read_text(), "conftest.py")


def run_planted(parasuite: Parasuite, first_port: int, *arguments: str) -> Finished:
    return parasuite.run_pytest("-j", "2", *arguments, "tests", environ={"PLANTED_PORT": str(first_port)})


@needs_network
def test_all_ports_are_found_that_copies_ask_for_one_after_another(
    parasuite: Parasuite, suite: Callable[..., Path]
) -> None:
    planted_suite(suite, THREE_PORTS)
    # In networks of their own the copies meet no one else: any three ports outside the ephemeral range will do.
    finished = run_planted(parasuite, 20_000, *EACH)
    assert finished.code == ExitCode.PASSED, finished.stdout
    found = {finding["endpoint"]["port"]: finding["severity"] for finding in finished.findings}
    assert found == dict.fromkeys((20_000, 20_001, 20_002), "warning")
    assert not any(finding["effects"] for finding in finished.findings)  # At one time, and nobody was in the way.


CLIENT = """
import os, socket, pytest

def test_a_client(meet, copy):
    here = ("127.0.0.1", int(os.environ["PLANTED_PORT"]))
    if copy == 0:
        with socket.create_server(here):
            meet("up")
            meet("tried")
    else:
        meet("up")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(here)
        meet("tried")
"""


@needs_network
def test_no_client_reaches_another_copys_server(parasuite: Parasuite, suite: Callable[..., Path]) -> None:
    planted_suite(suite, CLIENT)
    finished = run_planted(parasuite, 20_000, *EACH)
    assert (finished.code, kinds(finished)) == (ExitCode.PASSED, []), finished.stdout
    assert [finding["cause"] for finding in finished.findings] == ["hard-coded"]  # A note: one copy asked for it.


SEEN = """
import os, socket

def test_a_server(until_seen):
    port = int(os.environ["PLANTED_PORT"])
    with socket.create_server(("127.0.0.1", port)):
        until_seen(port)
"""


@needs_network
@pytest.mark.parametrize("sensors", ["recorder", "sampler"])
def test_the_other_sensors_follow_the_copies(parasuite: Parasuite, suite: Callable[..., Path], sensors: str) -> None:
    planted_suite(suite, SEEN if sensors == "sampler" else THREE_PORTS)
    finished = run_planted(parasuite, 20_000, *EACH, "--sensors", sensors)
    assert (finished.code, set(kinds(finished))) == (ExitCode.PASSED, {"hard-coded"}), finished.stdout


@needs_network
def test_nothing_is_said_of_a_network_that_the_suite_makes_inside_its_own(parasuite: Parasuite) -> None:
    in_order = {"PYTEST_ADDOPTS": "-p no:randomly"}
    finished = parasuite.run_pytest("-j", "2", *EACH, planted("private_network"), environ=in_order)
    assert (finished.code, finished.findings) == (ExitCode.PASSED, []), finished.stdout


@needs_network
def test_a_run_says_that_each_copy_had_a_network_of_its_own(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "2", *EACH, "--", sys.executable, "-c", "")
    words = "each in a network of its own"
    assert words in finished.stderr.partition("\n")[0]
    assert f"ports {words}: no finding" in finished.stdout
    assert finished.run["network"] == "each"


PORTS = """
import os, socket

def bound(port):
    with socket.create_server(("127.0.0.1", port)) as server:
        return server.getsockname()[1]

def drawn():
    return bound(0)

def test_fixed():
    bound(int(os.environ["PLANTED_PORT"]))

def test_lost():
    bound(drawn())
"""


@needs_network
def test_findings_of_copies_in_networks_of_their_own_are_proven_in_another_one(
    parasuite: Parasuite, suite: Callable[..., Path]
) -> None:
    planted_suite(suite, PORTS)
    # Held on the host: were the port taken there, it could not be, and would be in nobody's way.
    with socket.create_server(("127.0.0.1", 0)) as on_host:
        finished = run_planted(parasuite, on_host.getsockname()[1], *EACH, "--prove", "300")
    assert finished.code == ExitCode.PASSED, finished.stdout + finished.stderr
    proven = {finding["cause"]: (finding["evidence"], finding["proof"]) for finding in finished.findings}
    assert {cause: evidence for cause, (evidence, _) in proven.items()} == {
        "hard-coded": "proven",
        "lost-port": "proven",
    }
    for _, proof in proven.values():
        assert "Address already in use" in proof["message"]


# --- judging --------------------------------------------------------------------------------------------------------


def started(mode: NetworkMode) -> RunStarted:
    return RunStarted(t_ns=0, wall_ns=0, ephemeral_first=32768, ephemeral_last=60999, network_mode=mode)


def two_servers(mode: NetworkMode) -> list[Event]:
    """Both copies serve on one port at once, and a client of the second connects to it."""
    port = tcp(8025)
    servers = [event for copy in (0, 1) for event in serves(2 * copy + 1, by(copy), port)]
    return [started(mode), *servers, Connect(t_ns=9, caller=by(1), destination=port)]


def test_servers_in_networks_of_their_own_share_nothing_and_are_fixed_all_the_same() -> None:
    (shared,) = find(two_servers(NetworkMode.PRIVATE)).findings
    (apart,) = find(two_servers(NetworkMode.EACH)).findings
    assert (shared.id, len(shared.parties)) == (apart.id, len(apart.parties))
    assert [effect.kind for effect in shared.effects] == ["shared"]
    assert apart.effects == ()


def test_each_copy_has_its_own_network_and_a_suites_stays_as_it_is() -> None:
    inner = Network(4026532000)
    events = [
        started(NetworkMode.EACH),
        Bind(t_ns=1, caller=by(0), asked=tcp(1), got=tcp(1)),
        Bind(t_ns=2, caller=by(1), asked=tcp(1)._replace(network=inner), network=inner),
    ]
    _, own, nested = with_networks(events)
    assert isinstance(own, Bind)
    assert isinstance(nested, Bind)
    assert (own.network, own.asked.network) == (Network.of_copy(0), Network.of_copy(0))
    assert (nested.network, nested.asked.network) == (inner, inner)
    assert as_shared(own.asked).network == OUR_NETWORK
    assert as_shared(nested.asked).network == inner


def test_the_plan_of_the_supervisors_network_survives_being_written() -> None:
    plan = NetworkPlan(addresses=("192.0.2.7",), settings={"ipv4/tcp_rmem": "1\t2\t3\n"}, port_range=(1024, 1087))
    assert network_of(network_text(plan)) == plan


def test_a_message_brings_the_plan_of_a_network_along() -> None:
    plan = NetworkPlan(addresses=("192.0.2.7",), settings={"ipv4/tcp_rmem": "1\t2\t3\n"}, port_range=(1024, 1087))
    for network in (None, plan):
        order = StartCopy(copy=0, argv=("a",), env={}, cwd="/", output="", ignored=(), network=network)
        assert from_json(to_json(order)) == order
