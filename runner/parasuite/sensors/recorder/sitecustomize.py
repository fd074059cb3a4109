"""Put on the path of a copy, so that every Python in it is recorded; then hands over to the user's own, if there is
one.

Python imports the first `sitecustomize` on its path and no other (site), so the next one is imported from here, as it
would have been without this file.
"""

import sys


def _next_of_its_name() -> None:
    import os
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _record() -> None:
    import os

    mode, folder = os.environ.get("PARASUITE_RECORDER"), os.environ.get("PARASUITE_COPY_DIR")
    if not mode or not folder:
        return
    try:
        import _parasuite_recorder

        _parasuite_recorder.install(folder, mode == "events")
    except OSError:
        # The folder has gone: a process that outlives its run. Whoever watches counts it as one that was not
        # recorded.
        return


_record()
_next_of_its_name()
