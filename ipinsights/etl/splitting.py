"""Splits of rows by time into files for training, calibration and test.

Later rows are never used for training.

All rows are held in memory, 16 bytes each and each distinct entity once. While they are sorted it is some 65 bytes a
row (measured: 8 million rows in 0.7 GB), so tens of millions fit an ordinary machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.channels import channel_files
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.files import write_files
from ipinsights.data.ipv4 import format_ips
from ipinsights.data.ipv6 import Addresses, format_addresses
from ipinsights.data.pairs import read_blocks
from ipinsights.data.timestamps import TimeColumn, format_times, parse_times
from ipinsights.errors import ClientError
from ipinsights.etl.summary import num_days
from ipinsights.reporting.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block

__all__ = [
    "PARTS", "Part", "TimedRows", "describe_parts", "parts_by_fraction", "parts_by_time", "read_timed_rows",
    "write_parts",
]  # fmt: skip

PARTS = ("train", "calibration", "test")
"""Names of the parts, each of which is a file with the ending ``.csv``."""

# Rows enough for Arrow to run at full speed, and few enough to stay far below its 2 GB of text per array.
_ROWS_PER_CHUNK = 500_000


@dataclass(frozen=True)
class TimedRows:
    """Rows in order of time, (n,). Rows with equal times keep their order of the file."""

    # Dictionary-encoded text.
    entities: pa.DictionaryArray
    ips: NDArray[np.uint32]
    # Microseconds since 1970 in UTC, never falling.
    times: NDArray[np.int64]
    # Addresses of both families. None if all are IPv4.
    addresses: Addresses | None = None

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Part:
    """Consecutive events that belong into one file."""

    # ``train``, ``calibration`` or ``test``.
    name: str
    rows: slice
    # Times of the first and the last one, as text.
    first: str
    last: str

    def __str__(self) -> str:
        """Return name, number of rows and period as one line of text."""
        size = self.rows.stop - self.rows.start
        return f"{self.name}.csv: {counted(size, 'row')} from {self.first} to {self.last}"


def describe_parts(events: TimedRows, parts: Sequence[Part]) -> str:
    """Return a line for each part, with its entities and days, for people."""
    lines = []
    for part in parts:
        start, stop = part.rows.start, part.rows.stop
        num_entities = pc.count_distinct(events.entities.indices.slice(start, stop - start)).as_py()
        days = num_days(*events.times[[start, stop - 1]].tolist())
        lines.append(f"{part}, {counted(num_entities, 'entity', 'entities')}, {days}")
    return "\n".join(lines)


def read_timed_rows(path: Path, *, ipv6: bool = False) -> TimedRows:
    """Read rows of ``entity,ip,timestamp``, in any order and without a header, below a path."""
    parts = [part for file in channel_files(path) for part in _read_file(file, ipv6=ipv6)]
    time = np.concatenate([part.times for part in parts])
    order = np.argsort(time, kind="stable")
    entities = pa.chunked_array([part.entities for part in parts]).unify_dictionaries().combine_chunks()
    addresses = [part.addresses for part in parts if part.addresses is not None]
    return TimedRows(
        entities.take(pa.array(order)),
        np.concatenate([part.ips for part in parts])[order],
        time[order],
        Addresses.joined(addresses)[order] if addresses else None,
    )


def _read_file(file: Path, *, ipv6: bool) -> Iterator[TimedRows]:
    """Yield the rows of a file, block by block in their order."""
    num_rows, column = 0, TimeColumn()
    for block in read_blocks(file, num_columns=3, progress=True, ipv6=ipv6):
        times = _times(block, column, file, num_rows)
        yield TimedRows(block.columns[0].dictionary_encode(), block.ips, times, block.addresses)
        num_rows += len(block)


def _times(block: Block, column: TimeColumn, file: Path, num_rows_before: int) -> NDArray[np.int64]:
    try:
        times, timed = column.parse(block.columns[2])
    except ClientError as error:
        raise ClientError(f"{file}: {error}") from None
    if not timed.all():
        row = int(timed.argmin())
        raise ClientError(
            f"{file}: the timestamp of row {num_rows_before + row + 1:,} must be ISO 8601, such as "
            f"2018-11-11T09:30:00Z, or seconds since 1970. Got {block.columns[2][row].as_py()!r}."
        )
    return times


def parts_by_time(events: TimedRows, *, test_from: str, calibration_from: str | None = None) -> list[Part]:
    """Return train, calibration and test parts, split at given times (UTC), none of them empty."""
    test = _time("test_from", test_from)
    names, starts = ["train", "test"], [test]
    if calibration_from is not None:
        calibration = _time("calibration_from", calibration_from)
        if calibration >= test:
            raise ClientError(
                f"`calibration_from` must be before `test_from`, for what is tested comes last. Got "
                f"{calibration_from} and {test_from}."
            )
        names, starts = [*PARTS], [calibration, test]
    return _parts(events, names, np.searchsorted(events.times, starts).tolist())


def _time(option: str, text: str) -> int:
    times, timed = parse_times(pa.array([text]))
    if not timed[0]:
        raise ClientError(
            f"`{option}` must be a date or a time such as 2018-11-11 or 2018-11-11T12:00:00Z. Got {text!r}."
        )
    return int(times[0])


def parts_by_fraction(events: TimedRows, fractions: Sequence[float]) -> list[Part]:
    """Return train, calibration and test parts with given shares of rows, none of them empty.

    There is no calibration part if its share is 0.
    """
    train, calibration, test = fractions
    usable = train > 0 and calibration >= 0 and test > 0
    if not usable or not math.isclose(train + calibration + test, 1, abs_tol=1e-6):
        raise ClientError(
            "`fractions` must be the shares of train, calibration and test, which add up to 1; only that of "
            f"calibration may be 0. Got {' '.join(format(share, 'g') for share in fractions)}."
        )
    ends = [round(len(events) * train), round(len(events) * (train + calibration))]
    if calibration == 0:
        return _parts(events, ["train", "test"], ends[:1])
    return _parts(events, PARTS, ends)


def _parts(events: TimedRows, names: Sequence[str], ends: Sequence[int]) -> list[Part]:
    borders = [0, *ends, len(events)]
    first, last = format_times(events.times[[0, -1]]).to_pylist()
    parts = []
    for name, start, stop in zip(names, borders[:-1], borders[1:], strict=True):
        if start == stop:
            raise ClientError(f"No row is left for {name}: the {len(events):,} rows are from {first} to {last}.")
        parts.append(Part(name, slice(start, stop), *format_times(events.times[[start, stop - 1]]).to_pylist()))
    return parts


def write_parts(
    directory: Path,
    events: TimedRows,
    parts: Sequence[Part],
    *,
    rng: np.random.Generator,
    keep_timestamps: bool = False,
) -> None:
    """Write each part as a CSV file of ``entity,ip`` rows without a header into a folder.

    The folder is made, and all files are renamed to their targets when all of them are complete. The rows of
    ``train`` are mixed by ``rng``, since training keeps the order of the file, and the others are in the order of
    time. ``keep_timestamps`` adds the timestamp as a third column to ``test``.
    """
    texts = quoted(events.entities.dictionary)

    def lines(part: Part) -> Iterator[memoryview]:
        """Yield the lines of a part, whose rows are mixed when its file is written."""
        rows = np.arange(part.rows.start, part.rows.stop)
        if part.name == "train":
            rng.shuffle(rows)
        is_timed = keep_timestamps and part.name == "test"
        for start in range(0, len(rows), _ROWS_PER_CHUNK):
            chunk = rows[start : start + _ROWS_PER_CHUNK]
            both = events.addresses
            ips = format_ips(events.ips[chunk]) if both is None else format_addresses(both[chunk])
            columns = [texts.take(events.entities.indices.take(pa.array(chunk))), ips]
            yield csv_lines([*columns, format_times(events.times[chunk])] if is_timed else columns)

    write_files(directory, {f"{part.name}.csv": lines(part) for part in parts})
