"""The network of a run, before anything is started: tried, and entered if it is one for the whole run."""

from __future__ import annotations

import sys
from dataclasses import replace

from parasuite.model.words import NetworkMode
from parasuite.plan.errors import ConfigError
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.settings import SETTINGS
from parasuite.probe.interfaces import host_addresses
from parasuite.run.networks.namespace import enter_network, why_refused
from parasuite.run.networks.refusals import explain_refusal, policy_here
from parasuite.run.networks.surroundings import plan_network

NEEDS_LINUX = "network namespaces are Linux's"
NOT_COPIED = "the new network does not have this host's value of {names}: writing it was refused"


def with_network(spec: RunSpec) -> RunSpec:
    """*spec*, with what there is to note about its network, which this process has entered if it is private.

    Call it while this process has one thread only. Raises ConfigError if no new network can be made.
    """
    if spec.network is NetworkMode.HOST:
        return spec
    if why := why_no_network(spec.port_range):
        label = SETTINGS["network"].label(spec.origins["network"])
        raise ConfigError(f"{label} {spec.network}: no new network can be made here: {why}")
    if spec.network is NetworkMode.PRIVATE:
        return replace(spec, notes=(*spec.notes, *enter_private(spec.port_range)))
    return spec


def why_no_network(port_range: int | None = None) -> str:
    """Why no new network can be made here, with the cure; "" if it can. Changes nothing."""
    if sys.platform != "linux":
        return NEEDS_LINUX
    refusal = why_refused(plan_network(host_addresses()[0], port_range))
    return explain_refusal(refusal, policy_here()) if refusal is not None else ""


def enter_private(port_range: int | None = None) -> list[str]:
    """Enter a new network, which `why_no_network` has shown to be possible; what there is to note about it."""
    not_copied = enter_network(plan_network(host_addresses()[0], port_range))
    names = ", ".join("net." + name.replace("/", ".") for name in not_copied)
    return [NOT_COPIED.format(names=names)] if names else []
