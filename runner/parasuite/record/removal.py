"""Removes folder trees that test suites have filled, without touching anything outside of them; see `mounts`."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from parasuite.record.mounts import open_with_permission, why_not_opened
from parasuite.record.untrusted import HAS_DIR_FD

_DEPTH_MAX = 40  # Each level costs a descriptor, so deeper folders are moved up before they are removed.
_REASONS_SHOWN = 3


def remove_tree(folder: Path) -> str:
    """Remove *folder* and everything below it; "" or a line that says what could not be removed, and why."""
    if not HAS_DIR_FD:
        return _remove_by_path(folder)
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return f"{folder} could not be removed: {why_not_opened(error)}"
    try:
        return remove_from(parent, folder.name, folder)
    finally:
        os.close(parent)


def remove_from(parent: int, name: str, folder: Path) -> str:
    """As `remove_tree`, for the folder *name* in the open folder *parent*. *folder* is its path, for the message."""
    removal = _Removal()
    removal.remove(parent, name)
    if not removal.left:
        return ""
    shown = [f"{os.path.normpath(folder / path)}: {reason}" for path, reason in removal.left[:_REASONS_SHOWN]]
    more = f"; and {len(removal.left) - _REASONS_SHOWN} more" if len(removal.left) > _REASONS_SHOWN else ""
    return f"{folder} could not be removed: {'; '.join(shown)}{more}"


def _remove_by_path(folder: Path) -> str:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        return f"{folder} could not be removed: {error.filename}: {error.strerror}"
    return ""


@dataclass(slots=True)
class _Level:
    """An open folder of the walk. *path*: from the root of the tree. *waiting*: folders in it yet to be removed."""

    descriptor: int
    name: str
    path: str
    waiting: list[str]


@dataclass(slots=True)
class _Removal:
    """Removes one tree. *left*: paths that could not be removed, from the root of the tree, with the reason."""

    left: list[tuple[str, str]] = field(default_factory=list)
    _moved: int = 0

    def remove(self, parent: int, name: str) -> None:
        levels: list[_Level] = []
        try:
            self._enter(levels, parent, name, ".")
            while levels:
                level = levels[-1]
                if level.waiting:
                    child = level.waiting.pop()
                    path = os.path.join(level.path, child)
                    if len(levels) < _DEPTH_MAX or not self._moved_up(levels, child):
                        self._enter(levels, level.descriptor, child, path)
                    continue
                levels.pop()
                os.close(level.descriptor)
                above = levels[-1].descriptor if levels else parent
                self._remove_empty(above, level)
        finally:
            for level in levels:
                os.close(level.descriptor)

    def _enter(self, levels: list[_Level], parent: int, name: str, path: str) -> None:
        try:
            descriptor = open_with_permission(parent, name)
        except OSError as error:
            self.left.append((path, why_not_opened(error)))
            return
        level = _Level(descriptor, name, path, [])
        levels.append(level)
        try:
            with os.scandir(descriptor) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self.left.append((path, why_not_opened(error)))
            return
        level.waiting += [child for child, is_folder in found if is_folder]
        for child, is_folder in found:
            if not is_folder:
                self._unlink(descriptor, child, os.path.join(path, child))
        if level.waiting and os.geteuid() != 0:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o700)  # Otherwise the folders in it could not be removed.

    def _unlink(self, folder: int, name: str, path: str) -> None:
        try:
            os.unlink(name, dir_fd=folder)
        except PermissionError:
            # A test may have removed the folder's own permissions.
            try:
                os.fchmod(folder, 0o700)
                os.unlink(name, dir_fd=folder)
            except OSError as error:
                self.left.append((path, why_not_opened(error)))
        except OSError as error:
            self.left.append((path, why_not_opened(error)))

    def _remove_empty(self, parent: int, level: _Level) -> None:
        try:
            os.rmdir(level.name, dir_fd=parent)
        except OSError as error:
            # If something in it could not be removed, that has been reported.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self.left:
                self.left.append((level.path, why_not_opened(error)))

    def _moved_up(self, levels: list[_Level], child: str) -> bool:
        """Move *child* from the deepest level into the root of the tree, to be removed there; whether that worked."""
        self._moved += 1
        name = f".parasuite-deep-{self._moved}"
        try:
            os.rename(child, name, src_dir_fd=levels[-1].descriptor, dst_dir_fd=levels[0].descriptor)
        except OSError:
            return False
        levels[0].waiting.append(name)
        return True
