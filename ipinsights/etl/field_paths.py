"""Paths to a value in a record: names joined by dots, with indices for items of a list."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Path"]

_INDEX = re.compile(r"\[(\d{0,6})\]")


class Path:
    """A path to a value. A key that has the very name of the path, dots and all, goes first.

    >>> Path("request.ipChain[0].ip").value({"request": {"ipChain": [{"ip": "192.0.2.1"}]}})
    '192.0.2.1'
    >>> Path("id.orig_h").value({"id.orig_h": "192.0.2.1"})
    '192.0.2.1'
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._names = _INDEX.sub(lambda found: f".{found[1] or 0}", text).removeprefix(".").split(".")

    def value(self, record: Any) -> Any:
        """Return the value at the path, or None."""
        if not isinstance(record, dict):
            return None
        if self._text in record:
            return record[self._text]
        value: Any = record.get(self._names[0])
        for name in self._names[1:]:
            if type(value) is not dict:
                return _inside(record, self._names)
            value = value.get(name)
        return _inside(record, self._names) if value is None else value


def _inside(value: Any, names: list[str]) -> Any:
    """Return the value at a path of names, of which consecutive ones can form a key with dots."""
    if not names:
        return value
    if isinstance(value, list):
        place = int(names[0]) if names[0].isdecimal() and len(names[0]) <= 6 else None  # noqa: PLR2004
        if place is None:  # of a list of objects the first
            return _inside(value[0], names) if value and isinstance(value[0], dict) else None
        return _inside(value[place], names[1:]) if place < len(value) else None
    if isinstance(value, dict):
        for end in range(1, len(names) + 1):
            key = ".".join(names[:end])
            if key in value and (found := _inside(value[key], names[end:])) is not None:
                return found
    return None
