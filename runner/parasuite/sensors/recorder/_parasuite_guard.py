"""Runs the recorder's own code so that the program never sees it fail, and the run learns that it did.

Standard library only, Python 3.8 or newer. What every Python imports at its start (this module,
_parasuite_environment, _parasuite_restart, _parasuite_tests, _parasuite_page, _parasuite_recorder) imports neither
contextlib nor functools. With collections, which both need, they take a third of the recorder's start, and a short
program may never need them.
"""

from __future__ import annotations

import os
import sys

from _parasuite_frames import absolute, is_ours

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

# The folder for failure reports, the state that a failure means, and the process that has reported one.
_folder, _state, _reported_by = "", "", 0


def report_to(folder: str, state: str) -> None:
    """Have failures reported in *folder*, each as the *state* ("blind" or "partial") that it means for the run."""
    global _folder, _state
    _folder, _state = folder, state


def guarded(work: Any, *arguments: Any) -> Any:
    """Call *work* and return its result. If it fails, report that to the run, not to the program, and return None.

    Every entry into the recorder's own code goes through here.
    """
    try:
        return work(*arguments)
    except RecursionError:
        return None  # The program is at its recursion limit: there is no stack left for a report.
    except Exception as error:
        # Whatever went wrong here: the program only uses a socket and must not see it.
        if _is_programs(error):
            raise
        if not sys.is_finalizing():  # During finalization the modules used here may be gone.
            failed(f"{type(error).__name__}: {error}")
        return None


def _is_programs(error: Exception) -> bool:
    """Whether the program's own code raised *error*: a signal handler that interrupted the recorder."""
    traceback = error.__traceback__
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if not path.startswith("<frozen ") and not is_ours(absolute(path)):
            return True
        traceback = traceback.tb_next
    return False


def failed(why: str) -> None:
    """Report to the run, once per process, that part of this process's record is missing."""
    global _reported_by
    pid = os.getpid()
    if _reported_by != pid:
        _reported_by = pid
        from _parasuite_failures import report_failure

        report_failure(_folder, _state, why)
