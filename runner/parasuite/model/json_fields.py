"""Takes typed values out of a JSON object that anyone may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import TypeGuard, TypeVar

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)
_MISSING = object()


class Fields:
    """Takes the fields of a JSON object one by one; *wrong* names those that are missing or not of their type."""

    def __init__(self, value: Mapping[str, object], prefix: str = "", wrong: list[str] | None = None) -> None:
        self.wrong: list[str] = [] if wrong is None else wrong
        self._value, self._prefix = value, prefix

    def take(self, name: str, is_valid: Callable[[object], TypeGuard[_T]], instead: _T) -> _T:
        """The field *name*; *instead*, and a name in `wrong`, if it is not valid."""
        # A missing field is not None, which some fields may be.
        value = self._value.get(name, _MISSING)
        if is_valid(value):
            return value
        self.wrong.append(self._prefix + name)
        return instead

    def member(self, name: str, instead: _E) -> _E:
        """The field *name*, a member of the enumeration that *instead* belongs to."""
        text = self.take(name, is_text, instead.value)
        try:
            return type(instead)(text)
        except ValueError:
            self.wrong.append(self._prefix + name)
            return instead

    def inner(self, name: str) -> Fields:
        """The fields of the object in the field *name*."""
        value = self._value.get(name)
        if is_object(value):
            return Fields(value, f"{self._prefix}{name}.", self.wrong)
        self.wrong.append(self._prefix + name)
        return Fields({})  # That its fields are missing goes without saying.


def is_day_or_empty(value: object) -> TypeGuard[str]:
    """Whether *value* is a date, ISO 8601 with dashes, or ""."""
    if value == "":
        return True
    try:
        return is_text(value) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    return type(value) is dict


def is_objects(value: object) -> TypeGuard[list[dict[str, object]]]:
    return isinstance(value, list) and all(map(is_object, value))


def is_bool(value: object) -> TypeGuard[bool]:
    return type(value) is bool


def is_text(value: object) -> TypeGuard[str]:
    return type(value) is str


def is_text_or_none(value: object) -> TypeGuard[str | None]:
    return value is None or is_text(value)


def is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(map(is_text, value))


def is_lists_of_text(value: object) -> TypeGuard[list[list[str]]]:
    return isinstance(value, list) and all(map(is_texts, value))


def is_texts_by_name(value: object) -> TypeGuard[dict[str, str]]:
    return is_object(value) and all(map(is_text, value.values()))


def is_whole(value: object, least: int, most: int) -> TypeGuard[int]:
    return type(value) is int and least <= value <= most
