"""What this host lets us see: tried out at the start of each run, and by `parasuite doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parasuite.model.events import Event, SensorState
from parasuite.model.sensors import SELF_TEST, SENSORS, SensorName, cannot_see
from parasuite.model.words import SensorStatus
from parasuite.probe.self_test_result import SelfTestResult

RECORDER = Path(__file__).parent.parent / "sensors" / "recorder"
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
class Visibility:
    """What a run can see. *use*: the sensors to run. *missing*: name and why, with the cure where one is known.

    *partial*: of seccomp, why results are only attempts; "" if they are exact. *recorder_mode*: what the recorder is
    to do: "pages", "events", or "" for nothing. *no_new_privs*: setuid programs lose their privilege. *proven*: what
    a planted collision showed to be visible. *problem*: what should have been visible and was not.
    """

    use: tuple[SensorName, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    partial: str = ""
    recorder_mode: str = ""
    no_new_privs: bool = False
    proven: tuple[str, ...] = ()
    problem: str = ""

    def events(self) -> list[Event]:
        """The same as events, for the record."""
        found = [(name, SensorStatus.MISSING, why) for name, why in self.missing]
        if self.partial:
            found.append((SensorName.SECCOMP, SensorStatus.PARTIAL, self.partial))
        if self.problem:
            found.append((SELF_TEST, SensorStatus.BLIND, self.problem))
        elif self.proven:
            found.append((SELF_TEST, SensorStatus.DOWN, " and ".join(self.proven)))
        now_ns = time.monotonic_ns()
        return [
            SensorState(t_ns=now_ns, source="orchestrator", sensor=name, state=state, why=why)
            for name, state, why in found
        ]


def probe_sensors(asked: Sequence[str]) -> Visibility:
    """Try the sensors in *asked* ("auto": all of them). Takes about half a second; changes nothing."""
    wanted = tuple(name for name in SensorName if name in asked or "auto" in asked)
    missing: dict[str, str] = {}
    if "seccomp" in wanted and sys.platform != "linux":
        missing["seccomp"] = "it is Linux's"
    tries_seccomp = "seccomp" in wanted and "seccomp" not in missing
    has_recorder = "recorder" in wanted
    if not tries_seccomp and not (has_recorder and sys.platform == "linux"):
        use = tuple(name for name in wanted if name not in missing)
        mode = "events" if has_recorder else ""
        return Visibility(use=use, missing=tuple(missing.items()), recorder_mode=mode)
    result, failure = _run_self_test(tries_seccomp, has_recorder)
    if failure:
        return Visibility(use=wanted, missing=tuple(missing.items()), problem=failure)
    if result.seccomp:
        missing["seccomp"] = _with_cure(result.seccomp)
    exact = tries_seccomp and "seccomp" not in missing
    partial = _with_cure(result.reason) if exact and not result.performs else ""
    return Visibility(
        use=tuple(name for name in wanted if name not in missing),
        missing=tuple(missing.items()),
        partial=partial,
        recorder_mode=("pages" if exact and not partial else "events") if has_recorder else "",
        no_new_privs=exact and result.no_new_privs,
        proven=tuple(result.proven),
        problem=result.problem,
    )


def _run_self_test(tries_seccomp: bool, has_recorder: bool) -> tuple[SelfTestResult, str]:
    """The result of the self-test, which runs in another process; and why there is none, "" if there is."""
    root = str(Path(__file__).parents[2])
    recorder = str(RECORDER) if has_recorder else ""
    script = (
        f"import sys; sys.path.insert(0, {root!r}); from parasuite.probe.self_test import main; "
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
        return SelfTestResult(), f"the self-test could not be run: {error}"
    try:
        result = SelfTestResult(**json.loads(done.stdout))
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return SelfTestResult(), f"the self-test ended with status {done.returncode}: {last}"
    return result, ""


def _with_cure(why: str) -> str:
    number, _, words = why.partition(" ")
    cure = next((cure for key, cure in _CURES if key == f"{number} " or (not key[0].isdigit() and key in why)), "")
    if number.isdigit():
        why = _NESTED if number == "16" else words
    return f"{why}; {cure}" if cure else why


def doctor_lines(visibility: Visibility, where: str = "") -> list[str]:
    """What *visibility* means, for people. *where*: the network of the self-test, `in the host's network`."""
    lines = []
    for name in visibility.use:
        works = "works in part" if name == SensorName.SECCOMP and visibility.partial else "works"
        lines.append(f"{name}: {works}: {SENSORS[name].summary}")
    if visibility.partial:
        lines.append(f"    results are attempts, looked up a moment later: {visibility.partial}")
    lines += [f"{name}: missing: {why}" for name, why in visibility.missing]
    if visibility.problem:
        lines.append(f"self-test: failed: {visibility.problem}")
    elif visibility.proven:
        lines.append(
            f"self-test: a planted collision of {' and of '.join(visibility.proven)} was seen, with both sides"
            + (f", {where}" if where else "")
        )
    else:
        lines.append("self-test: none: the sampler alone sees a collision only by chance")
    blind = cannot_see(visibility.use, without_privilege=visibility.no_new_privs)
    return lines + ["not seen here:" for _ in blind[:1]] + [f"    {sentence}" for sentence in blind]
