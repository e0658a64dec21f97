"""How a CSV file is written: its separator, and how quotes inside of quotes are marked."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Dialect"]

_SEPARATORS = ",;\t| "
# The first line of a file that Excel or PowerShell wrote for a country where commas are decimal points.
_STATEMENT = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
_NUM_SAMPLED = 50


@dataclass(frozen=True)
class Dialect:
    """The way a file is written."""

    # Character between fields.
    separator: str
    # Number of lines before the first row: one that only names the separator, as ``sep=;``, and blank ones.
    num_before: int
    # Whether a backslash stands before a quote inside of quotes, as Spark writes it, not a second quote.
    has_backslashes: bool

    @classmethod
    def of(cls, lines: Sequence[str]) -> Dialect:
        """Return the dialect of a file, given its first lines."""
        num_blank = next((index for index, line in enumerate(lines) if line.strip("\r\n")), len(lines))
        stated = _STATEMENT.fullmatch(lines[num_blank]) if num_blank < len(lines) else None
        num_before = num_blank + 1 if stated else 0
        lines = lines[max(num_blank, num_before) :][:_NUM_SAMPLED]
        separator = stated[1] if stated else _separator(lines)
        doubled, escaped = (cls(separator, num_before, has_backslashes) for has_backslashes in (False, True))
        has_escapes = any('\\"' in line for line in lines)
        return escaped if has_escapes and _num_faults(escaped, lines) < _num_faults(doubled, lines) else doubled

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a reader of the rows in some lines."""
        return csv.reader(
            lines,
            delimiter=self.separator,
            skipinitialspace=True,
            strict=True,
            doublequote=not self.has_backslashes,
            escapechar="\\" if self.has_backslashes else None,
        )


def _num_faults(dialect: Dialect, lines: Sequence[str]) -> int:
    """Return how many rows of a sample cannot be read."""
    reader, num_faults = dialect.reader(lines), 0
    while True:
        try:
            next(reader)
        except StopIteration:
            return num_faults
        except csv.Error:
            num_faults += 1


def _separator(lines: Sequence[str]) -> str:
    """Return the first separator in the first line that gives most other lines as many fields."""
    unquoted = [re.sub('"[^"]*"', "", line).strip("\r\n") for line in lines]
    found = [separator for separator in _SEPARATORS if unquoted and separator in unquoted[0]]
    for separator in found:
        first, *widths = [line.count(separator) for line in unquoted if line]
        # a separator behind the last field counts for nothing
        others = zip(widths, unquoted[1:], strict=False)
        if 2 * sum(abs(width - first) <= line.endswith(separator) for width, line in others) >= len(widths):
            return separator
    return found[0] if found else ","
