"""The result of the self-test: printed by its process as JSON, read by probe.py. Imports nothing of Linux."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SelfTestResult:
    """The result of the self-test. *seccomp*, *netlink*: why it is missing, "" if it works.

    *no_new_privs*: with the filter, setuid programs run without their privilege. *performs*: the supervisor can
    perform bind and listen for their callers; else results are attempts. *proven*: "Python", "native code".
    *problem*: what should have been visible and was not.
    """

    seccomp: str = ""
    netlink: str = ""
    no_new_privs: bool = False
    performs: bool = False
    reason: str = ""
    proven: list[str] = field(default_factory=list)
    problem: str = ""
