"""The recorder's functions that are called between two frames of a program; warnings.warn passes over them here.

`warnings.warn(text, stacklevel=2)` blames the caller of the function that warns, and counts the frames up to it. It
leaves out the frames of files whose path contains both "importlib" and "_bootstrap", so that a module that warns when
it is imported blames the file that imports it (warnings._is_internal_frame, and the same in C). Hence this file's
name. Otherwise a warning would name the recorder: unittest's of a test that returns a value, for instance.

Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

from _parasuite_guard import guarded
from _parasuite_restart import hide_frames

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any


def within(original: Any, around: Any) -> Any:
    """The method *original*, called within the context manager that *around(self, args, kwargs)* gives."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with around(self, args, kwargs):
                return original(self, *args, **kwargs)
        except BaseException as error:
            hide_frames(error)
            raise

    return call


def init_subclass(root: Any, then: Any) -> Any:
    """The `__init_subclass__` of the class *root*, which then calls *then* with the subclass."""
    own = root.__dict__.get("__init_subclass__")

    def __init_subclass__(cls: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if own is None:
                super(root, cls).__init_subclass__(*args, **kwargs)
            else:
                own.__get__(None, cls)(*args, **kwargs)
        except BaseException as error:
            hide_frames(error)
            raise
        guarded(then, cls)

    return classmethod(__init_subclass__)
