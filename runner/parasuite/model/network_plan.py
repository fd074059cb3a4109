"""What a network that parasuite makes is to be like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PORT_RANGE_SETTING = "ipv4/ip_local_port_range"


class NetworkStep(StrEnum):
    """The steps of making a network, as messages name them."""

    UNSHARE = "unshare(2)"
    MAP_IDS = "writing /proc/self/uid_map and gid_map"
    CONFIGURE = "configuring the loopback device"
    PORT_RANGE = "setting net.ipv4.ip_local_port_range"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What a new network takes over from the one around it.

    *addresses*: other than loopback ones, for `lo` to have, so that this host's name and addresses mean itself there,
    too. *settings*: the content of files below /proc/sys/net, by path. *port_range*: the first and last ephemeral
    port; None if *settings* decide.
    """

    addresses: tuple[str, ...] = ()
    settings: Mapping[str, str]
    port_range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class NetworkRefusal:
    """The step that failed, and its errno. *killed*: the signal that ended the process that tried; 0 if none did."""

    step: NetworkStep
    errno: int
    killed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """What this machine says about making networks; None where it says nothing.

    *user_namespaces_max*, *network_namespaces_max*: limits of this user. *userns_clone*: Debian's
    kernel.unprivileged_userns_clone. *apparmor_restricts*: Ubuntu's kernel.apparmor_restrict_unprivileged_userns.
    *is_filtered*: this process is under a seccomp filter.
    """

    is_root: bool
    user_namespaces_max: int | None = None
    network_namespaces_max: int | None = None
    userns_clone: int | None = None
    apparmor_restricts: int | None = None
    is_filtered: bool = False
