"""The style of the project's English: denied words, and the first lines of docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    path for folder in ("ipinsights", "scripts", "benchmarks", "tests") for path in ROOT.glob(f"{folder}/**/*.py")
)
PAGES = sorted([*ROOT.glob("*.md"), *(path for path in ROOT.glob("docs/*/*.md") if "_build" not in path.parts)])
LONGEST_FIRST_LINE = 90
# `is None` is a word of Python's.
DENIED = re.compile(r"\b(gone on with|goes on from|told of|is none|[Ww]hoever|by and by|mended)\b")
FIRST_WORDS = re.compile(r"(Give|Tell|Say)\b")


def docstrings(path: Path) -> list[str]:
    """Return the docstrings of a module, its classes and its functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds))
    return [text for node in nodes if (text := ast.get_docstring(node))]


def prose(path: Path) -> str:
    """Return the comments and docstrings of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return "\n".join([*comments, *docstrings(path)])


def relative(path: Path) -> str:
    """Return a path as it is shown."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PROGRAMS, ids=relative)
def test_docstrings_begin_with_a_short_line(path: Path) -> None:
    """A docstring begins with a line of at most 90 characters, and not with Give, Tell or Say."""
    first_lines = [text.splitlines()[0] for text in docstrings(path)]
    assert [line for line in first_lines if len(line) > LONGEST_FIRST_LINE] == []
    assert [line for line in first_lines if FIRST_WORDS.match(line)] == []


@pytest.mark.parametrize("path", [path for path in PROGRAMS if "tests" not in path.parts], ids=relative)
def test_denied_words_are_not_in_programs(path: Path) -> None:
    """Comments and docstrings have none of the denied words."""
    assert DENIED.findall(prose(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_denied_words_are_not_on_pages(path: Path) -> None:
    """Pages have none of the denied words."""
    assert DENIED.findall(path.read_text(encoding="utf-8")) == []
