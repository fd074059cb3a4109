"""Starts the recorder in every Python of a copy, then imports the user's own `sitecustomize`, if there is one.

This folder comes first on a copy's PYTHONPATH, where the program does not see it (_parasuite_environment). Python
imports only the first `sitecustomize` that it finds (module site), so this file imports the next one. It must run on
any Python from 2.7 on, since every one in a copy imports it.
"""

import os
import sys


def _import_next_sitecustomize():
    # type: () -> None
    elsewhere = [entry for entry in sys.path if not _is_here(entry)]
    if sys.version_info < (3, 5):  # noqa: UP036
        import imp

        try:
            found = imp.find_module("sitecustomize", elsewhere)
        except ImportError:
            return
        try:
            imp.load_module("sitecustomize", *found)
        finally:
            if found[0]:
                found[0].close()
        return
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        # Late: it imports contextlib, functools and collections, which a program may never need.
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _is_here(entry):
    # type: (str) -> bool
    try:
        return os.path.samefile(entry, os.path.dirname(__file__))
    except OSError:
        return False  # The folder does not exist, or is relative to a working folder that has been removed.


def _record():
    # type: () -> None
    mode, _, where = os.environ.get("PARASUITE_RECORDER", "").partition(" ")
    copy, _, folder = where.partition(" ")
    state, why = "partial", ""
    try:
        if sys.version_info >= (3, 8):  # noqa: UP036
            _install(mode, copy, folder)
        elif mode == "events":
            # In the other mode the seccomp sensor counts a Python without a page as unrecorded.
            why = "Python %d.%d is too old to be recorded" % sys.version_info[:2]  # noqa: UP031
    except Exception as error:  # noqa: BLE001
        # Whatever went wrong: the program must run as it would without us, with its own sitecustomize.
        state, why = "blind" if mode == "events" else "partial", "not recorded: " + repr(error)
    if why and folder:
        from _parasuite_failures import report_failure

        report_failure(folder, state, why)


def _install(mode, copy, folder):
    # type: (str, str, str) -> None
    restore = None
    if "PARASUITE_BYTECODE" in os.environ and sys.pycache_prefix is None:
        # The user wants no compiled files next to the sources, so the recorder's go into a folder of parasuite's.
        # Compiling the recorder each time would take longer than starting Python.
        from _parasuite_bytecode import compile_into

        restore = compile_into(os.environ["PARASUITE_BYTECODE"])
    try:
        import _parasuite_environment

        _parasuite_environment.hide()
        if mode and folder:
            import _parasuite_recorder

            _parasuite_recorder.install(folder, int(copy), mode == "events")
    finally:
        if restore is not None:
            restore()


def _remove_compiled():
    # type: () -> None
    """Remove what a Python too old to be recorded has compiled into parasuite's installation."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.version_info < (3,):  # noqa: UP036
        paths = [os.path.join(here, name + ".pyc") for name in _OLD_PYTHON_IMPORTS]
    else:
        from importlib.util import cache_from_source

        paths = [cache_from_source(os.path.join(here, name + ".py")) for name in _OLD_PYTHON_IMPORTS]
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


_OLD_PYTHON_IMPORTS = ("sitecustomize", "_parasuite_failures")
_record()
if sys.version_info < (3, 8) and not sys.dont_write_bytecode:
    try:  # noqa: SIM105 - contextlib.suppress does not exist before Python 3.4.
        _remove_compiled()
    except OSError:
        pass  # Another process has removed them, or they belong to another user.
_import_next_sitecustomize()
