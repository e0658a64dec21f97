"""Tables in Parquet, a row group at a time. Dots in a name lead inside of nested columns."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ipinsights.errors import ClientError
from ipinsights.etl.json_documents import as_dots
from ipinsights.etl.table_records import table_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ipinsights.etl.records import LogOptions, LogRecords

__all__ = ["read_parquet"]

_COPIED_BYTES = 4 * 2**20
_COLUMNS_SHOWN = 8


def read_parquet(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of a Parquet file by the names of its columns: entity, ip and timestamp."""
    time = options.time_column()
    try:
        file = parquet.ParquetFile(_arrow_file(stream))
        for group in range(file.num_row_groups):
            reasons = np.zeros(file.metadata.row_group(group).num_rows, dtype=np.uint8)
            column, names = _group_reader(file, group), [*_leaves(file.schema_arrow)]
            yield table_records(column, options, reasons, names, time, functools.partial(_shown_group, column, names))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # whatever Arrow raises where a file is damaged
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ClientError(f"The file cannot be read as Parquet: {reason}.") from None


def _shown_group(column: Callable[[str], pa.Array | None], names: Sequence[str], index: int) -> str:
    try:
        columns = [(name, column(name)) for name in names[:_COLUMNS_SHOWN]]
        return ", ".join(f"{name}: {_shown_value(values[index])}" for name, values in columns if values is not None)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return "a damaged record"


def _shown_value(scalar: pa.Scalar) -> str:
    try:
        value = scalar.as_py()
    except (OverflowError, ValueError):  # a time in a year that Python does not know
        return "out of range"
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
    """Return a function that reads the column of a name, or returns None if it is missing."""
    schema = file.schema
    uuids = {leaf.path for leaf in map(schema.column, range(len(schema))) if leaf.logical_type.type == "UUID"}

    def column(name: str) -> pa.Array | None:
        path = _path(file.schema_arrow, name)
        if path is None:
            return None
        values = file.read_row_group(group, columns=[path[0]]).column(0).combine_chunks()
        if len(values) != file.metadata.row_group(group).num_rows:
            raise pa.ArrowInvalid(f"the column {name!r} has another number of rows than its group says")
        for step in path[1:]:
            values = _inside(values, step)
        return _uuid_texts(values) if ".".join(path) in uuids else _unchecked_text(values)

    return column


def _path(schema: pa.Schema, name: str) -> list[str] | None:
    """Return the path to a column or to a field within a column by its name, or None."""
    if name in schema.names:
        return [name]
    name = as_dots(name)
    top = max((column for column in schema.names if name.startswith(f"{column}.")), key=len, default=None)
    if top is None:
        return None
    steps, kind = name[len(top) + 1 :].split("."), schema.field(top).type
    for step in steps:
        if pa.types.is_struct(kind) and kind.get_field_index(step) >= 0:
            kind = kind.field(step).type
        elif any(is_of(kind) for is_of in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
            kind = kind.value_type
        else:
            return None
    return [top, *steps]


def _inside(values: pa.Array, step: str) -> pa.Array:
    """Return a field of structures, or an item of lists, null if missing."""
    if pa.types.is_struct(values.type):
        return pc.struct_field(values, step)
    position = int(step) if step.isdecimal() else 0
    lengths = pc.list_value_length(values).fill_null(0)
    starts = values.flatten()
    firsts = pc.subtract(pc.cumulative_sum(lengths), lengths)
    index = pc.if_else(pc.greater(lengths, position), pc.add(firsts, position), None)
    item = starts.take(index)
    return item if step.isdecimal() or not pa.types.is_struct(item.type) else pc.struct_field(item, step)


def _leaves(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[str]:
    """Yield the names of all columns, those of nested ones with dots."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def _uuid_texts(values: pa.Array) -> pa.StringArray:
    """Return UUIDs of 16 bytes as people write them."""
    storage = values.storage if isinstance(values, pa.ExtensionArray) else values
    return pa.array((value and str(UUID(bytes=value)) for value in storage.to_pylist()), pa.string())


def _unchecked_text(values: pa.Array) -> pa.Array:
    """Return text as bytes, because Parquet does not check that its text is UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type):
        return values.cast(pa.binary())
    return values.cast(pa.large_binary()) if pa.types.is_large_string(values.type) else values
