"""Why a new network cannot be made on this machine, and the cure. `explain_refusal` is pure.

Several parties can refuse, and the errno alone does not say which. Source: user_namespaces(7), namespaces(7).

- The kernel has limits for each user: ENOSPC. One that is 0 switches namespaces off.
- Debian's kernels have a switch, kernel.unprivileged_userns_clone: EPERM.
- A container's seccomp profile refuses unshare(2) without CAP_SYS_ADMIN: EPERM, or ENOSYS.
- Ubuntu's AppArmor rule lets unshare(2) pass, and takes all capabilities in the new user namespace away, so that the
  next step is refused: EPERM or EACCES.
- Containers have /proc/sys mounted read-only: EROFS. Only `--port-range` needs to write there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path

from parasuite.model.network_plan import NetworkPolicy, NetworkRefusal, NetworkStep

RUN_AS_ROOT = "or run parasuite as root"
NO_USER_NAMESPACES = (
    f"user.max_user_namespaces is 0: set it with `sysctl user.max_user_namespaces=10000`, {RUN_AS_ROOT}"
)
NO_NETWORK_NAMESPACES = "user.max_net_namespaces is 0: set it with `sysctl user.max_net_namespaces=10000`"
LIMIT_REACHED = (
    "this user's limit of namespaces is reached: raise user.max_user_namespaces and user.max_net_namespaces "
    "with sysctl"
)
NO_CLONE = (
    "kernel.unprivileged_userns_clone is 0: set it with `sysctl kernel.unprivileged_userns_clone=1`, " + RUN_AS_ROOT
)
FILTERED = (
    "a seccomp filter around parasuite refuses it, as a container's does: give the container CAP_SYS_ADMIN "
    "(docker run --cap-add=SYS_ADMIN) or a profile that allows unshare(2) (--security-opt seccomp=...)"
)
APPARMOR = (
    "Ubuntu's AppArmor restriction (kernel.apparmor_restrict_unprivileged_userns) takes the rights in a new user "
    "namespace away: set it with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, give this Python an "
    "AppArmor profile that allows `userns`, " + RUN_AS_ROOT
)
NOT_BUILT = "use a kernel with CONFIG_USER_NS and CONFIG_NET_NS"
READ_ONLY = (
    "/proc/sys is mounted read-only, as in a container: leave --port-range out, or mount it writable (docker run "
    "--privileged, or --security-opt systempaths=unconfined)"
)
NO_NETLINK = "allow AF_NETLINK sockets in the container's seccomp profile"
FORBIDDEN = f"the kernel or a security module forbids it to this user: give it CAP_SYS_ADMIN, {RUN_AS_ROOT}"


def explain_refusal(refusal: NetworkRefusal, policy: NetworkPolicy) -> str:
    """What was refused, who refused it as far as that is known, and what to do: one line."""
    if refusal.killed:
        return f"{refusal.step} ended the process by {signal.Signals(refusal.killed).name}; {FILTERED}"
    return f"{refusal.step}: {os.strerror(refusal.errno)}; {_cure(refusal, policy)}"


def _cure(refusal: NetworkRefusal, policy: NetworkPolicy) -> str:
    number, is_first = refusal.errno, refusal.step is NetworkStep.UNSHARE
    is_denied = number in (errno.EPERM, errno.EACCES)
    if number == errno.EROFS:
        return READ_ONLY
    if number == errno.ENOSPC and is_first:
        if policy.user_namespaces_max == 0:
            return NO_USER_NAMESPACES
        return NO_NETWORK_NAMESPACES if policy.network_namespaces_max == 0 else LIMIT_REACHED
    if is_denied and not is_first and policy.apparmor_restricts:
        return APPARMOR
    if is_denied and is_first and policy.userns_clone == 0 and not policy.is_root:
        return NO_CLONE
    if number == errno.EAFNOSUPPORT:
        return NO_NETLINK
    if policy.is_filtered and (is_denied or number == errno.ENOSYS):
        return FILTERED
    return NOT_BUILT if number in (errno.EINVAL, errno.ENOSYS) else FORBIDDEN


def policy_here() -> NetworkPolicy:
    """What this machine's /proc says."""
    return NetworkPolicy(
        is_root=os.geteuid() == 0,
        user_namespaces_max=_number("/proc/sys/user/max_user_namespaces"),
        network_namespaces_max=_number("/proc/sys/user/max_net_namespaces"),
        userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restricts=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        is_filtered=_is_filtered(),
    )


def _number(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(path).read_text())
    return None


def _is_filtered() -> bool:
    with contextlib.suppress(OSError):
        return "\nSeccomp:\t2" in Path("/proc/self/status").read_text()
    return False
