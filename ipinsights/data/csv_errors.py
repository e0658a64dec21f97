"""Error reports for files that cannot be used, with source, line, reason and cure.

This is the slow reader: Python's own, exact about lines. It runs only when something is known to be wrong.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from ipinsights.data.bounded_lines import LONG_LINE_TEXT, LONGEST_LINE, LongRowError, WholeLines
from ipinsights.data.decoding import decoded_stream
from ipinsights.data.file_kinds import HEAD_BYTES
from ipinsights.data.files import read_errors
from ipinsights.data.input_streams import watched
from ipinsights.data.ipv4 import BLANKS, explain_ip, is_ip
from ipinsights.data.ipv6 import explain_address, is_address
from ipinsights.errors import ClientError, RowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["LONGEST_FIELD", "MAX_COLUMNS", "NUM_SHOWN", "TAIL", "Source", "rows_error", "rows_message", "why_invalid"]

LONGEST_FIELD = 131_072
"""Characters that a field may have, as in Python's csv module: more than that is a quote that nothing closes."""
MAX_COLUMNS = 256
"""Columns that a row may have."""
NUM_SHOWN = 5
"""Invalid rows that an error shows. The others are counted."""
TAIL = "\n\r" * 8 + "\n"
"""What both readers put behind a file: blank lines, which count for nothing, unless a quote is open."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# A part of a column's name that is a word of its own: sourceIPAddress has three.
_WORD = re.compile(r"IPv|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_WORDS = (
    "addr address addresses c client clientip cs dst forwarded from host id internet ip ipaddr ipaddress ips ipv last "
    "login network origin peer remote remoteaddr s source sourceip src srcaddr srcip v value visitor x"
)
_ADDRESS_WORDS = frozenset(_WORDS.split(" "))
_LONGEST_NAME = 60
_OTHER_SEPARATORS = {";": "a semicolon", "\t": "a TAB", "|": "a bar", " ": "a space"}
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Source:
    """Bytes that can be read more than once."""

    # What messages call it.
    name: str
    # Returns a context manager around a binary stream at its beginning.
    open_raw: Callable[[], contextlib.AbstractContextManager[IO[bytes]]]
    # Number of its first line, if it is a part of something.
    first_line: int = 1

    @classmethod
    def file(cls, path: Path, name: str | None = None) -> Source:
        """Return a file as a source."""
        return cls(name or str(path), lambda: path.open("rb"))

    @classmethod
    def stream(cls, stream: IO[bytes], name: str, *, first_line: int = 1) -> Source:
        """Return an open seekable stream as a source.

        The stream stays open.
        """

        def rewound() -> contextlib.AbstractContextManager[IO[bytes]]:
            """Return the stream at its start, without closing it at the end."""
            if stream.seekable():
                stream.seek(0)
            return contextlib.nullcontext(stream)

        return cls(name, rewound, first_line)

    @contextlib.contextmanager
    def open(self, *, progress: bool = False) -> Iterator[IO[bytes]]:
        """Open the source as a stream of UTF-8 text, with an optional progress bar on a terminal.

        It is a ClientError if the source cannot be opened, is a pipe, holds nothing, is damaged, or is not text.
        """
        with read_errors(self.name), self.open_raw() as raw:
            if not raw.seekable():
                raise ClientError(f"{self.name} is a pipe, and can be read only once: save it to a file first.")
            head, size = raw.read(HEAD_BYTES), raw.seek(0, os.SEEK_END)
            raw.seek(0)
            if size == 0:
                raise ClientError(f"{self.name} is empty: it must hold at least one row of entity,ip.")
            with watched(raw, size, self.name) if progress else contextlib.nullcontext(raw) as stream:
                yield decoded_stream(stream, head, self.name)


class _Fault(NamedTuple):
    """An invalid row, or a file without rows."""

    message: str
    is_json: bool = False
    has_further_columns: bool = False


def rows_error(sources: Sequence[Source], *, num_columns: int | None, count_all: bool, ipv6: bool) -> RowsError | None:
    """Return one error about all invalid rows: the first five in full, and the total number.

    None if all are valid. ``num_columns`` None means as many as the first row of a source has. Without ``count_all``,
    reading stops after more than five invalid rows.
    """
    faults = itertools.chain.from_iterable(_faults(source, num_columns, ipv6=ipv6) for source in sources)
    shown = [*itertools.islice(faults, NUM_SHOWN)]
    if not shown:
        return None
    num_more = sum(1 for _ in (faults if count_all else itertools.islice(faults, 1)))
    return RowsError(
        rows_message([fault.message for fault in shown], num_more, is_counted=count_all),
        is_json=any(fault.is_json for fault in shown),
        has_further_columns=any(fault.has_further_columns for fault in shown),
    )


def rows_message(shown: Sequence[str], num_more: int, *, is_counted: bool = True) -> str:
    """Return one message about invalid rows.

    ``shown`` has a sentence on each of the first five rows, ``num_more`` is the number of further rows, which are all
    of them if ``is_counted``.
    """
    if len(shown) == 1:
        return shown[0]
    number = f"{len(shown) + num_more}" if is_counted or not num_more else f"More than {NUM_SHOWN}"
    head = f"{number} rows cannot be used" + (f"; the first {NUM_SHOWN}:" if num_more else ":")
    return "\n  - ".join([head, *shown])


def _faults(source: Source, num_columns: int | None, *, ipv6: bool) -> Iterator[_Fault]:
    with source.open() as stream:
        # Bytes that are no UTF-8 become lone surrogates, which no text has.
        lines = WholeLines(stream)
        text = io.TextIOWrapper(cast("IO[bytes]", lines), encoding="utf-8-sig", errors="surrogateescape", newline="")
        num_rows = 0
        for line, row in _rows(text, lines):
            num_rows += 1
            reason = row if isinstance(row, str) else why_invalid(row, num_columns, ipv6=ipv6)
            if reason is not None:
                fields = [] if isinstance(row, str) else row
                is_json = num_rows == 1 and _is_json(fields)
                advice = _first_row_advice(fields, is_json=is_json) if num_rows == 1 else ""
                yield _Fault(
                    f"{source.name}:{source.first_line - 1 + line}: {reason}{advice}.",
                    is_json,
                    has_further_columns=num_columns is not None and len(fields) > num_columns,
                )
            if num_columns is None and reason is None:
                num_columns = len(row)
        text.detach()
    if num_rows == 0:
        yield _Fault(f"{source.name}: there is no row in it; it must hold at least one row of entity,ip.")


def _rows(text: IO[str], lines: WholeLines) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the line number of each row with its fields, or with the reason why it has none."""
    # Python before 3.11 knows no NUL in CSV
    reader = csv.reader(line.replace("\0", "\ufffd") for line in itertools.chain(text, TAIL))
    while True:
        line = reader.line_num + 1
        lines.begin_row()
        try:
            row = next(reader, None)
        except LongRowError as error:
            yield line, str(error)
            continue
        except csv.Error:
            yield line, f"a field is longer than {LONGEST_FIELD} characters (a closing quote may be missing)"
            continue
        if row is None:
            return
        if row == [LONG_LINE_TEXT]:
            yield line, f"the line is longer than {LONGEST_LINE:,} bytes"
        elif row:
            yield line, "the closing quote of a field is missing" if row[-1].endswith(TAIL) else row


