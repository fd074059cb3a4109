"""What pytest loads by its entry point: netsupport's fixtures, unless the name `netsupport` is the project's own.

`python -m pytest` puts the working folder first on the path, so in a project that has a folder named netsupport,
`import netsupport` finds that one. A plug-in loaded by our name would end such a project's pytest before its first
test.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register netsupport's plug-in if that is what its name finds; nothing of another netsupport is imported."""
    spec = importlib.util.find_spec("netsupport")
    folders = spec.submodule_search_locations if spec is not None else None
    if any(Path(folder, "pytest_plugin.py").is_file() for folder in folders or ()):
        pluginmanager.import_plugin("netsupport.pytest_plugin")
