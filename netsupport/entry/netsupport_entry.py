"""Pytest's entry point: loads netsupport's fixtures, unless the project has its own package named `netsupport`.

`python -m pytest` puts the working folder first on the path, so in a project that has a folder named netsupport,
`import netsupport` finds that one. A plug-in that is registered under our name would then stop pytest before its
first test.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register our plug-in if `netsupport` is ours; never import another package of that name."""
    spec = importlib.util.find_spec("netsupport")
    folders = spec.submodule_search_locations if spec is not None else None
    if any(Path(folder, "pytest_plugin.py").is_file() for folder in folders or ()):
        pluginmanager.import_plugin("netsupport.pytest_plugin")
