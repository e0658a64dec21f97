"""Rows of tables as records, by the names of their columns."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.timestamps import localized
from ipinsights.errors import ClientError
from ipinsights.etl.field_values import first_addresses, first_values
from ipinsights.etl.records import LogRecords, names_or, timeless

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.data.timestamps import TimeColumn
    from ipinsights.etl.records import LogOptions

__all__ = ["table_records"]

_LONGEST_SHOWN = 200
_LARGEST_TIME, _DIGITS, _DECIMALS = 1e19, 38, 9


def table_records(
    column: Callable[[str], pa.Array | None],
    options: LogOptions,
    reasons: NDArray[np.uint8],
    names: Sequence[str],
    time: TimeColumn,
    shown: Callable[[int], str],
    *,
    cure: str = "",
) -> LogRecords:
    """Return the rows of a table as records.

    ``column`` returns a column by its name, or None. ``reasons`` say why a row cannot be used as far as it is known,
    (n,), ``names`` are those of all columns, and ``cure`` is what a user can do if a column is missing, to follow
    "or".
    """
    known_fields = f"The columns are {textwrap.shorten(', '.join(names), _LONGEST_SHOWN)}."

    def needed(option: str, wanted: tuple[str, ...]) -> list[pa.Array]:
        """Return the columns of the wanted names, at least one of which must exist."""
        found = {name: values for name in wanted if (values := column(name)) is not None}
        if not found:
            otherwise = ", or leave times out with `no_timestamps`" if option == "timestamp" else ""
            header = f",{cure}" if cure else ""
            raise ClientError(
                f"There is no column {wanted[0]!r}: name one with `{option}`{otherwise}{header}. {known_fields}"
            )
        for name, values in found.items():
            if pa.types.is_nested(values.type):
                raise ClientError(
                    f"Column {name!r} holds {values.type}: name with `{option}` what is inside, such as {name}[0] of "
                    f"lists or {name}.NAME of structures."
                )
        return list(found.values())

    def field(name: str) -> pa.StringArray | None:
        """Return a column as text, (n,), or None. Nested values become JSON."""
        values = column(name)
        if values is None:
            return None
        if not pa.types.is_nested(values.type):
            return as_text(values)
        texts = (value if value is None else json.dumps(value, default=str) for value in values.to_pylist())
        return pa.array(texts, pa.string())

    entities = needed("entity", names_or(options.entity, ("entity",)))
    ips = needed("ip", names_or(options.ip, ("ip",)))
    if options.no_timestamps:
        times, timed = timeless(len(reasons))
    else:
        stamps = needed("timestamp", names_or(options.timestamp, ("timestamp",)))
        first = stamps[0] if len(stamps) == 1 else first_values(list(map(as_text, stamps)))
        times, timed = _times(first, options.timezone, time)
    entity = first_values([values if pa.types.is_binary(values.type) else as_text(values) for values in entities])
    ip = first_addresses(list(map(as_text, ips)))
    return LogRecords(entity, ip, times, timed, reasons, known_fields, field, shown, tuple(names))


def _times(column: pa.Array, zone: str, time: TimeColumn) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if pa.types.is_floating(column.type):  # as pandas makes of numbers with gaps
        is_possible = pc.less(pc.abs(column), _LARGEST_TIME)
        column = pc.if_else(is_possible, column, None).cast(pa.decimal128(_DIGITS, _DECIMALS), safe=False)
    if not pa.types.is_temporal(column.type) or pa.types.is_time(column.type) or pa.types.is_duration(column.type):
        return time.parse(as_text(column))
    times = column.cast(pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None), safe=False)
    readings = times.cast(pa.int64()).fill_null(0).to_numpy()
    timed = mask(column.is_valid())
    return (localized(readings, zone) if times.type.tz is None else readings), timed
