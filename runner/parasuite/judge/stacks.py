"""Finds in a copy's output where it was when it was stopped for taking too long. Pure.

SIGABRT makes each Python process write the stacks of its threads (faulthandler). Processes may write at the same
time, so a stack may end in the middle of another's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FRAMES_MAX = 10
_ABORTED = "Fatal Python error: Aborted"
_THREAD = re.compile(r"(?:Current t|T)hread 0x[0-9a-f]+.*\(most recent call first\):\Z")
_FRAME = re.compile(r'  File ".*", line (?:\d+|\?\?\?) in .')


def head_of_stacks(output: str) -> Sequence[str]:
    """The innermost frames of a thread in the first process that wrote its stacks, innermost first.

    The thread is the one that got the signal (as a rule the main one), else the first. () if there are no stacks.
    """
    _, _, dump = output.partition(_ABORTED)
    lines = dump.partition(_ABORTED)[0].splitlines()
    starts = [number for number, line in enumerate(lines) if _THREAD.match(line)]
    if not starts:
        return ()
    current = [number for number in starts if lines[number].startswith("Current")]
    frames = []
    for line in lines[(current or starts)[0] + 1 :][:FRAMES_MAX]:
        if not _FRAME.match(line):
            break
        frames.append(line.strip())
    return tuple(frames)
