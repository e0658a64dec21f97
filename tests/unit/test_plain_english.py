"""The style of the project's English: denied words, first lines and fragments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
FOLDERS = ("ipinsights", "scripts", "benchmarks", "tests", "docs")
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("docs/**/*.md")})
LONGEST_FIRST_LINE = 90
# `is None` is a word of Python's.
DENIED = re.compile(
    r"\b(gone\s+on|goes\s+on\s+from|told\s+of|is\s+none|so\s+many|whoever|Whoever|beside|Beside|by\s+and\s+by|mended)\b"
)
FIRST_WORDS = re.compile(r"(Give|Tell|Say)s?\b")
FRAGMENT = re.compile(r"(And|But|Or|Nor|Also)\b")


@cache
def docstrings(folder: str) -> list[tuple[Path, int, str]]:
    """Return file, line and text of each docstring of a folder's modules, classes and functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (path, node.body[0].lineno, text)
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if "_build" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, kinds) and (text := ast.get_docstring(node))
    ]


@cache
def comments(folder: str) -> list[tuple[Path, int, str]]:
    """Return file, line and text of each comment in a folder."""
    return [
        (path, token.start[0], token.string)
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if "_build" not in path.parts
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.COMMENT
    ]


@cache
def strings(folder: str) -> list[tuple[Path, int, str]]:
    """Return file, line and text of each string in a folder: messages and help texts, too."""
    return [
        (path, node.lineno, node.value)
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset of the line of each match, and the line."""
    for found in pattern.finditer(text):
        number = text.count("\n", 0, found.start())
        yield number, text.splitlines()[number].strip()


def long_first_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line of a docstring if it is too long."""
    line = text.splitlines()[0]
    if len(line) > LONGEST_FIRST_LINE:
        yield 0, line


def wrong_first_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line of a docstring if it begins with Give, Tell or Say."""
    if FIRST_WORDS.match(text):
        yield 0, text.splitlines()[0]


def fragments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line of each paragraph that is only the rest of a sentence."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if FRAGMENT.match(line) and (number == 0 or not lines[number - 1]):
            yield number, line


def denied_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with a denied word."""
    return matches(DENIED, text)


def shown(rule: Callable[[str], Iterator[tuple[int, str]]], texts: list[tuple[Path, int, str]]) -> list[str]:
    """Return what breaks a rule as file, line and text."""
    return [
        f"{path.relative_to(ROOT)}:{first + number}: {line}"
        for path, first, text in texts
        for number, line in rule(text)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("rule", [long_first_lines, wrong_first_words, fragments, denied_words])
def test_docstrings(rule: Callable[[str], Iterator[tuple[int, str]]], folder: str) -> None:
    """No docstring breaks a rule."""
    assert shown(rule, docstrings(folder)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_comments(folder: str) -> None:
    """No comment has a denied word."""
    assert shown(denied_words, comments(folder)) == []


def test_messages() -> None:
    """No message or help text of the package has a denied word."""
    assert shown(denied_words, strings("ipinsights")) == []


def test_pages() -> None:
    """No page has a denied word."""
    texts = [(path, 1, path.read_text(encoding="utf-8")) for path in PAGES if "_build" not in path.parts]
    assert shown(denied_words, texts) == []


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        (long_first_lines, "x" * 90, []),
        (long_first_lines, "x" * 91, [(0, "x" * 91)]),
        (wrong_first_words, "Gives a row.", [(0, "Gives a row.")]),
        (wrong_first_words, "Given rows, return one.", []),
        (fragments, "Return rows.\n\nAnd sum them.\nAnd more.", [(2, "And sum them.")]),
        (fragments, "Also on one core.", [(0, "Also on one core.")]),
        (denied_words, "A run\nthat is told\nof a host.", [(1, "that is told")]),
        (denied_words, "Neither is None.", []),
    ],
)
def test_rules_see_what_they_are_for(
    rule: Callable[[str], Iterator[tuple[int, str]]], text: str, expected: list[tuple[int, str]]
) -> None:
    """Each rule finds its line, and nothing next to its limit."""
    assert list(rule(text)) == expected