def why_invalid(row: list[str], num_columns: int | None, *, ipv6: bool) -> str | None:
    """Return why the fields of a row are invalid, as the end of a sentence, or None."""
    if num_columns not in (None, len(row)) or not 2 <= len(row) <= MAX_COLUMNS:  # noqa: PLR2004
        return _wrong_columns(row, num_columns)
    if not row[0]:
        return "the entity is empty"
    is_accepted = is_address if ipv6 else is_ip
    if is_ip(row[0]) and not is_accepted(row[1]):
        return "the address stands first: it must be the second column"
    if not is_accepted(row[1]):
        return _wrong_address(row[1], ipv6=ipv6)
    if not all(map(_is_text, row)):
        return "it is not UTF-8 text"
    return None


def _wrong_address(field: str, *, ipv6: bool) -> str:
    text = field.strip(BLANKS)
    if text.startswith('"') and is_ip(text.strip('"')):
        return "a blank stands before the quote of the address: remove the blank"
    if ipv6:
        return f"{_shown(field)} is not an address that can be used: {explain_address(field)}"
    return f"{_shown(field)} is no IPv4 address: {explain_ip(field)}"


def _wrong_columns(row: list[str], num_columns: int | None) -> str:
    wanted = f"{num_columns} columns" if num_columns else f"2 to {MAX_COLUMNS} columns"
    wanted += {2: " (entity,ip)"}.get(num_columns or 0, " (entity,ip and others)")
    found = "1 column" if len(row) == 1 else f"{len(row)} columns"
    advice = " (the closing quote of a field may be missing)" if any("\n" in field for field in row) else ""
    advice += _separator_advice(row) + _third_column_advice(row, num_columns)
    return f"a row must have {wanted}, this one has {found}{advice}"


def _separator_advice(row: list[str]) -> str:
    """Return advice if a row of one column has another separator than a comma."""
    for separator, name in _OTHER_SEPARATORS.items():
        if len(row) == 1 and is_ip(row[0].rpartition(separator)[2]):
            return f", because {name} separates them: it must be a comma"
    return ""


def _third_column_advice(row: list[str], num_columns: int | None) -> str:
    """Return advice if there is an unexpected third column: a time, or an index in front."""
    if num_columns != 2 or len(row) != 3:  # noqa: PLR2004
        return ""
    if _DATE.match(row[2]):
        return ": the third is a time, which `ipinsights split` takes away and `ipinsights score --keep-columns` keeps"
    if is_ip(row[2]) and not is_ip(row[1]):
        return ": the address is the third, so an index may be the first. `ipinsights extract` takes --entity 2 --ip 3"
    return ""


def _is_json(row: list[str]) -> bool:
    return bool(row) and row[0].lstrip(" \t[").startswith("{")


def _first_row_advice(row: list[str], *, is_json: bool) -> str:
    """Return advice if the first row is JSON, or names a column of addresses such as `ip`."""
    if is_json:
        return ". It looks like JSON, and must be CSV"
    if len(row) < 2:  # noqa: PLR2004
        return ""
    words = [word.lower() for word in _WORD.findall(row[1][:_LONGEST_NAME])]
    is_name = words and _ADDRESS_WORDS.issuperset(words)
    return ". It looks like a header: remove it, the file must have none" if is_name else ""


def _is_text(field: str) -> bool:
    return field.isascii() or not any("\udc80" <= character <= "\udcff" for character in field)


def _shown(field: str) -> str:
    text = repr(field if _is_text(field) else field.encode(errors="replace").decode())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...'"
