"""Where a recorder that failed says so: without a word, its process would pass for one that never used a socket.

One file per process and state, a line for each failure; on a full disk the file's name is all that finds room.
Written for any Python from 2.7 on, because those that are too old to be recorded say so here too.
"""

import os


def tell(folder, state, why):
    # type: (str, str, str) -> None
    """Leave word in the copy's *folder*. *state*: "blind" or "partial", as SensorState has it."""
    path = os.path.join(folder, "recorder", str(os.getpid()) + "." + state)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (why + "\n").encode("ascii", "backslashreplace"))
        finally:
            os.close(descriptor)
    except OSError:
        # The run's folder has gone, and with it whoever would want to know; or the reason found no room.
        pass
