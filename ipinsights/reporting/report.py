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

__all__ = ["Report", "Section", "json_text", "number", "section_markdown", "signed"]

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
    """A report for a terminal, and as Markdown."""

    headline: str  # the verdict where there is one, with its numbers
    sections: tuple[Section, ...]  # titled tables and remarks
    finding: str = ""  # the verdict in one plain sentence, empty where the headline is enough

    def text(self, width: int | None = None) -> str:
        """Return the report for a terminal, with the finding first and the headline last.

        With the columns of a terminal, wider tables are split and the headline is wrapped.
        """
        parts = [_section_text(section, width) for section in self.sections]
        first = ["\n".join(textwrap.wrap(self.finding, width or _WIDTH))] if self.finding else []
        return "\n\n".join([*first, *parts, _wrapped(self.headline, width) if width else self.headline])

    def markdown(self) -> str:
        """Return the report as Markdown, with the headline first."""
        parts = [section_markdown(section) for section in self.sections]
        return "\n\n".join([f"# {self.headline}", *parts]) + "\n"


def _wrapped(text: str, width: int) -> str:
    """Return lines no longer than a width, but for paths and names that are."""
    lines = text.splitlines()
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)


def _section_text(section: Section, width: int | None) -> str:
    limit = width or _WIDTH
    title = textwrap.wrap(section.title, limit)
    lines = [*title, "-" * max(map(len, title))]
    if section.table is not None:
        lines += _aligned(section.table, width)
    for remark in section.remarks:
        indent = remark[: len(remark) - len(remark.lstrip())]
        lines += textwrap.wrap(remark.strip(), limit, initial_indent=indent, subsequent_indent=indent) or [""]
    return "\n".join(lines)


def _aligned(table: pd.DataFrame, width: int | None) -> list[str]:
    """Return the lines of a table, split into pieces if wider than the terminal."""
    head, rows = list(map(str, table.columns)), table.astype(str).to_numpy().tolist()
    lines = _piece_lines([head], rows)
    if max(map(len, lines)) <= (width or _WIDTH):
        return lines
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    broken = _broken(head, [max(map(len, column), default=1) for column in columns])
    pieces = _pieces([*broken, *rows], width) if width else [list(range(len(head)))]
    parts = [
        _piece_lines([[row[at] for at in piece] for row in broken], [[row[at] for at in piece] for row in rows])
        for piece in pieces
    ]
    return [line for number, part in enumerate(parts) for line in ([""] if number else []) + part]


def _pieces(rows: list[list[str]], width: int) -> list[list[int]]:
    """Return the columns of each piece of a table. The first column is in every piece."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pieces = [[0]]
    for column in range(1, len(widths)):
        used = sum(2 + widths[at] for at in pieces[-1]) - 2
        if len(pieces[-1]) > 1 and used + 2 + widths[column] > width:
            pieces.append([0])
        pieces[-1].append(column)
    return pieces


def _piece_lines(head: list[list[str]], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table: first column to the left, others to the right."""
    shown = [row for row in head if any(row)] + rows
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in shown
    ]  # fmt: skip


def _broken(head: list[str], widths: list[int]) -> list[list[str]]:
    """Break headings at blanks to the width of their columns, and return the lines."""
    columns = [
        textwrap.wrap(text, max(width, 1), break_long_words=False) for text, width in zip(head, widths, strict=True)
    ]
    height = max(map(len, columns))
    return [list(line) for line in zip(*([""] * (height - len(lines)) + lines for lines in columns), strict=True)]


def section_markdown(section: Section) -> str:
    """Return a section as Markdown."""
    lines = [f"## {section.title}", ""]
    if section.table is not None:
        aligned = ["---", *["---:"] * (section.table.shape[1] - 1)]
        rows = [list(map(str, section.table.columns)), aligned, *section.table.astype(str).to_numpy().tolist()]
        lines += [f"| {' | '.join(map(markdown_text, row))} |" for row in rows]
    remarks = [f"- {markdown_text(remark)}" for remark in section.remarks]
    return "\n".join([*lines, *([""] if section.table is not None and remarks else []), *remarks])


def number(value: float | None, digits: int = 6) -> str:
    """Return a number with ``digits`` decimals and thousands separators. None and NaN: a dash."""
    return _NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int = 6) -> str:
    """Return a difference with its sign, or a dash for None and NaN."""
    return _NOTHING if value is None or math.isnan(value) else f"{value:+,.{digits}f}"


def json_text(content: Any) -> str:
    """Return JSON text. NaN and infinity, which JSON does not have, become null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
