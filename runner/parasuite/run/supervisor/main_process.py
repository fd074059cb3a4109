"""What happens in a copy's main process between the fork and the execution of the copy's program."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from parasuite.model.words import CopyVariable
from parasuite.plan.recorder_variable import in_events_mode
from parasuite.run.supervisor.messages import RunMainProcess, from_json, shell_status
from parasuite.sensors import supervised

_NOT_EXECUTED = 126
_SHELL = "/bin/sh"
_ROOT = Path(__file__).parents[3]


def become_main_process(order: RunMainProcess, error_fd: int, sensor: socket.socket | None) -> NoReturn:
    """Execute what *order* names: in a session of its own, without input, its output in a file.

    Without a file for the output, it keeps the standard streams of this process, which are parasuite's own.
    *error_fd*: where to write why that failed, in words; the exit status is then `shell_status`. *sensor*: the socket
    on which to enter the supervisor's sensor.
    """
    status = _NOT_EXECUTED
    try:
        os.setsid()
        # Python ignores the last two.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN if number in order.ignored else signal.SIG_DFL)
        if order.output:
            null = os.open(os.devnull, os.O_RDONLY)
            output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
        os.chdir(order.cwd)
        env = dict(order.env)
        if sensor is not None and not enter_sensor(sensor, order) and CopyVariable.RECORDER in env:
            # Its recorders publish pages for a sensor that is not there; they can write events themselves instead.
            env[CopyVariable.RECORDER] = in_events_mode(env[CopyVariable.RECORDER])
        with contextlib.suppress(ValueError):
            # Refused only if raising the limit was refused as well.
            resource.setrlimit(resource.RLIMIT_NOFILE, order.descriptors)
        _execute(order.argv, env)
    except OSError as error:
        program = os.fsencode(error.filename or order.argv[0])
        status = shell_status(error)
        os.write(error_fd, program + f": {error.strerror}".encode())
    finally:
        os._exit(status)


def become_importer(channel: socket.socket, orders: socket.socket) -> NoReturn:
    """Execute what the RunMainProcess that comes on *channel* names, as a main process of no copy; *orders* stays
    open.

    Its variable PARASUITE_IMPORTER, the importer's folder, is supplemented with what _parasuite_importer needs.
    """
    with open(channel.fileno(), "rb", closefd=False) as stream:
        order = from_json(stream.readline())
    assert isinstance(order, RunMainProcess)
    orders.set_inheritable(True)
    needed = json.dumps([orders.fileno(), str(_ROOT), order.env[CopyVariable.IMPORTER]])
    env = {**order.env, CopyVariable.IMPORTER: needed}
    become_main_process(replace(order, env=env), channel.fileno(), None)


def enter_sensor(sensor: socket.socket, order: RunMainProcess) -> bool:
    """Have this process and all that it starts observed; whether they are. *sensor*: as above."""
    return supervised.enter(sensor, has_own_network=order.network is not None)


def _execute(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
    """Execute *argv*; a script without a "#!" line with the shell, as execvp(3) does. Raises OSError."""
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        if error.errno != errno.ENOEXEC or not error.filename:
            raise
        os.execve(_SHELL, [_SHELL, error.filename, *argv[1:]], env)
