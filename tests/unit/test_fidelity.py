"""The fidelity tables name tests, and those tests exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = sorted((TESTS.parent / "docs" / "explanation").glob("fidelity*.md"))
_NAME = re.compile(r"`((?:\w+/)*test_\w+\.py)?(?:::)?((?:Test\w+)?(?:\.|::)?(?:test_\w+)?)`")


@cache
def definitions(path: Path) -> set[str]:
    """Return the names of classes and functions in a file or in all files below a folder."""
    files = path.rglob("test_*.py") if path.is_dir() else [path]
    return {name for file in files for name in re.findall(r"(?:class|def) (\w+)", file.read_text(encoding="utf-8"))}


def is_there(file: str, names: str) -> bool:
    """Return whether a test file, in its folder or among the unit tests, has these names."""
    path = TESTS if not file else TESTS / file if "/" in file else TESTS / "unit" / file
    return path.exists() and set(re.findall(r"\w+", names)) <= definitions(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A row without its test would be a promise that nobody keeps."""
    named = _NAME.findall(page.read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [(file, names) for file, names in named if not is_there(file, names)] == []


def test_a_missing_test_is_seen() -> None:
    """No file, no class, no function of that name."""
    assert is_there("test_fidelity.py", "test_a_missing_test_is_seen")
    assert not is_there("test_fidelity.py", "TestNothing")
    assert not is_there("integration/test_nothing.py", "")
    assert not is_there("", "TestNothing.test_nothing")
