"""Put on the path of a copy, so that every Python in it is recorded; then hands over to the user's own, if there is
one.

Python imports the first `sitecustomize` on its path and no other (site), so the next one is imported from here, as it
would have been without this file. Written for any Python from 2.7 on: whichever a copy runs comes by here.
"""

import os
import sys


def _next_of_its_name():
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
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _is_here(entry):
    # type: (str) -> bool
    try:
        return os.path.samefile(entry, os.path.dirname(__file__))
    except OSError:
        return False  # There is no such folder, or it is below a working folder that has been removed.


def _record():
    # type: () -> None
    mode, folder = os.environ.get("PARASUITE_RECORDER"), os.environ.get("PARASUITE_COPY_DIR")
    if not mode or not folder:
        return
    state, why = "partial", ""
    try:
        if sys.version_info >= (3, 8):  # noqa: UP036
            _install(folder, mode == "events")
        elif mode == "events":
            # Else whoever watches the calls counts it as one that was not recorded.
            why = "Python %d.%d is too old to be recorded" % sys.version_info[:2]  # noqa: UP031
    except Exception as error:  # noqa: BLE001
        # Whatever it is: the program must run as it would without us, and have its own sitecustomize.
        state, why = "blind" if mode == "events" else "partial", "not recorded: " + repr(error)
    if why:
        from _parasuite_failures import tell

        tell(folder, state, why)


def _install(folder, writes_events):
    # type: (str, bool) -> None
    before = sys.dont_write_bytecode, sys.pycache_prefix
    if "PARASUITE_BYTECODE" in os.environ and sys.pycache_prefix is None:
        # The user wants no compiled files beside the sources. The recorder's are in a folder of parasuite's: to
        # compile it would take longer than to start Python.
        sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ["PARASUITE_BYTECODE"]
    try:
        import _parasuite_recorder

        _parasuite_recorder.install(folder, writes_events)
    finally:
        sys.dont_write_bytecode, sys.pycache_prefix = before


def _remove_compiled():
    # type: () -> None
    """Leave nothing in parasuite's installation that a Python too old to be recorded has compiled."""
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
    try:  # noqa: SIM105 - contextlib.suppress is not there before Python 3.4.
        _remove_compiled()
    except OSError:
        pass  # Another process has removed them, or they are another user's.
_next_of_its_name()
