"""How a recorder reports that it failed. Without a report its process would look like one that never used a socket.

One file per process and state, one line per failure. On a full disk the file stays empty, and its name says enough.
Runs on any Python from 2.7 on, because versions too old to be recorded report that here, too.
"""

import os


def report_failure(folder, state, why):
    # type: (str, str, str) -> None
    """Report the reason *why* in the copy's *folder*. *state*: "blind" or "partial", as in SensorState."""
    path = os.path.join(folder, "recorder", str(os.getpid()) + "." + state)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (why + "\n").encode("ascii", "backslashreplace"))
        finally:
            os.close(descriptor)
    except OSError:
        # The run folder has gone, so no one will read this; or the disk is full.
        pass
