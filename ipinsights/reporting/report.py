"""Reports as titled tables and remarks, written for a terminal and as Markdown."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.reporting.plain_text import markdown_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "Section", "json_text", "number", "signed"]

_NOTHING = "-"
# Wider tables break their headings, and remarks their lines: a terminal is rarely wider.
_WIDTH = 116


@dataclass(frozen=True)
class Section:
    """A title with a table of texts, lines of remarks, or both."""

    title: str
    table: pd.DataFrame | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A headline, which is the verdict where there is one, and sections."""

    headline: str
    sections: tuple[Section, ...]

    def text(self) -> str:
        """Give it for a terminal: the headline last, where the eye is."""
        parts = [_section_text(section) for section in self.sections]
        return "\n\n".join([*parts, self.headline])

    def markdown(self) -> str:
        """Give it as Markdown: the headline first."""
        parts = [_section_markdown(section) for section in self.sections]
        return "\n\n".join([f"# {self.headline}", *parts]) + "\n"


def _section_text(section: Section) -> str:
    lines = [section.title, "-" * len(section.title)]
    if section.table is not None:
        lines += _aligned(section.table)
    for remark in section.remarks:
        indent = remark[: len(remark) - len(remark.lstrip())]
        lines += textwrap.wrap(remark.strip(), _WIDTH, initial_indent=indent, subsequent_indent=indent) or [""]
    return "\n".join(lines)


def _aligned(table: pd.DataFrame) -> list[str]:
    """Give the lines of a table: first column to the left, others to the right."""
    head, rows = [list(map(str, table.columns))], table.astype(str).to_numpy().tolist()
    if _width(head + rows) > _WIDTH:
        head = _broken(head[0], [max(map(len, column)) for column in zip(*rows, strict=True)])
    widths = [max(map(len, column)) for column in zip(*head, *rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in head + rows
    ]  # fmt: skip


def _width(rows: list[list[str]]) -> int:
    return sum(2 + max(map(len, column)) for column in zip(*rows, strict=True)) - 2


def _broken(head: list[str], widths: list[int]) -> list[list[str]]:
    """Break headings at blanks so that they are not wider than what is below them, and give them line by line."""
    columns = [
        textwrap.wrap(text, max(width, 1), break_long_words=False) for text, width in zip(head, widths, strict=True)
    ]
    height = max(map(len, columns))
    return [list(line) for line in zip(*([""] * (height - len(lines)) + lines for lines in columns), strict=True)]


def _section_markdown(section: Section) -> str:
    lines = [f"## {section.title}", ""]
    if section.table is not None:
        aligned = ["---", *["---:"] * (section.table.shape[1] - 1)]
        rows = [list(map(str, section.table.columns)), aligned, *section.table.astype(str).to_numpy().tolist()]
        lines += [f"| {' | '.join(map(markdown_text, row))} |" for row in rows]
    remarks = [f"- {markdown_text(remark)}" for remark in section.remarks]
    return "\n".join([*lines, *([""] if section.table is not None and remarks else []), *remarks])


def number(value: float | None, digits: int = 6) -> str:
    """Give a number with so many digits after the point, thousands apart; a dash for None and NaN."""
    return _NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int = 6) -> str:
    """Give a difference with its sign; a dash for None and NaN."""
    return _NOTHING if value is None or math.isnan(value) else f"{value:+,.{digits}f}"


def json_text(content: Any) -> str:
    """Give JSON; NaN and infinity, which JSON does not know, become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
