"""Tables in CSV, whatever wrote them."""

from __future__ import annotations

import csv
import functools
import ipaddress
import itertools
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text
from ipinsights.data.bounded_lines import LONG_LINE_TEXT, WholeLines
from ipinsights.data.input_streams import warning_of
from ipinsights.errors import ClientError
from ipinsights.etl.csv_dialect import Dialect
from ipinsights.etl.csv_rows import CsvRows, Lines, MalformedRow, NamedRows, field_names, names_fields
from ipinsights.etl.json_documents import Path, scalar_text
from ipinsights.etl.records import LogRecords, Reason, names_or
from ipinsights.etl.table_records import table_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.etl.csv_rows import Row
    from ipinsights.etl.records import LogOptions

__all__ = ["read_csv"]

_SAMPLE_CHARACTERS = 2**16
# Lines that may stand before a header: titles, comments, the name of an encoding.
_MOST_BEFORE_HEADER = 50
# Columns of #Fields: logs whose clock and calendar stand apart.
_DATE, _TIME = "date", "time"


def read_csv(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of CSV (RFC 4180), by the names in its header: entity, ip and timestamp.

    A first row with an address in it is not a header. The columns are then called 1, 2, 3, and are taken in this
    order. What spreadsheets and Spark write is read, too, see :class:`ipinsights.etl.csv_dialect.Dialect`. So are
    logs whose fields a line ``#Fields:`` names, wherever it stands.

    A record of another width than the first is malformed. It counts as many times as it has lines. Blank rows, and
    rows that are too long, may stand before the first, and lines that are not of the table before a header that has
    the names that are wanted.
    """
    whole = WholeLines(stream, when_long=warning_of(stream))
    text = Lines(whole, num_skipped=options.skip_lines)
    sample = text.sample(_SAMPLE_CHARACTERS)
    named = next((index for index, line in enumerate(sample) if names_fields(line)), None)
    if named is not None and all(line.startswith("#") for line in sample[:named]):
        text.put_back(sample[named + 1 :])
        yield from _named_records(sample[named], text, whole, options)
        return
    index = _index_of_header(sample, options)
    preamble, sample = sample[:index], sample[index:]
    dialect = Dialect.of(sample)
    text.put_back(sample[dialect.num_before :])
    yield from _csv_records(CsvRows(dialect.reader(text), text, whole, dialect.separator), options, preamble, sample)


def _index_of_header(sample: Sequence[str], options: LogOptions) -> int:
    """Return the index of the first line that has all wanted names, 0 without such a line."""
    if options.no_header or options.fields:
        return 0
    wanted = names_or(options.entity, ("entity",)), names_or(options.ip, ("ip",))
    for index, line in enumerate(sample[:_MOST_BEFORE_HEADER]):
        if all(any(name in line for name in names) for names in wanted):
            dialect = Dialect.of(sample[index:])
            names = [name.strip() for name in next(dialect.reader(sample[index : index + 1]), [])]
            if all(any(name in names for name in alternatives) for alternatives in wanted):
                if any(map(functools.partial(_is_row, dialect, len(names)), sample[:index])):
                    return 0
                stated = index and sample[index - 1].strip().strip('"').lower().startswith("sep=")
                is_first = all(before.strip() in ("", LONG_LINE_TEXT) for before in sample[: index - bool(stated)])
                return 0 if is_first else index - bool(stated)
    return 0


def _named_records(first: str, given: Lines, whole: WholeLines, options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of a log with ``#Fields:`` lines, which name the fields after them."""
    time = options.time_column()
    given.fields = field_names(first)
    while given.fields:
        header, given.is_paused = given.fields, False
        separator = "\t" if "\t" in given.next_line(first) else " "
        rows = CsvRows(NamedRows(given, separator, len(header)), given, whole, separator)
        rows.width = len(header)
        iterator = iter(rows)
        while batch := rows.batch(iterator):
            column = _joined_clock(_column_reader(batch, header), header)
            shown = functools.partial(_shown_row, batch, rows)
            yield table_records(column, _with_clock(options, header), _csv_reasons(batch, []), header, time, shown)
        if not given.is_paused:
            return


def _with_clock(options: LogOptions, header: Sequence[str]) -> LogOptions:
    """Return the options with date and time as the timestamp, unless another one is named."""
    if {_DATE, _TIME} <= set(header) and names_or(options.timestamp, (_DATE,))[0] in (_DATE, _TIME, "timestamp"):
        return replace(options, timestamp=f"{_DATE} {_TIME}")
    return options


def _joined_clock(column: Callable[[str], pa.Array | None], header: Sequence[str]) -> Callable[[str], pa.Array | None]:
    """Return a column reader that also joins the columns of date and time."""

    def joined(name: str) -> pa.Array | None:
        if name == f"{_DATE} {_TIME}" and name not in header:
            date, time = column(_DATE), column(_TIME)
            return (
                None if date is None or time is None else pc.binary_join_element_wise(as_text(date), as_text(time), " ")
            )
        return column(name)

    return joined


def _csv_records(
    rows: CsvRows, options: LogOptions, preamble: Sequence[str], sample: Sequence[str]
) -> Iterator[LogRecords]:
    first, blank = _first_row(rows)
    # they are counted as comments are
    comments: Iterator[Row] = (MalformedRow(f"# {line.strip()}") if line.strip() else [] for line in preamble)
    before: Iterator[Row] = itertools.chain(comments, blank)
    header, unread = [name.strip() for name in first], []
    if options.fields:
        # services append fields to their lines
        header = [*options.fields, *map(str, range(len(options.fields) + 1, len(first) + 1))][: len(first) or None]
        unread = [first] if first else []
    elif not first:  # nothing can be used, and every line is counted
        wanted = ((options.entity, "entity"), (options.ip, "ip"), (options.timestamp, "timestamp"))
        header = [names_or(names, (default,))[0] for names, default in wanted]
    elif options.no_header or any(map(_is_address, header)):
        header, unread = [str(index + 1) for index in range(len(first))], [first]
        options = replace(
            options, entity=options.entity or "1", ip=options.ip or "2", timestamp=options.timestamp or "3"
        )
    elif _has_index(rows, len(header), sample):
        header = ["", *header]
    rows.width, rows.has_empty_end = len(header) if first else 0, header[-1:] == [""]
    time, iterator = options.time_column(), itertools.chain(before, unread, rows)
    cure = "" if unread else " or use `no_header` if the first row is not a header"
    while batch := rows.batch(iterator):
        shown = functools.partial(_shown_row, batch, rows)
        reasons = _csv_reasons(batch, [] if unread else first)
        yield table_records(_column_reader(batch, header), options, reasons, header, time, shown, cure=cure)


def _has_index(rows: CsvRows, width: int, sample: Sequence[str]) -> bool:
    """Return whether every sample row has an extra index in front, as R writes tables."""
    reader = Dialect(rows.separator, 0, has_backslashes=False).reader(sample[1:_MOST_BEFORE_HEADER])
    try:
        found = [row for row in reader if row]
    except csv.Error:
        return False
    return bool(found) and all(len(row) == width + 1 and row[0].isdecimal() and row[-1] for row in found)


def _first_row(rows: CsvRows) -> tuple[list[str], Iterator[Row]]:
    """Return the first usable row or [], and the rows before it: too long ones, then blank ones."""
    too_long: Row = []
    num_too_long = num_blank = 0
    first: list[str] = []
    for row in rows:
        if isinstance(row, MalformedRow):
            if not row.is_too_long:
                raise ClientError(f"The first row cannot be read as CSV: {row.text!r}.")
            too_long, num_too_long = row, num_too_long + 1
        elif row:
            first = row
            break
        else:
            num_blank += 1
    kinds: tuple[tuple[Row, int], ...] = ((too_long, num_too_long), ([], num_blank))
    return first, itertools.chain.from_iterable(itertools.repeat(kind, number) for kind, number in kinds)


def _is_row(dialect: Dialect, width: int, line: str) -> bool:
    """Return whether a line has as many fields as the header, and an address among them."""
    try:
        row: list[str] = next(dialect.reader([line]), [])
    except csv.Error:
        return False
    return len(row) == width and any(map(_is_address, row))


def _is_address(field: str) -> bool:
    try:
        ipaddress.ip_address(field)
    except ValueError:
        return False
    return True


def _shown_row(batch: Sequence[Row], rows: CsvRows, index: int) -> str:
    row = batch[index]
    text = row.text if isinstance(row, MalformedRow) else rows.separator.join(row)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _csv_reasons(rows: Sequence[Row], header: list[str]) -> NDArray[np.uint8]:
    """Return why rows cannot be used, (n,). A comment and a repeated header are not records."""

    def reason(row: Row) -> Reason:
        """Return why a row cannot be used. A blank or malformed row is false."""
        if row:
            return Reason.OTHER if row == header else Reason.NONE
        if isinstance(row, MalformedRow):
            return Reason.OTHER if row.text.startswith("#") else Reason.MALFORMED
        return Reason.BLANK

    return np.fromiter(map(reason, rows), dtype=np.uint8, count=len(rows))


def _column_reader(rows: Sequence[Row], header: Sequence[str]) -> Callable[[str], pa.Array | None]:
    """Return a function that returns the column of a name, or None if it is missing.

    A name may also be a path into a column of JSON, such as ``AuditData.ClientIP``.
    """

    def column(name: str) -> pa.Array | None:
        if name not in header:
            outer, _, path = name.partition(".")
            return _inside_json(rows, header.index(outer), path) if path and outer in header else None
        index = header.index(name)
        values = [row[index] if row else None for row in rows]  # type: ignore[index]  # a malformed row is false
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:  # bytes that are not UTF-8 are lone surrogates, which Arrow does not know
            raw = (None if value is None else value.encode("utf-8", "surrogateescape") for value in values)
            return pa.array(raw, pa.binary())

    return column


def _inside_json(rows: Sequence[Row], index: int, path: str) -> pa.StringArray:
    """Return the texts at a path in a column of JSON objects, null where a row has none."""
    inner = Path(path)

    def text(row: Row) -> str | None:
        """Return the text at the path in a row."""
        try:
            return scalar_text(inner.value(orjson.loads(row[index]))) if row else None  # type: ignore[index]
        except ValueError:
            return None

    return pa.array(map(text, rows), pa.string())
