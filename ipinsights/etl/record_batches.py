"""Log files to record batches of Arrow, for engines that read and write files themselves."""

from __future__ import annotations

import os
from datetime import date, datetime
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ipinsights.data.input_streams import opened_stream
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import read_records, resolved
from ipinsights.etl.records import LogOptions
from ipinsights.etl.summary import Summary
from ipinsights.etl.usable_rows import UsableRows, usable_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["extract_batches"]

_TIME = pa.timestamp("us", "UTC")


def extract_batches(
    stream: IO[bytes],
    log_format: str,
    *,
    name: str = "stream",
    entity: str | Sequence[str] | None = None,
    ip: str | Sequence[str] | None = None,
    timestamp: str | Sequence[str] | None = None,
    time_format: str | None = None,
    timezone: str = "UTC",
    no_timestamps: bool = False,
    year: int | None = None,
    written: date | None = None,
    path: str | None = None,
    status: str = "",
    where: Sequence[str] = (),
    fields: Sequence[str] = (),
    line_format: str | None = None,
    skip_lines: int = 0,
    encoding: str | None = None,
    no_header: bool = False,
    ipv6: bool = False,
) -> Iterator[tuple[pa.RecordBatch, Summary]]:
    r"""Yield the rows of a log file in batches, each with what became of its records.

    The rows and counts are those of ``ipinsights extract``, whose options the parameters are. Memory is bounded. A
    batch may be empty, and a log without a usable record is no error.

    Parameters
    ----------
    stream
        The whole file, open for reading bytes, packed and encoded in any way. It stays open.
    log_format
        Name of the format, such as ``apache``, ``sshd`` or ``okta``.
    name
        Name of the file for examples and errors.
    entity, ip, timestamp
        Names of fields, each of which is for records without those before it. None for the format's own.
    time_format, timezone
        Format of times as of Python's ``strptime``, and zone of times that do not have theirs.
    no_timestamps
        Whether times are left out.
    year, written
        Year of the first line where times have none, or the day on which the file was last written to, which tells it.
        If None, the day is that of the open file, or today.
    path, status, where
        Filters: a regular expression, codes such as ``200,302``, and texts ``FIELD=VALUE``.
    fields, line_format, skip_lines
        Names of the fields of a line, format of a line, and number of lines to skip.
    encoding
        Name of the encoding of text. None for UTF-8, or what the first bytes show.
    no_header
        Whether the first row of CSV is not a header.
    ipv6
        Whether IPv6 addresses are wanted.

    Yields
    ------
    tuple
        A record batch with the columns ``entity`` and ``ip`` (text) and ``time`` (timestamp[us, UTC]), and the
        :class:`~ipinsights.Summary` of its records. Summaries add up with ``+``.

    Raises
    ------
    ClientError
        The file cannot be read, or an option is invalid or does not fit the format.

    Examples
    --------
    >>> import io
    >>> from ipinsights import extract_batches
    >>> log = io.BytesIO(b'192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326\n')
    >>> ((batch, summary),) = extract_batches(log, "apache")
    >>> batch.to_pylist()[0]["entity"], str(batch["time"][0]), summary.counts
    ('frank', '2000-10-10 20:55:36+00:00', {'written': 1})
    """
    options = LogOptions(
        entity, ip, timestamp, timezone, year, _day(stream, written), no_timestamps=no_timestamps, encoding=encoding,
        no_header=no_header, ipv6=ipv6, time_format=time_format, fields=fields, line_format=line_format,
        skip_lines=skip_lines,
    )  # fmt: skip
    filters = Filters.parse(path=path, status=status, where=where)
    return _batches(stream, name, *resolved(log_format, options), filters)


def _batches(
    stream: IO[bytes], name: str, log_format: str, options: LogOptions, filters: Filters
) -> Iterator[tuple[pa.RecordBatch, Summary]]:
    num_files = 1
    with opened_stream(stream, name, parquet=log_format == "parquet", encoding=options.encoding) as content:
        for records in read_records(content, name, log_format, options):
            summary = Summary(num_files)
            yield _batch(usable_rows(records, filters, summary, name, options)), summary
            num_files = 0
    if num_files:  # a file without records is a file
        nothing = pa.array([], pa.string())
        times = None if options.no_timestamps else np.empty(0, dtype=np.int64)
        yield _batch(UsableRows(nothing, nothing, times, np.empty(0, dtype=bool))), Summary(num_files)


def _batch(rows: UsableRows) -> pa.RecordBatch:
    columns = {"entity": rows.entity, "ip": rows.ip}
    if rows.times is not None:
        columns["time"] = pa.Array.from_buffers(_TIME, len(rows.times), [None, pa.py_buffer(rows.times)])
    return pa.RecordBatch.from_arrays([*columns.values()], [*columns])


def _day(stream: IO[bytes], written: date | None) -> date:
    """Return the day on which a file was last written to."""
    if isinstance(written, datetime):
        return written.date()
    if written is not None:
        return written
    try:
        return date.fromtimestamp(os.fstat(stream.fileno()).st_mtime)  # noqa: DTZ012 - as of `ipinsights extract`
    except (OSError, AttributeError, ValueError):
        return date.today()  # noqa: DTZ011 - the same
