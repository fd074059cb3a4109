"""`parasuite run --dask` with a real scheduler and workers: one run a host, and whatever goes wrong is reported."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

distributed = pytest.importorskip("distributed")

from parasuite.cli.on_hosts import NEEDS_DASK  # noqa: E402
from parasuite.hosts.order import Order  # noqa: E402
from parasuite.hosts.session import TOO_FEW_HOSTS  # noqa: E402
from parasuite.hosts.tasks import SECOND_START, RunRefused, folder_of, run_here  # noqa: E402
from parasuite.hosts.watching import SCHEDULER_GONE, WORKER_GONE  # noqa: E402
from parasuite.probe.interfaces import host_addresses  # noqa: E402
from parasuite.run.networks.namespace import why_refused  # noqa: E402
from parasuite.run.networks.surroundings import plan_network  # noqa: E402

from runner.tests.conftest import SAFETY_NET_S, Finished, Parasuite  # noqa: E402
from runner.tests.dask_cluster import Cluster, running_cluster  # noqa: E402

# Waits until the test says so; *started* has a line with its pid for each start.
WAITING = "echo $$ >> {folder}/started; while [ ! -e {folder}/go ]; do sleep 0.1; done"
DEAF = "trap '' INT TERM; " + WAITING
COLLIDING = """
import socket

def test_port():
    server = socket.socket()
    server.bind(("127.0.0.1", {port}))
    server.listen()
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def networks() -> None:
    if refusal := why_refused(plan_network(host_addresses()[0])):
        pytest.skip(f"no network can be made here: {refusal}")


def started(folder: Path, count: int = 1) -> list[int]:
    """The pids of the commands that have started, once there are *count*."""
    within = time.monotonic() + SAFETY_NET_S
    while True:
        with contextlib.suppress(FileNotFoundError):
            pids = [int(pid) for pid in (folder / "started").read_text().split()]
            if len(pids) >= count:
                return pids
        assert time.monotonic() < within, "the command was not started"
        time.sleep(0.05)


