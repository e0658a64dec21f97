"""Paths lead to values inside of records."""

from __future__ import annotations

from typing import Any

import pytest

from ipinsights.etl.json_documents import Path


@pytest.mark.parametrize(
    ("record", "path", "value"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a.b": 2, "a": {"b": 1}}, "a.b", 2),
        ({"a": {"b.c": 1}}, "a.b.c", 1),
        ({"a.b": {"c": 1}}, "a.b.c", 1),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b", 2),
        ({"a": [{"b": 1}, {"b": 2}]}, "a[1].b", 2),
        ({"a": [{"b": 1}]}, "a[].b", 1),
        ({"a": [{"b": 1}]}, "a.b", 1),
        ({"a": ["x", "y"]}, "a.1", "y"),
        ({"a": ["x"]}, "a.7", None),
        ({"a": 1}, "a.b", None),
        ({"a": None}, "a.b", None),
        ({"": 1}, "", 1),
        ([], "a", None),
        ("a", "a", None),
        ({"a": {"9" * 30: 1}}, "a." + "9" * 30, 1),
        ({"a": []}, "a." + "9" * 30, None),
    ],
)
def test_values(record: Any, path: str, value: Any) -> None:
    """A key that has the name of the path goes first; numbers are items of lists."""
    assert Path(path).value(record) == value
