"""Rows of a CSV file in bounded memory, each with its fields or the reason for an error."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.data.bounded_lines import LONG_LINE_SHOWN, LONG_LINE_TEXT, LongRowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.data.bounded_lines import WholeLines

__all__ = ["CsvRows", "Lines", "MalformedRow", "NamedRows", "Row", "field_names", "names_fields"]

_BATCH = 100_000
# Of short fields each takes some sixty bytes.
_BATCH_CHARACTERS = 2**24
_LONGEST_SHOWN = 200
_MARK = "\ufeff"
# What Python's reader says of a field above its limit.
_LONG_FIELD = "field larger than"
_FIELDS = ("#Fields:", "#fields\t")


class Lines:
    """Lines of a text. The last one is remembered, and the characters of all are counted.

    ``fields`` has the names of the fields of the lines to come, [] in a table with a header of its own. Otherwise the
    lines pause where a line names other fields.
    """

    def __init__(self, whole: WholeLines, *, num_skipped: int) -> None:
        self._whole = whole
        self.is_at_end_of_block = False
        self._lines: Iterator[str] = itertools.islice(self._read(), num_skipped, None)
        self.last = ""
        self.num_characters = 0
        self.fields: list[str] = []
        self.is_paused = False

    def _read(self) -> Iterator[str]:
        while block := self._whole.read():
            # bytes that are not UTF-8 become lone surrogates, which no text has
            text = block.decode("utf-8", "surrogateescape").removeprefix(_MARK)
            if _MARK in text:  # of a file that was put behind another one
                text = text.replace(f"\n{_MARK}", "\n")
            lines = list(io.StringIO(text, newline=""))
            self.is_at_end_of_block = False
            yield from lines[:-1]
            self.is_at_end_of_block = self._whole.is_live
            yield lines[-1]

    def sample(self, num_characters: int) -> list[str]:
        """Return the first lines of at least ``num_characters``, or all lines a live input has."""
        lines: list[str] = []
        length = 0
        for line in self._lines:
            lines.append(line)
            length += len(line)
            if length >= num_characters or self.is_at_end_of_block:
                break
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Put lines in front of the others."""
        was_at_end = self.is_at_end_of_block

        def again() -> Iterator[str]:
            """Yield the lines that were put back. Only the last one may end a block."""
            self.is_at_end_of_block = False
            for number, line in enumerate(lines, 1):
                self.is_at_end_of_block = was_at_end and number == len(lines)
                yield line

        self._lines = itertools.chain(again(), self._lines)

    def next_line(self, default: str) -> str:
        """Return the line to come, or another one at the end."""
        line = next(self._lines, None)
        if line is None:
            return default
        self.put_back([line])
        return line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.is_paused:
            raise StopIteration
        line = next(self._lines)
        while self.fields and line.startswith("#") and not names_fields(line):
            line = next(self._lines)
        self.last = line
        self.num_characters += len(line)
        if self.fields and names_fields(line):
            self.fields, self.is_paused = field_names(line) or self.fields, True
            raise StopIteration
        return line


def names_fields(line: str) -> bool:
    """Return whether a line is ``#Fields:`` of IIS or CloudFront, or ``#fields`` of Zeek."""
    return line.startswith(_FIELDS)


def field_names(line: str) -> list[str]:
    """Return the names in a line that names fields."""
    names = line.partition("\t" if line.startswith("#fields") else ":")[2].strip()
    return names.split("\t") if "\t" in names else names.split()


class NamedRows:
    """Reader of the rows behind ``#Fields:``, one a line of ``width`` fields.

    A quote is a character like others for IIS, CloudFront and Zeek. Others quote fields with blanks.
    """

    def __init__(self, lines: Lines, separator: str, width: int) -> None:
        self._lines = lines
        self._separator = separator
        self._width = width
        self.line_num = 0

    def __next__(self) -> list[str]:
        line = next(self._lines).rstrip("\r\n")
        self.line_num += 1
        if self._separator == "\t":
            return line.split("\t") if line else []
        if '"' not in line:
            return line.split()
        fields = line.split(self._separator)
        if len(fields) == self._width:
            return [_unquoted(field) for field in fields]
        return next(csv.reader([line], delimiter=self._separator, skipinitialspace=True, strict=True), [])


def _unquoted(field: str) -> str:
    is_quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if is_quoted else field


@dataclass(frozen=True)
class MalformedRow:
    """A row that cannot be used, as text. It is false, like a blank row."""

    text: str
    is_too_long: bool = False

    def __bool__(self) -> bool:
        return False


Row = list[str] | MalformedRow


class CsvRows:
    """Rows of a file. Blank lines are empty rows, and an invalid row occurs once per line.

    A row must have ``width`` fields, None while this is not known. Empty fields behind them are dropped, and one that
    is missing behind them is empty if ``has_empty_end``.
    """

    def __init__(self, reader: Any, lines: Lines, whole: WholeLines, separator: str) -> None:
        self._reader = reader
        self._lines = lines
        self._whole = whole
        self.separator = separator
        self.width: int | None = None
        self.has_empty_end = False

    def batch(self, rows: Iterator[Row]) -> list[Row]:
        """Return the next rows: fewer than usual if they are long, for each field is an object."""
        end = self._lines.num_characters + _BATCH_CHARACTERS
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH or self._lines.num_characters > end or self._lines.is_at_end_of_block:
                break
        return batch

    def __iter__(self) -> Iterator[Row]:
        reader = self._reader
        while True:
            before = reader.line_num
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                text = self._lines.last[:_LONGEST_SHOWN].rstrip("\r\n")
                is_too_long = isinstance(error, LongRowError) or str(error).startswith(_LONG_FIELD)
                row = MalformedRow(text, is_too_long=is_too_long)
            self._whole.begin_row()
            if self.separator == "|" and isinstance(row, list):  # blanks align what databases print
                row = [field.rstrip(" ") for field in row]
            if row == [LONG_LINE_TEXT]:
                row = MalformedRow(LONG_LINE_SHOWN, is_too_long=True)
            elif row and self.width not in (None, len(row)):
                row = self._of_another_width(row)
            yield from [row] if isinstance(row, list) else [row] * max(reader.line_num - before, 1)

    def _of_another_width(self, row: list[str]) -> Row:
        width = self.width or 0
        if len(row) > width and not any(row[width:]):
            return row[:width]
        if self.has_empty_end and len(row) == width - 1:
            return [*row, ""]
        text = self.separator.join(row)[:_LONGEST_SHOWN]
        number = "1 field" if len(row) == 1 else f"{len(row)} fields"
        return MalformedRow(f"{text} ({number}, the first row has {width})")
