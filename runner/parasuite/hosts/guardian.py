"""A process that runs a command for as long as its standard input stays open.

A worker of a cluster can be killed at any moment, and what it has started would go on for ever. The guardian is in a
session of its own, so no signal for the worker reaches it, and it stops the command once the worker is gone: that
closes the pipe. A line on it is an interrupt for the command, like Ctrl-C.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

_LOOKS_EVERY_S = 0.2
_KILLED_AFTER_S = 30.0
"""From TERM on; a parasuite that is killed takes its copies with it."""


def main() -> int:
    """Run the command, a JSON list that is the only argument; its exit code."""
    # A cluster may ignore it, and so would the command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(json.loads(sys.argv[1]), stdin=subprocess.DEVNULL) as child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while child.poll() is None:
            if not select.select([0], [], [], _LOOKS_EVERY_S)[0]:
                continue
            lines = os.read(0, 1024)
            if not lines:
                return _end(child)
            for _ in range(lines.count(b"\n")):
                child.send_signal(signal.SIGINT)
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(_KILLED_AFTER_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
