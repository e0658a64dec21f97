"""The way of a record from a log file to a line of CSV, whatever its format."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from datetime import date
from typing import IO, TYPE_CHECKING, cast

from ipinsights.data.arrow import packed
from ipinsights.data.channels import channel_files
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.decoding import check_encoding
from ipinsights.data.files import open_output
from ipinsights.data.input_streams import STANDARD_INPUT, opened
from ipinsights.data.timestamps import check_zone, format_times
from ipinsights.data.zero_bytes import WithoutZeros
from ipinsights.errors import ClientError, InvalidValueError, UnreadableFileError
from ipinsights.etl.json_records import read_cloudtrail, read_jsonl
from ipinsights.etl.key_values import read_logfmt
from ipinsights.etl.parquet_records import read_parquet
from ipinsights.etl.presets import PRESETS
from ipinsights.etl.sshd import read_sshd
from ipinsights.etl.summary import WEB_FORMATS, Summary
from ipinsights.etl.tabular import read_csv
from ipinsights.etl.usable_rows import usable_rows
from ipinsights.etl.vpcflow import read_vpcflow
from ipinsights.etl.web import read_web

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from ipinsights.etl.filters import Filters
    from ipinsights.etl.records import KeptFields, LogOptions, LogRecords
    from ipinsights.etl.usable_rows import UsableRows

__all__ = ["FORMATS", "extract", "read_records", "resolved"]

FORMATS = {
    "apache": read_web,
    "nginx": read_web,
    "sshd": read_sshd,
    "cloudtrail": read_cloudtrail,
    "vpcflow": read_vpcflow,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "logfmt": read_logfmt,
}
"""The readers, by the name of the format; :data:`ipinsights.etl.presets.PRESETS` are further formats."""

_FIXED = ("apache", "nginx", "sshd")


def extract(
    sources: Sequence[Path],
    output: Path | None,
    *,
    log_format: str,
    options: LogOptions,
    filters: Filters,
    num_shown: int | None = None,
    kept: KeptFields | None = None,
) -> Summary:
    """Write ``entity,ip,timestamp`` rows of the records of log files, in bounded memory.

    Rows have no header, and times in ISO 8601 in UTC unless ``options`` leave them out. The ``kept`` fields follow
    them. The sources are files, folders or ``-`` for standard input, in one of :data:`FORMATS` or of the presets. All
    records are counted, though only ``num_shown`` rows are written. Without any row it is a NothingUsableError.
    """
    name = log_format
    log_format, options = resolved(log_format, options)
    summary = Summary()
    num_left = sys.maxsize if num_shown is None else num_shown
    files = ([source] if source == STANDARD_INPUT else channel_files(source) for source in sources)
    with open_output(output) as out:
        for file in itertools.chain.from_iterable(files):
            summary.num_files += 1
            for records in _records(file, log_format, options):
                rows = usable_rows(records, filters, summary, str(file), options)
                num_left -= _write(out, _lines(rows, [] if kept is None else kept.columns(records)), num_left)
                if file == STANDARD_INPUT:  # somebody may be waiting behind a pipe
                    out.flush()
        summary.check(log_format, is_fixed=_is_fixed(log_format, options), name=name)
    return summary


def resolved(log_format: str, options: LogOptions) -> tuple[str, LogOptions]:
    """Return the format whose reader reads a log, and checked options for the reader.

    An unknown format, time zone or encoding, and fields that cannot be chosen are ClientErrors.
    """
    check_zone(options.timezone)
    if options.encoding is not None:
        check_encoding(options.encoding)
    if log_format in PRESETS:
        options, log_format = PRESETS[log_format].applied(options), PRESETS[log_format].reader
    if log_format not in FORMATS:
        known = ", ".join(sorted({*FORMATS, *PRESETS}))
        raise InvalidValueError(f"`log_format` must be one of {known}. Got {log_format!r}.")
    if _is_fixed(log_format, options):
        _refuse_names(options, log_format)
    return log_format, options


def read_records(stream: IO[bytes], name: str, log_format: str, options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of a log, given the results of :func:`resolved`.

    The stream is text in UTF-8, or Parquet. A ClientError begins with the name of the log.
    """
    try:
        text = stream if log_format == "parquet" else cast("IO[bytes]", WithoutZeros(stream))
        yield from FORMATS[log_format](text, options)
    except UnreadableFileError:
        raise
    except ClientError as error:
        raise ClientError(f"{name}: {error}") from None


def _write(out: IO[bytes], lines: memoryview, num_left: int) -> int:
    """Write lines, at most ``num_left``, and return their number, or 0 if there is no limit."""
    if num_left == sys.maxsize:
        out.write(lines)
        return 0
    first = bytes(lines).splitlines(keepends=True)[:num_left]
    out.writelines(first)
    return len(first)


def _refuse_names(options: LogOptions, log_format: str) -> None:
    named = {"entity": options.entity, "ip": options.ip, "timestamp": options.timestamp}
    given = [option for option, name in named.items() if name]
    if given:
        cure = " Name the fields of a line with `line_format`." if log_format in WEB_FORMATS else ""
        raise ClientError(f"`{given[0]}` cannot be used with {log_format}: its lines have fixed places for it.{cure}")


def _is_fixed(log_format: str, options: LogOptions) -> bool:
    return log_format in _FIXED and options.line_format is None


def _records(file: Path, log_format: str, options: LogOptions) -> Iterator[LogRecords]:
    with opened(file, parquet=log_format == "parquet", encoding=options.encoding) as stream:
        yield from read_records(stream, str(file), log_format, replace(options, written=_written(file)))


def _written(file: Path) -> date:
    return date.today() if file == STANDARD_INPUT else date.fromtimestamp(file.stat().st_mtime)  # noqa: DTZ011, DTZ012


def _lines(rows: UsableRows, further: Sequence[pa.StringArray]) -> memoryview:
    """Return rows as lines of CSV, given further fields of all records."""
    fields = [quoted(rows.entity), rows.ip, *([] if rows.times is None else [format_times(rows.times)])]
    return csv_lines([*fields, *(quoted(column.filter(packed(rows.is_used))) for column in further)])
