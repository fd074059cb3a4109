"""Processes outside the run: what they are, and which other parasuite they run under. Linux, standard library only.

Two jobs of a CI host that use one port are strangers to each other. Every process of a run has PARASUITE_RUN_ID,
PARASUITE_COPY and PARASUITE_COPY_DIR in its environment, unless a program has cleared that; then its parent may still
have them. The environment can be read by the same user, and by root.

The folder that a stranger's environment names can be anything, also a mount that never answers. So it is opened in a
thread that is abandoned if it does (aside.py).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from parasuite.model.events import OtherRun
from parasuite.model.words import CopyVariable
from parasuite.model.workers import CURRENT_TEST, current_test
from parasuite.sensors import proc
from parasuite.sensors.seccomp import pages
from parasuite.sensors.seccomp.aside import Aside

_COMMAND_MAX = 1000
_ANCESTORS_MAX = 16
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NAMES = frozenset(
    name.encode() for name in (CopyVariable.RUN_ID, CopyVariable.COPY, CopyVariable.COPY_DIR, CURRENT_TEST)
)
_COPY_DIGITS_MAX = 6
# PARASUITE_COPY_DIR is RUN_FOLDER/copies/NNN, and the pages of that copy are in its folder "pages".
_COPIES, _PAGES = "copies", "pages"


class Stranger(NamedTuple):
    """A process outside the run. *start_s*: seconds since the epoch. *other_run*: None if it is in no other run."""

    name: str
    command: str
    start_s: float
    other_run: OtherRun | None


class Strangers:
    """Describes processes outside the run."""

    def __init__(self) -> None:
        self._boot_s = proc.boot_s()
        self._aside = Aside()

    def described(self, pid: int) -> Stranger | None:
        """The process *pid*; None if it has ended. What may not be seen of it is empty."""
        try:
            stat = proc.stat(pid)
        except OSError:
            return None
        return Stranger(
            name=stat.name,
            command=proc.command(pid, _COMMAND_MAX),
            start_s=self._boot_s + stat.start_ticks / _TICKS_PER_S,
            other_run=self._other_run(pid, stat),
        )

    def _other_run(self, pid: int, stat: proc.Stat) -> OtherRun | None:
        line = _ancestry(pid, stat)
        for member, _ in line:
            variables = proc.variables(member, _NAMES)
            copy = variables.get(CopyVariable.COPY, "")
            if variables.get(CopyVariable.RUN_ID) and copy.isdecimal() and len(copy) <= _COPY_DIGITS_MAX:
                copy_dir = variables.get(CopyVariable.COPY_DIR, "")
                return OtherRun(
                    variables[CopyVariable.RUN_ID], int(copy), _run_folder(copy_dir), self._test(line, copy_dir)
                )
        return None

    def _test(self, line: list[tuple[int, int]], copy_dir: str) -> str:
        """The test that a process runs, that ran when it was started, or that its nearest ancestor runs.

        *line*: the process and its ancestors. *copy_dir*: the folder of their copy, as their environment names it.
        """
        test = self._aside(lambda: _test_in_pages(copy_dir, line[:1])) or current_test(
            proc.variables(line[0][0], _NAMES)
        )
        return test or self._aside(lambda: _test_in_pages(copy_dir, line[1:])) or ""


def _ancestry(pid: int, stat: proc.Stat) -> list[tuple[int, int]]:
    """The process *pid* and its ancestors, the nearest first: (pid, start in ticks)."""
    line = [(pid, stat.start_ticks)]
    while stat.parent > 1 and len(line) <= _ANCESTORS_MAX:
        pid = stat.parent
        try:
            stat = proc.stat(pid)
        except OSError:
            break
        line.append((pid, stat.start_ticks))
    return line


def _run_folder(copy_dir: str) -> str:
    """The run folder that *copy_dir* lies in; *copy_dir* itself if it lies in none."""
    copies, _ = os.path.split(copy_dir)
    run_folder, name = os.path.split(copies)
    return run_folder if name == _COPIES else copy_dir


def _test_in_pages(copy_dir: str, line: list[tuple[int, int]]) -> str:
    """The test that the first of *line* that publishes a page runs; "" if none does. May wait for ever."""
    if not os.path.isabs(copy_dir):
        return ""
    folder = pages.Folder(os.path.join(copy_dir, _PAGES))
    try:
        for pid, start_ticks in line:
            page = folder.open_page(pid, start_ticks)
            if page is not None:
                test = page.process_test().test
                page.close()
                return test
    except (OSError, ValueError):
        pass  # Whatever is there, it is not a page.
    finally:
        folder.close()
    return ""
