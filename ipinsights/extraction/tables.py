"""Tables: CSV, and Parquet."""

from __future__ import annotations

import csv
import io
import ipaddress
import itertools
import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ipinsights.errors import ClientError
from ipinsights.extraction.records import Reason, Records, as_text, mask, timeless
from ipinsights.timestamps import localized, parse_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.extraction.records import Columns

__all__ = ["read_csv", "read_parquet"]

_BATCH = 100_000
_COPIED_BYTES = 4 * 2**20
_LONGEST_SHOWN = 200
_SEPARATORS = ",;\t| "


def read_csv(stream: IO[bytes], columns: Columns) -> Iterator[Records]:
    """Give the records of CSV (RFC 4180), by the names in its header: entity, ip and timestamp.

    A first row with an address in it is no header; the columns are then called 1, 2, 3, and are taken in this order.
    Spreadsheets are met half way: the separator is the first of comma, semicolon, TAB, bar and blank that the first
    line has outside of quotes, and the text is UTF-8 or, where its first bytes say so, UTF-16.

    A record of another width than the first is malformed; it counts as many times as it has lines.

    Raises
    ------
    ClientError
        The header has no column of a name that is needed.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace", newline="")
    try:
        line = text.readline()
        reader = csv.reader(itertools.chain([line], text), delimiter=_separator(line), skipinitialspace=True)
        first = next(_rows(reader, None), None) or []
        rows, header = _rows(reader, len(first)), [name.strip() for name in first]
        if any(map(_is_address, header)):
            rows, header = itertools.chain([first], rows), [str(place + 1) for place in range(len(first))]
            names = columns.entity or "1", columns.ip or "2", columns.timestamp or "3"
            columns = replace(columns, entity=names[0], ip=names[1], timestamp=names[2])
        while batch := list(itertools.islice(rows, _BATCH)):
            yield _records(_column_reader(batch, header), columns, _csv_reasons(batch), header)
    finally:
        text.detach()  # the stream is not ours to close


def _separator(line: str) -> str:
    unquoted = re.sub('"[^"]*"', "", line)
    return next((separator for separator in _SEPARATORS if separator in unquoted), ",")


def _is_address(field: str) -> bool:
    try:
        ipaddress.ip_address(field)
    except ValueError:
        return False
    return True


def _rows(reader: Any, width: int | None) -> Iterator[list[str] | None]:
    """Give the rows of a file, empty ones for blank lines; for one that cannot be used None, once for each line."""
    while True:
        line = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = None
        if row is not None and (len(row) in (0, width) or width is None):
            yield row
        else:
            yield from itertools.repeat(None, max(reader.line_num - line, 1))


def _csv_reasons(rows: Sequence[list[str] | None]) -> NDArray[np.uint8]:
    reasons = (Reason.MALFORMED if row is None else Reason.NONE if row else Reason.BLANK for row in rows)
    return np.fromiter(reasons, dtype=np.uint8, count=len(rows))


def _column_reader(rows: Sequence[list[str] | None], header: Sequence[str]) -> Callable[[str], pa.StringArray | None]:
    def column(name: str) -> pa.StringArray | None:
        if name not in header:
            return None
        place = header.index(name)
        return pa.array([row[place] if row else None for row in rows], pa.string())

    return column


def read_parquet(stream: IO[bytes], columns: Columns) -> Iterator[Records]:
    """Give the records of a Parquet file, a row group at a time, by the names of its columns as in :func:`read_csv`.

    Raises
    ------
    ClientError
        It is no Parquet file, or has no column of a name that is needed.
    """
    try:
        file = parquet.ParquetFile(_arrow_file(stream))
        for group in range(file.num_row_groups):
            reasons = np.zeros(file.metadata.row_group(group).num_rows, dtype=np.uint8)
            yield _records(_group_reader(file, group), columns, reasons, file.schema_arrow.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # whatever Arrow raises where a file is damaged
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ClientError(f"The file cannot be read as Parquet: {reason}.") from None


def _arrow_file(stream: IO[bytes]) -> pa.NativeFile:
    """Return a file whose reads need no Python.

    Arrow reads ahead on threads, and these let go of the file whenever they come to it. If it were an object of
    Python's and Python had just ended, the process would abort.
    """
    name = getattr(stream, "name", None)
    if isinstance(name, str) and Path(name).is_file():
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
        return values

    return column


def _records(
    column: Callable[[str], pa.Array | None], columns: Columns, reasons: NDArray[np.uint8], names: Sequence[str]
) -> Records:
    known_fields = f"The columns are {textwrap.shorten(', '.join(names), _LONGEST_SHOWN)}."

    def needed(option: str, name: str) -> pa.Array:
        values = column(name)
        if values is None:
            otherwise = ", or leave times out with --no-timestamps" if option == "timestamp" else ""
            raise ClientError(f"There is no column {name!r}: name one with --{option}{otherwise}. {known_fields}")
        return values

    def field(name: str) -> pa.StringArray | None:
        values = column(name)
        return None if values is None else as_text(values)

    entity, ip = needed("entity", columns.entity or "entity"), needed("ip", columns.ip or "ip")
    if columns.with_times:
        times, timed = _times(needed("timestamp", columns.timestamp or "timestamp"), columns.zone)
    else:
        times, timed = timeless(len(reasons))
    return Records(as_text(entity), as_text(ip), times, timed, reasons, known_fields, field)


def _times(column: pa.Array, zone: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if not pa.types.is_temporal(column.type):
        return parse_times(as_text(column), zone=zone)
    times = column.cast(pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None), safe=False)
    readings = times.cast(pa.int64()).fill_null(0).to_numpy()
    timed = mask(column.is_valid())
    return (localized(readings, zone) if times.type.tz is None else readings), timed
