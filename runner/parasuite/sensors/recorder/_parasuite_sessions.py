"""Writes the results of pytest where a command starts it, so that nothing can load a plug-in by an option.

Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

from _parasuite_guard import guarded

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any


def patch_pytest(runner: Any) -> None:
    """*runner*: the module _pytest.runner, a plug-in of pytest. Its hook registers ours as a session starts."""
    start = getattr(runner, "pytest_sessionstart", None)
    if start is None:
        return

    def pytest_sessionstart(session: Any) -> None:
        start(session)
        guarded(_record, session)

    pytest_sessionstart.__doc__ = start.__doc__
    pytest_sessionstart.__module__ = start.__module__
    runner.pytest_sessionstart = pytest_sessionstart


def _record(session: Any) -> None:
    import _parasuite_pytest

    _parasuite_pytest.record_session(session)
