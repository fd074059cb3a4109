"""What a copy that was forked from an importer makes private, so that it is as if it had been executed.

Output, environment, folders for temporary files, caches and Hypothesis, seeds, and what the standard library keeps
for a process. (The standard library itself sees to random, threading, logging and uuid after a fork.)

Standard library and modules of the recorder only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from _parasuite_environment import become_copy

_SEED = "PARASUITE_SEED"
_NOT_OF_PROGRAMS = ("PYTHONPATH", "PARASUITE_RECORDER", "PARASUITE_CLOCK", "PARASUITE_BYTECODE", "PARASUITE_IMPORTER")


class Shared:
    """What the importer, whose own folder is *folder*, shares with the copies."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._scratch = os.environ.get("TMPDIR", "")
        self._at_start = dict(os.environ)
        self._drawn: set[str] = set()

    def note_options(self, config: Any) -> None:
        """To be called before other plug-ins read their options: which seeds the user has left to chance."""
        if getattr(config.option, "randomly_seed", None) == "default":
            self._drawn.add("randomly_seed")
        if getattr(config.option, "hypothesis_seed", 0) is None:
            self._drawn.add("hypothesis_seed")

    def make_private(self, order: Any, session: Any) -> None:
        """Make this process that of the copy that *order*, a RunMainProcess, is about. Raises OSError."""
        drawn = self._draw_seeds(order, session.config)
        self._move_output(order.output, drawn)
        self._set_environment(order.env)
        sys.argv[1:] = [self._moved(word, order.env) for word in sys.argv[1:]]
        _forget_standard_library(self._scratch)
        _set_hypothesis(order.env)
        _reseed_numpy()
        self._move_pytest(order.env, session.config)

    def record(self, order: Any) -> None:
        """Begin to record. To be called once the sensor has been entered: what was done before is the importer's."""
        if "PARASUITE_RECORDER" in order.env:
            become_copy(order.env["PARASUITE_RECORDER"])

    def _moved(self, text: str, env: Any) -> str:
        """*text* with the copy's folders in place of the importer's."""
        text = text.replace(self._scratch, env["TMPDIR"]) if self._scratch else text
        return text.replace(self._folder, env["PARASUITE_COPY_DIR"])

    def _draw_seeds(self, order: Any, config: Any) -> tuple[bytes, bytes]:
        """Give the plug-ins that take a seed the copy's; what they printed of the importer's, and what to print."""
        given = order.env.get(_SEED)
        before, after = b"", b""
        if "randomly_seed" in self._drawn:
            number = int(given) if given else int.from_bytes(os.urandom(4), "little")
            before = f"--randomly-seed={config.option.randomly_seed}".encode()
            after = f"--randomly-seed={number}".encode()
            config.option.randomly_seed = number
        if "hypothesis_seed" in self._drawn and given:
            config.option.hypothesis_seed = given
            core = sys.modules.get("hypothesis.core")
            if core is not None:
                setattr(core, "global_force_seed", int(given))  # noqa: B010 - of a module without types
        return before, after

    def _move_output(self, path: str, replaced: tuple[bytes, bytes]) -> None:
        """Have all that leads to the importer's output lead to the file *path*, which begins with what that has.

        *replaced*: a text in there, and what is there instead.
        """
        status = os.fstat(1)
        with open("/proc/self/fd/1", "rb") as stream:
            text = stream.read()
        output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(output, text.replace(*replaced) if replaced[0] else text)
        for name in os.listdir("/proc/self/fd"):
            descriptor = int(name)
            with contextlib.suppress(OSError):  # That of the listing itself.
                if os.path.samestat(os.fstat(descriptor), status):
                    os.dup2(output, descriptor, os.get_inheritable(descriptor))
        os.close(output)

    def _set_environment(self, env: Any) -> None:
        """What the copy's environment has in another way than the importer's had, unless the user's code set it."""
        for name, value in env.items():
            before = self._at_start.get(name)
            if name not in _NOT_OF_PROGRAMS and before != value and os.environ.get(name) == before:
                os.environ[name] = value

    def _move_pytest(self, env: Any, config: Any) -> None:
        factory = getattr(config, "_tmp_path_factory", None)
        given = getattr(factory, "_given_basetemp", None)
        if factory is not None and given is not None:
            factory._given_basetemp = Path(self._moved(str(given), env))
            config.option.basetemp = self._moved(str(config.option.basetemp), env)
        cache = getattr(config, "cache", None)
        if cache is not None:
            object.__setattr__(cache, "_cachedir", Path(self._moved(str(cache._cachedir), env)))
        manager = config.pluginmanager.getplugin("capturemanager")
        if manager is not None and manager.is_globally_capturing():
            # The files of fd capture would be shared.
            manager.stop_global_capturing()
            manager.start_global_capturing()
            manager.suspend_global_capture()


def _forget_standard_library(scratch: str) -> None:
    """What modules keep for their process."""
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None and getattr(tempfile, "tempdir", None) == scratch:
        setattr(tempfile, "tempdir", None)  # noqa: B010 - of a module without types
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)


def _set_hypothesis(env: Any) -> None:
    configuration = sys.modules.get("hypothesis.configuration")
    if configuration is not None and "HYPOTHESIS_STORAGE_DIRECTORY" in env:
        configuration.set_hypothesis_home_dir(env["HYPOTHESIS_STORAGE_DIRECTORY"])


def _reseed_numpy() -> None:
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
