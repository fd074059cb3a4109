"""`parasuite doctor`, and what every command needs to observe anything."""

from __future__ import annotations

import sys

import click

from parasuite.cli.output import print_safely, stop
from parasuite.judge.verdict import ExitCode
from parasuite.model.sensors import SensorName
from parasuite.model.words import NetworkMode
from parasuite.plan.errors import ConfigError
from parasuite.plan.options import SettingOption
from parasuite.probe.probe import doctor_lines, probe_sensors
from parasuite.reports.wording import in_network
from parasuite.run.networks.prepare import enter_private, why_no_network
from parasuite.run.supervisor.process_tree import why_no_proc

NETWORKS_WORK = "networks: --network private and --network each work"
NETWORKS_MISSING = "networks: missing: {why}"
_NETWORK = "Network to test the sensors in: this host's, or a new one (Linux). With each, a new one, too."
_SENSORS = f"Sensors to test: auto, or some of {','.join(SensorName)}."


@click.command(
    "doctor",
    params=[
        SettingOption("sensors", is_stored=False, help=_SENSORS),
        SettingOption("network", is_stored=False, help=_NETWORK),
    ],
    short_help="test what parasuite can observe on this machine",
)
def doctor_command(sensors: tuple[str, ...], network: NetworkMode) -> None:
    """Test the sensors with a staged collision, and report what this machine lets parasuite observe and what it does
    not, and how to fix that. The same for new networks, which --network private and each need.

    Exits with 0 if every available sensor passed; with 3 if one did not, or if a sensor in LIST is not available.
    """
    check_proc()
    why_none = why_no_network()
    if network is not NetworkMode.HOST:
        if why_none:
            raise ConfigError(f"--network {network}: no new network can be made here: {why_none}")
        enter_private()
    visibility = probe_sensors(sensors)
    for line in doctor_lines(visibility, in_network(network)):
        print_safely(line)
    print_safely(NETWORKS_MISSING.format(why=why_none) if why_none else NETWORKS_WORK)
    named_and_missing = visibility.missing and sensors != ("auto",)
    sys.exit(ExitCode.BLIND if visibility.problem or named_and_missing else ExitCode.PASSED)


def check_proc() -> None:
    """Exit with USAGE where no usable /proc is mounted."""
    if sys.platform == "linux" and (why := why_no_proc()):
        # Without it, neither sockets nor the processes of a copy can be found.
        stop(f"{why}: mount one with `mount -t proc proc /proc`, or `unshare --mount-proc`")
