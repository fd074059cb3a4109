"""What this host lets us see: tried out at the start of each run, and by `parasuite doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parasuite.events import Event, SensorState

RECORDER = Path(__file__).parent / "sensors" / "recorder"
SENSORS = ("seccomp", "recorder", "sampler")
SELF_TEST = "self-test"
SECCOMP_CANNOT_SEE = (
    "where sendmsg and io_uring send or connect to, and io_uring's binds",
    "sockets that a copy inherited, and those that a daemon outside the run binds for it (dockerd, systemd, adb)",
    "32-bit programs on a 64-bit kernel",
    "whether a bind of a Unix or VSOCK socket succeeded (an attempt can only show a hard-coded name)",
    "releases and holders inside network namespaces that a copy makes for itself",
)
RECORDER_CANNOT_SEE = (
    "programs that are not Python, and Python under -I, -E or -S: the sampler sees their listeners once a second",
    "the last close of a socket that several processes share",
    "who stood in the way of a refused bind, unless it was a Python of another copy",
    "what native code does with a socket that it made itself",
)
WITHOUT_PRIVILEGE = (
    "what setuid programs (sudo, su, ping) do with their privilege: in the copies they have none, because parasuite "
    "does not run as root and its filter needs no_new_privs; --sensors recorder,sampler leaves it to them"
)
_TIMEOUT_S = 90.0
_NESTED = "a parasuite around this one, or another sandbox, watches already"
# Why something is missing (an errno and its words, or a name in them) and what to do about it.
_CURES = (
    ("16 ", "run parasuite outside of it; its own report shows this run's sockets"),
    ("pidfd_getfd", "give the container CAP_SYS_PTRACE (docker run --cap-add=SYS_PTRACE)"),
    ("pidfd_open", "allow pidfd_open(2) in the container's seccomp profile"),
    ("process_vm_readv", "give the container CAP_SYS_PTRACE, or allow process_vm_readv(2) in its seccomp profile"),
    ("netlink", "allow AF_NETLINK sockets in the container's seccomp profile"),
    ("before Linux 5.19", "use Linux 5.19 or newer"),
    ("1 ", "allow seccomp(2) in the container's seccomp profile"),
    ("22 ", "use a kernel with CONFIG_SECCOMP_FILTER, Linux 5.9 or newer"),
    ("38 ", "use a kernel with CONFIG_SECCOMP_FILTER, Linux 5.9 or newer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a run can see. *use*: the sensors to run. *missing*: name and why, with the cure where one is known.

    *partial*: of seccomp, why results are only attempts; "" if they are exact. *recorder_mode*: what the recorder is
    to do: "pages", "events", or "" for nothing. *no_new_privs*: setuid programs lose their privilege. *proven*: what
    a planted collision showed to be visible. *problem*: what should have been visible and was not.
    """

    use: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    partial: str = ""
    recorder_mode: str = ""
    no_new_privs: bool = False
    proven: tuple[str, ...] = ()
    problem: str = ""

    def events(self) -> list[Event]:
        """The same as events, for the record."""
        found = [(name, "missing", why) for name, why in self.missing]
        if self.partial:
            found.append(("seccomp", "partial", self.partial))
        if self.problem:
            found.append((SELF_TEST, "blind", self.problem))
        elif self.proven:
            found.append((SELF_TEST, "down", " and ".join(self.proven)))
        now_ns = time.monotonic_ns()
        return [
            SensorState(t_ns=now_ns, source="orchestrator", sensor=name, state=state, why=why)
            for name, state, why in found
        ]


def look(asked: Sequence[str]) -> Sight:
    """Try *asked* out: names of sensors, or "auto" for all that there are. Takes about half a second; changes
    nothing.
    """
    wanted = SENSORS if "auto" in asked else tuple(name for name in SENSORS if name in asked)
    missing: dict[str, str] = {}
    if "seccomp" in wanted and sys.platform != "linux":
        missing["seccomp"] = "it is Linux's"
    tries_seccomp = "seccomp" in wanted and "seccomp" not in missing
    has_recorder = "recorder" in wanted
    if not tries_seccomp and not (has_recorder and sys.platform == "linux"):
        use = tuple(name for name in wanted if name not in missing)
        mode = "events" if has_recorder else ""
        return Sight(use=use, missing=tuple(missing.items()), recorder_mode=mode)
    shown, failure = _shown(tries_seccomp, has_recorder)
    if failure:
        return Sight(use=wanted, missing=tuple(missing.items()), problem=failure)
    if shown["seccomp"]:
        missing["seccomp"] = _with_cure(shown["seccomp"])
    exact = tries_seccomp and "seccomp" not in missing
    partial = _with_cure(shown["reason"]) if exact and not shown["performs"] else ""
    return Sight(
        use=tuple(name for name in wanted if name not in missing),
        missing=tuple(missing.items()),
        partial=partial,
        recorder_mode=("pages" if exact and not partial else "events") if has_recorder else "",
        no_new_privs=exact and shown["no_new_privs"],
        proven=tuple(shown["proven"]),
        problem=shown["problem"],
    )


def _shown(tries_seccomp: bool, has_recorder: bool) -> tuple[dict[str, Any], str]:
    """What the self-test, a process of its own, printed; or why it printed nothing."""
    root = str(Path(__file__).parent.parent)
    recorder = str(RECORDER) if has_recorder else ""
    script = (
        f"import sys; sys.path.insert(0, {root!r}); from parasuite.sensors.selftest import main; "
        f"main({tries_seccomp}, {recorder!r})"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", script],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="backslashreplace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {}, f"the self-test could not be run: {error}"
    try:
        shown: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return {}, f"the self-test ended with status {done.returncode}: {last}"
    return shown, ""


def _with_cure(why: str) -> str:
    number, _, words = why.partition(" ")
    cure = next((cure for key, cure in _CURES if key == f"{number} " or (not key[0].isdigit() and key in why)), "")
    if number.isdigit():
        why = _NESTED if number == "16" else words
    return f"{why}; {cure}" if cure else why


_WHAT = {
    "seccomp": "every bind, listen, connect and release, of any program, with its result",
    "recorder": "which test and which line, in Python processes",
    "sampler": "listeners, at most once a second",
}


def doctor_lines(sight: Sight) -> list[str]:
    """What *sight* means, for people."""
    lines = [
        f"{name}: {'works' if name != 'seccomp' or not sight.partial else 'works in part'}: {_WHAT[name]}"
        for name in sight.use
    ]
    if sight.partial:
        lines.append(f"    results are attempts, looked up a moment later: {sight.partial}")
    lines += [f"{name}: missing: {why}" for name, why in sight.missing]
    if sight.problem:
        lines.append(f"self-test: failed: {sight.problem}")
    elif sight.proven:
        lines.append(f"self-test: a planted collision of {' and of '.join(sight.proven)} was seen, with both sides")
    else:
        lines.append("self-test: none: the sampler alone sees a collision only by chance")
    blind = SECCOMP_CANNOT_SEE if "seccomp" in sight.use else RECORDER_CANNOT_SEE if "recorder" in sight.use else ()
    if sight.no_new_privs:
        blind = (*blind, WITHOUT_PRIVILEGE)
    return lines + ["not seen here:" for _ in blind[:1]] + [f"    {sentence}" for sentence in blind]
