"""Tables: CSV, and Parquet."""

from __future__ import annotations

import csv
import functools
import io
import ipaddress
import itertools
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.bounded_lines import LONG_LINE, LONG_LINE_SHOWN, WholeLines
from ipinsights.data.input_streams import warning_of
from ipinsights.data.timestamps import TimeColumn, localized
from ipinsights.errors import ClientError
from ipinsights.etl.csv_dialect import Dialect
from ipinsights.etl.records import LogRecords, Reason, timeless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.etl.records import Columns

__all__ = ["read_csv", "read_parquet"]

_BATCH = 100_000
# Of short fields each takes some sixty bytes.
_BATCH_CHARACTERS = 2**24
_COPIED_BYTES = 4 * 2**20
_LONGEST_SHOWN = 200
_SAMPLE_CHARACTERS = 2**16
_COLUMNS_SHOWN = 8
_MARK = "\ufeff"
_LONG_LINE = LONG_LINE.decode(errors="surrogateescape")
# What csv.Error says of a row that is too long to be a header.
_TOO_LONG = ("field larger than", "a row has more than")


def read_csv(stream: IO[bytes], columns: Columns) -> Iterator[LogRecords]:
    """Yield the records of CSV (RFC 4180), by the names in its header: entity, ip and timestamp.

    A first row with an address in it is not a header. The columns are then called 1, 2, 3, and are taken in this order.
    What spreadsheets and Spark write is read, too, see :class:`ipinsights.etl.csv_dialect.Dialect`.

    A record of another width than the first is malformed; it counts as many times as it has lines. Blank rows, and rows
    that are too long, may stand before the first.

    Raises
    ------
    ClientError
        The first row cannot be read, or the header has no column of a name that is needed.
    """
    whole = WholeLines(stream, when_long=warning_of(stream))
    text = io.TextIOWrapper(cast("IO[bytes]", whole), encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        sample = text.readlines(_SAMPLE_CHARACTERS)
        dialect = Dialect.of(sample)
        lines = _Lines(itertools.chain(sample[dialect.num_before :], text))
        yield from _csv_records(_Rows(dialect.reader(lines), lines, whole, dialect.separator), columns)
    finally:
        text.detach()  # the stream is not ours to close


def _csv_records(rows: _Rows, columns: Columns) -> Iterator[LogRecords]:
    first, before = _first_row(rows)
    rows.width = len(first)
    header, unread = [name.strip() for name in first], []
    if not first:  # nothing can be used, and every line is counted
        header = [columns.entity or "entity", columns.ip or "ip", columns.timestamp or "timestamp"]
    elif not columns.has_header or any(map(_is_address, header)):
        header, unread = [str(place + 1) for place in range(len(first))], [first]
        names = columns.entity or "1", columns.ip or "2", columns.timestamp or "3"
        columns = replace(columns, entity=names[0], ip=names[1], timestamp=names[2])
    time, iterator = TimeColumn(columns.zone), itertools.chain(before, unread, rows)
    cure = "" if unread else " or use --no-header if the first row is not a header"
    while batch := rows.batch(iterator):
        shown = functools.partial(_shown_row, batch, rows)
        yield _records(_column_reader(batch, header), columns, _csv_reasons(batch), header, time, shown, cure=cure)


def _first_row(rows: _Rows) -> tuple[list[str], Iterator[_Row]]:
    """Return the first row that can be used, [] for none, and those before it: too long ones, then blank ones."""
    too_long: _Row = []
    num_too_long = num_blank = 0
    first: list[str] = []
    for row in rows:
        if isinstance(row, _Malformed):
            if not row.is_too_long:
                raise ClientError(f"The first row cannot be read as CSV: {row.text!r}.")
            too_long, num_too_long = row, num_too_long + 1
        elif row:
            first = row
            break
        else:
            num_blank += 1
    kinds: tuple[tuple[_Row, int], ...] = ((too_long, num_too_long), ([], num_blank))
    return first, itertools.chain.from_iterable(itertools.repeat(kind, number) for kind, number in kinds)


def _is_address(field: str) -> bool:
    try:
        ipaddress.ip_address(field)
    except ValueError:
        return False
    return True


class _Lines:
    """Lines of a text, the last one of which is remembered, and their characters counted."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.last = ""
        self.num_characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if line.startswith(_MARK):  # of a file that was put behind another one
            line = line.removeprefix(_MARK)
        self.last = line
        self.num_characters += len(line)
        return line


@dataclass(frozen=True)
class _Malformed:
    """A row that cannot be used, as text. It is false, like a blank row."""

    text: str
    is_too_long: bool = False

    def __bool__(self) -> bool:
        return False


_Row = list[str] | _Malformed


class _Rows:
    """Rows of a file, empty ones for blank lines. One that cannot be used comes once for each of its lines."""

    def __init__(self, reader: Any, lines: _Lines, whole: WholeLines, separator: str) -> None:
        self._reader = reader
        self._lines = lines
        self._whole = whole
        self.separator = separator
        self.width: int | None = None

    def batch(self, rows: Iterator[_Row]) -> list[_Row]:
        """Return the next rows: fewer than usual if they are long, for each field is an object."""
        end = self._lines.num_characters + _BATCH_CHARACTERS
        batch: list[_Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH or self._lines.num_characters > end:
                break
        return batch

    def __iter__(self) -> Iterator[_Row]:
        reader = self._reader
        while True:
            before = reader.line_num
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                text = self._lines.last[:_LONGEST_SHOWN].rstrip("\r\n")
                row = _Malformed(text, is_too_long=str(error).startswith(_TOO_LONG))
            self._whole.begin_row()
            if row == [_LONG_LINE]:
                row = _Malformed(LONG_LINE_SHOWN, is_too_long=True)
            elif row and self.width not in (None, len(row)):
                text = self.separator.join(row)[:_LONGEST_SHOWN]
                row = _Malformed(f"{text} ({_number_of_fields(row)}, the first row has {self.width})")
            yield from [row] if isinstance(row, list) else [row] * max(reader.line_num - before, 1)


def _number_of_fields(row: list[str]) -> str:
    return "1 field" if len(row) == 1 else f"{len(row)} fields"


def _shown_row(batch: Sequence[_Row], rows: _Rows, place: int) -> str:
    row = batch[place]
    text = row.text if isinstance(row, _Malformed) else rows.separator.join(row)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _csv_reasons(rows: Sequence[_Row]) -> NDArray[np.uint8]:
    reasons = (Reason.NONE if row else Reason.BLANK if isinstance(row, list) else Reason.MALFORMED for row in rows)
    return np.fromiter(reasons, dtype=np.uint8, count=len(rows))


def _column_reader(rows: Sequence[_Row], header: Sequence[str]) -> Callable[[str], pa.Array | None]:
    def column(name: str) -> pa.Array | None:
        if name not in header:
            return None
        place = header.index(name)
        values = [row[place] if row else None for row in rows]  # type: ignore[index]  # a malformed row is false
        try:
            return pa.array(values, pa.string())
        except UnicodeEncodeError:  # bytes that are not UTF-8 are lone surrogates, which Arrow does not know
            raw = (None if value is None else value.encode("utf-8", "surrogateescape") for value in values)
            return pa.array(raw, pa.binary())

    return column


def read_parquet(stream: IO[bytes], columns: Columns) -> Iterator[LogRecords]:
    """Give the records of a Parquet file, a row group at a time, by the names of its columns as in :func:`read_csv`.

    Raises
    ------
    ClientError
        It is no Parquet file, or has no column of a name that is needed.
    """
    time = TimeColumn(columns.zone)
    try:
        file = parquet.ParquetFile(_arrow_file(stream))
        for group in range(file.num_row_groups):
            reasons = np.zeros(file.metadata.row_group(group).num_rows, dtype=np.uint8)
            column, names = _group_reader(file, group), file.schema_arrow.names
            yield _records(column, columns, reasons, names, time, functools.partial(_shown_group, column, names))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # whatever Arrow raises where a file is damaged
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ClientError(f"The file cannot be read as Parquet: {reason}.") from None


def _shown_group(column: Callable[[str], pa.Array | None], names: Sequence[str], place: int) -> str:
    try:
        columns = [(name, column(name)) for name in names[:_COLUMNS_SHOWN]]
        return ", ".join(
            f"{name}: {_shown_value(values[place].as_py())}" for name, values in columns if values is not None
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return "a damaged record"


def _shown_value(value: Any) -> str:
    return value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _arrow_file(stream: IO[bytes]) -> pa.NativeFile:
    """Return a file whose reads need no Python.

    Arrow reads ahead on threads, and these let go of the file whenever they come to it. If it were an object of
    Python's and Python had just ended, the process would abort.
    """
    name = getattr(stream, "name", None)
    if stream.seekable() and isinstance(name, str) and Path(name).is_file():  # not packed
        return pa.OSFile(name)
    copy = pa.BufferOutputStream()
    while piece := stream.read(_COPIED_BYTES):
        copy.write(piece)
    return pa.BufferReader(copy.getvalue())


def _group_reader(file: parquet.ParquetFile, group: int) -> Callable[[str], pa.Array | None]:
    def column(name: str) -> pa.Array | None:
        if name not in file.schema_arrow.names:
            return None
        values = file.read_row_group(group, columns=[name]).column(0).combine_chunks()
        if len(values) != file.metadata.row_group(group).num_rows:
            raise pa.ArrowInvalid(f"the column {name!r} has another number of rows than its group says")
        return _unchecked_text(values)

    return column


def _unchecked_text(values: pa.Array) -> pa.Array:
    """Return text as bytes, to be read like a log's: Parquet calls them UTF-8 and checks nothing."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type):
        return values.cast(pa.binary())
    return values.cast(pa.large_binary()) if pa.types.is_large_string(values.type) else values


def _records(
    column: Callable[[str], pa.Array | None],
    columns: Columns,
    reasons: NDArray[np.uint8],
    names: Sequence[str],
    time: TimeColumn,
    shown: Callable[[int], str],
    *,
    cure: str = "",
) -> LogRecords:
    known_fields = f"The columns are {textwrap.shorten(', '.join(names), _LONGEST_SHOWN)}."

    def needed(option: str, name: str) -> pa.Array:
        values = column(name)
        if values is None:
            otherwise = ", or leave times out with --no-timestamps" if option == "timestamp" else ""
            header = f",{cure}" if cure else ""
            raise ClientError(
                f"There is no column {name!r}: name one with --{option}{otherwise}{header}. {known_fields}"
            )
        return values

    def field(name: str) -> pa.StringArray | None:
        values = column(name)
        return None if values is None else as_text(values)

    entity, ip = needed("entity", columns.entity or "entity"), needed("ip", columns.ip or "ip")
    entity = entity if pa.types.is_binary(entity.type) else as_text(entity)
    if columns.with_times:
        times, timed = _times(needed("timestamp", columns.timestamp or "timestamp"), columns.zone, time)
    else:
        times, timed = timeless(len(reasons))
    return LogRecords(entity, as_text(ip), times, timed, reasons, known_fields, field, shown)


def _times(column: pa.Array, zone: str, time: TimeColumn) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if not pa.types.is_temporal(column.type):
        return time.parse(as_text(column))
    times = column.cast(pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None), safe=False)
    readings = times.cast(pa.int64()).fill_null(0).to_numpy()
    timed = mask(column.is_valid())
    return (localized(readings, zone) if times.type.tz is None else readings), timed