def assert_end(pids: list[int]) -> None:
    """Wait until none of the processes is left."""
    within = time.monotonic() + SAFETY_NET_S
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < within, f"left over: {pids}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Client:
    """A `parasuite run --dask` of a command, in a folder of its own."""

    def __init__(self, parasuite: Parasuite, cluster: Cluster, *options: str, script: str = WAITING, **quick: float):
        self.parasuite = parasuite
        # What takes a minute by default, to let a user see what is missing.
        program = ["-c", "import sys; from parasuite.hosts.watching import Patience; "
                   f"Patience.__init__.__kwdefaults__.update({quick}); "
                   "from parasuite.cli.main import main; main()"]  # fmt: skip
        command = script.format(folder=parasuite.cwd)
        arguments = ["run", "--dask", cluster.address, "-j1", "--sensors=none", *options, "--", "sh", "-c", command]
        self.process = parasuite.start(*arguments, program=program)

    def ended(self) -> Finished:
        return self.parasuite.finish(self.process)

    def says(self, text: str) -> str:
        """Wait for a line with *text* on stderr."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}")

    def let_go(self) -> None:
        (self.parasuite.cwd / "go").touch()


def series_of(finished: Finished) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((finished.folder / "series.json").read_text())
    return record


def is_error_in_junit(finished: Finished, text: str) -> bool:
    junit = (finished.folder / "junit.xml").read_text()
    return "<error" in junit and text in junit


@pytest.mark.usefixtures("networks")
def test_each_network_has_one_run_whatever_the_number_of_its_workers(
    parasuite: Parasuite, cluster: Cluster, suite: Callable[[str], Path], port_outside_the_ephemeral_range: int
) -> None:
    suite(COLLIDING.format(port=port_outside_the_ephemeral_range))
    for name, count in (("first", 1), ("second", 2), ("third", 1)):
        cluster.add_worker("--host", name, "--count", str(count))
    finished = parasuite.run_pytest("--dask", cluster.address, "-j", "2", "tests")
    record = series_of(finished)
    hosts = {json.loads((finished.folder / run / "run.json").read_text())["host"] for run in record["runs"]}
    assert (len(record["runs"]), hosts, record["errors"]) == (3, {"first", "second", "third"}, [])
    assert "[hard-coded]" in finished.stdout
    assert "    on 3 of 3 hosts: " in finished.stdout


@pytest.mark.usefixtures("networks")
def test_the_run_of_a_killed_worker_is_lost_and_that_of_the_other_host_is_reported(
    parasuite: Parasuite, cluster: Cluster
) -> None:
    killed = cluster.add_worker("--host", "killed")
    cluster.add_worker("--host", "living")
    client = Client(parasuite, cluster, gone_s=1.0)
    pids = started(parasuite.cwd, 2)
    os.killpg(killed.pid, signal.SIGKILL)
    lost = client.says(WORKER_GONE)
    client.let_go()
    finished = client.ended()
    assert (finished.code, len(series_of(finished)["runs"]), lost.startswith("killed: ")) == (3, 1, True)
    assert is_error_in_junit(finished, WORKER_GONE)
    assert len(started(parasuite.cwd)) == 2
    assert_end(pids)


def test_a_worker_that_its_nanny_restarts_does_not_begin_the_run_again(
    parasuite: Parasuite, cluster: Cluster, port_outside_the_ephemeral_range: int
) -> None:
    nanny = cluster.add_worker("--nanny-port", str(port_outside_the_ephemeral_range))
    client = Client(parasuite, cluster)
    pids = started(parasuite.cwd)
    (worker,) = (each for each in psutil.Process(nanny.pid).children() if "spawn_main" in " ".join(each.cmdline()))
    worker.kill()
    finished = client.ended()
    (error,) = series_of(finished)["errors"]
    assert (finished.code, SECOND_START in error or WORKER_GONE in error) == (3, True)
    assert started(parasuite.cwd) == pids
    assert_end(pids)


def test_a_task_that_dask_starts_a_second_time_refuses_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    order = Order(key="key", arguments=(), cwd="/", topic="", lease_s=1.0, archive_bytes_max=0)
    folder_of(order.key).mkdir()
    with pytest.raises(RunRefused, match=SECOND_START):
        run_here(order)


def test_a_scheduler_that_goes_away_takes_the_runs_with_it(parasuite: Parasuite, cluster: Cluster) -> None:
    cluster.add_worker()
    client = Client(parasuite, cluster, lease_s=5.0)
    pids = started(parasuite.cwd)
    os.killpg(cluster.scheduler.pid, signal.SIGKILL)
    finished = client.ended()
    assert (finished.code, is_error_in_junit(finished, SCHEDULER_GONE)) == (3, True)
    assert_end(pids)


@pytest.mark.parametrize(("script", "interrupts"), [(WAITING, 1), (DEAF, 2)], ids=["once", "twice"])
def test_ctrl_c_stops_the_runs_and_reports_what_they_recorded(
    script: str, interrupts: int, parasuite: Parasuite, cluster: Cluster
) -> None:
    cluster.add_worker()
    client = Client(parasuite, cluster, script=script)
    pids = started(parasuite.cwd)
    for _ in range(interrupts):
        client.process.send_signal(signal.SIGINT)
    finished = client.ended()
    record = series_of(finished)
    assert (finished.code, len(record["runs"]), record["ended"]) == (130, 1, "interrupted")
    assert_end(pids)


def test_a_killed_client_leaves_no_process_on_a_host(parasuite: Parasuite, cluster: Cluster) -> None:
    cluster.add_worker()
    client = Client(parasuite, cluster, lease_s=3.0)
    pids = started(parasuite.cwd)
    client.process.kill()
    client.ended()
    assert_end(pids)


def test_a_host_that_never_comes_is_lost_and_the_others_run(parasuite: Parasuite, cluster: Cluster) -> None:
    cluster.add_worker()
    client = Client(parasuite, cluster, "--hosts=2", script="true", others_s=0.5)
    finished = client.ended()
    error = TOO_FEW_HOSTS.format(hosts="1 host", asked="2", seconds=0.5)
    assert (finished.code, series_of(finished)["errors"]) == (3, [error])
    assert (len(series_of(finished)["runs"]), is_error_in_junit(finished, error)) == (1, True)


@pytest.mark.usefixtures("networks")
def test_a_host_with_a_full_disk_is_lost_with_the_reason_and_the_others_run(
    parasuite: Parasuite, cluster: Cluster, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    cluster.add_worker("--host", "full", "--disk", str(disk))
    cluster.add_worker("--host", "roomy")
    finished = Client(parasuite, cluster, script="true").ended()
    record = series_of(finished)
    assert (finished.code, len(record["runs"]), len(record["errors"])) == (3, 1, 1)
    assert record["errors"][0].startswith("full: its run is lost: ")
    assert "No space left on device" in record["errors"][0]


def test_a_host_with_another_parasuite_is_named_and_not_used(
    parasuite: Parasuite, cluster: Cluster, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "__init__.py").write_text("")
    cluster.add_worker("--parasuite", str(other))
    finished = Client(parasuite, cluster, script="true").ended()
    assert finished.code == 2
    assert "no host can run this: " in finished.stderr
    assert "its parasuite is: code " in finished.stderr


def test_a_busy_worker_is_waited_for_visibly_and_the_wait_can_be_interrupted(
    parasuite: Parasuite, cluster: Cluster
) -> None:
    cluster.add_worker()
    with distributed.Client(cluster.address, set_as_default=False) as other:
        other.submit(time.sleep, SAFETY_NET_S, pure=False)
        client = Client(parasuite, cluster)
        client.says("which is busy")
        client.process.send_signal(signal.SIGINT)
        finished = client.ended()
    assert (finished.code, (parasuite.cwd / "started").exists()) == (130, False)


def test_two_workers_on_this_host_make_one_run_in_which_the_cluster_is_no_finding(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(COLLIDING.format(port=0))
    finished = parasuite.run_pytest("--dask", "local:2", "-j", "2", "tests")
    record = series_of(finished)
    assert (finished.code, len(record["runs"]), record["errors"]) == (0, 1, [])
    assert json.loads((finished.folder / "findings.json").read_text())["findings"] == []


def test_without_dask_one_line_says_how_to_install_it(parasuite: Parasuite) -> None:
    without = "import sys; sys.modules['distributed'] = None; from parasuite.cli.main import main; main()"
    process = parasuite.start("run", "--dask", "local:1", "--", "true", program=["-c", without])
    assert parasuite.finish(process).stderr == f"parasuite: {NEEDS_DASK}\n"


def test_no_scheduler_is_an_error_of_one_line(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--dask", "tcp://127.0.0.1:1", "--", "true")
    assert (finished.code, finished.stderr.count("\n")) == (2, 1)
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in finished.stderr
