"""Entering a new network. Linux, standard library only: the init of a copy does it as well.

Source: network_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from parasuite.model.network_plan import PORT_RANGE_SETTING, NetworkPlan, NetworkRefusal, NetworkStep
from parasuite.run.networks.rtnetlink import LOOPBACK, RouteSocket
from parasuite.run.networks.surroundings import SYS_NET

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SELF = Path("/proc/self")


class NetworkError(OSError):
    """A new network could not be made; *refusal* says at which step. This process may be half inside."""

    def __init__(self, refusal: NetworkRefusal) -> None:
        super().__init__(refusal.errno, f"{refusal.step}: {os.strerror(refusal.errno)}")
        self.refusal = refusal


def enter_network(plan: NetworkPlan) -> list[str]:
    """Move this process, which must have one thread only, into a new network as *plan* describes it.

    Returns the names of the settings that could not be copied. Raises NetworkError.
    """
    _unshare()
    not_copied = _copy_settings(plan.settings)
    if plan.port_range is not None:
        with _step(NetworkStep.PORT_RANGE):
            _write(SYS_NET / PORT_RANGE_SETTING, "{}\t{}".format(*plan.port_range))
        not_copied = [name for name in not_copied if name != PORT_RANGE_SETTING]
    with _step(NetworkStep.CONFIGURE):
        _configure(plan)
    return not_copied


def why_refused(plan: NetworkPlan) -> NetworkRefusal | None:
    """Why `enter_network` would fail; None if it would not. A child tries it, so nothing changes for this process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            try:
                enter_network(plan)
            except NetworkError as error:
                os.write(write, json.dumps([error.refusal.step, error.refusal.errno]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return NetworkRefusal(NetworkStep.UNSHARE, errno.EPERM, killed=os.WTERMSIG(status))
    if not answer:
        return None
    step, number = json.loads(answer)
    return NetworkRefusal(NetworkStep(step), number)


def _unshare() -> None:
    """Leave the network of now: with the privilege of root, else with a user namespace of this process's own."""
    uid, gid = os.geteuid(), os.getegid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if uid == 0 and unshare(_CLONE_NEWNET) == 0:
        return
    # Root too, in a container that lacks CAP_SYS_ADMIN.
    if unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise NetworkError(NetworkRefusal(NetworkStep.UNSHARE, ctypes.get_errno()))
    with _step(NetworkStep.MAP_IDS):
        # Otherwise an unprivileged process may not write gid_map. It takes setgroups(2) away.
        _write(_SELF / "setgroups", "deny")
        _write(_SELF / "uid_map", f"{uid} {uid} 1")
        _write(_SELF / "gid_map", f"{gid} {gid} 1")


def _copy_settings(settings: Mapping[str, str]) -> list[str]:
    """Give this network *settings*; the names of those that it does not take.

    A second time for those that it did not take the first time: the kernel refuses an ephemeral range below
    ip_unprivileged_port_start, and the other way round.
    """
    left = [name for name in settings if not _is_set(name, settings[name])]
    return [name for name in left if not _is_set(name, settings[name])]


def _is_set(name: str, value: str) -> bool:
    """Whether the setting *name* is *value* now. One that does not exist here belongs to the whole machine."""
    path = SYS_NET / name
    try:
        if path.read_text().split() == value.split():
            return True
        _write(path, value)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _configure(plan: NetworkPlan) -> None:
    route = RouteSocket()
    try:
        route.set_up(LOOPBACK)
        has_v6 = _has_v6()
        for address in plan.addresses:
            if has_v6 or ":" not in address:
                route.add_address(LOOPBACK, address)
        route.route_multicast(LOOPBACK, socket.AF_INET)
        if has_v6:
            route.route_multicast(LOOPBACK, socket.AF_INET6)
    finally:
        route.close()


def _has_v6() -> bool:
    """Whether `lo` has ::1: it has none where IPv6 is disabled, for instance by a setting that was copied."""
    with contextlib.suppress(OSError):
        return bool(Path("/proc/self/net/if_inet6").read_text().strip())
    return False


def _write(path: Path, text: str) -> None:
    """In one write(2), as the kernel's files need it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _step(step: NetworkStep) -> Iterator[None]:
    try:
        yield
    except NetworkError:
        raise
    except OSError as error:
        raise NetworkError(NetworkRefusal(step, error.errno or 0)) from error
