"""The way of a record from a log file to a line of CSV, whatever its format."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import decoded
from ipinsights.data.channels import channel_files
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.decoding import check_encoding
from ipinsights.data.files import open_output
from ipinsights.data.input_streams import STANDARD_INPUT, opened
from ipinsights.data.ipv4 import format_ips, parse_ips
from ipinsights.data.ipv6 import format_ipv6, parse_addresses
from ipinsights.data.numeric_times import are_plausible
from ipinsights.data.timestamps import check_zone, format_times
from ipinsights.errors import ClientError
from ipinsights.etl.field_values import address_reasons, bare_addresses, stand_for_nothing
from ipinsights.etl.json_records import read_cloudtrail, read_jsonl
from ipinsights.etl.key_values import read_logfmt
from ipinsights.etl.parquet_records import read_parquet
from ipinsights.etl.presets import PRESETS
from ipinsights.etl.records import Reason
from ipinsights.etl.sshd import read_sshd
from ipinsights.etl.summary import Summary
from ipinsights.etl.tabular import read_csv
from ipinsights.etl.vpcflow import read_vpcflow
from ipinsights.etl.web import read_web

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.etl.filters import Filters
    from ipinsights.etl.kept_fields import KeptFields
    from ipinsights.etl.records import Columns, LogRecords

__all__ = ["FORMATS", "extract"]

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
    columns: Columns,
    filters: Filters,
    num_shown: int | None = None,
    kept: KeptFields | None = None,
) -> Summary:
    """Write ``entity,ip,timestamp`` (no header; ISO 8601 in UTC) for the records of log files, in bounded memory.

    Where ``columns`` wants no times, ``entity,ip``.

    Parameters
    ----------
    sources
        Files, folders or ``-`` for standard input; plain or gzip, which their first bytes tell.
    output
        Written beside and renamed when complete; None is standard output.
    log_format
        One of :data:`FORMATS` or of :data:`ipinsights.etl.presets.PRESETS`.
    columns, filters
        What to take, and from which records.
    num_shown
        Number of rows to write, though all are counted; None for all.
    kept
        Further fields to write behind the others, None for no such fields.

    Raises
    ------
    ClientError
        A file cannot be read, or a field is not known or cannot be chosen.
    NothingUsableError
        There is no row to write.
    """
    check_zone(columns.zone)
    if columns.encoding is not None:
        check_encoding(columns.encoding)
    if log_format in PRESETS:
        columns, log_format = PRESETS[log_format].applied(columns), PRESETS[log_format].reader
    is_fixed = log_format in _FIXED and columns.line_format is None
    if is_fixed:
        _refuse_names(columns, log_format)
    summary = Summary()
    num_left = sys.maxsize if num_shown is None else num_shown
    with open_output(output) as out:
        for file in _files(sources):
            summary.num_files += 1
            for records in _records(file, log_format, columns):
                lines = _usable_lines(records, filters, summary, str(file), columns, kept)
                num_left -= _write(out, lines, num_left)
                if file == STANDARD_INPUT:  # somebody may be waiting behind a pipe
                    out.flush()
        summary.check(log_format, is_fixed=is_fixed)
    return summary


def _write(out: IO[bytes], lines: memoryview, num_left: int) -> int:
    """Write lines, or the first of them, and return how many they are; 0 if they are all there may be."""
    if num_left == sys.maxsize:
        out.write(lines)
        return 0
    first = bytes(lines).splitlines(keepends=True)[:num_left]
    out.writelines(first)
    return len(first)


def _refuse_names(columns: Columns, log_format: str) -> None:
    named = {"entity": columns.entity, "ip": columns.ip, "timestamp": columns.timestamp}
    given = [option for option, name in named.items() if name is not None]
    if given:
        raise ClientError(f"`{given[0]}` cannot be used with {log_format}: its lines have fixed places for it.")


def _records(file: Path, log_format: str, columns: Columns) -> Iterator[LogRecords]:
    with opened(file, parquet=log_format == "parquet", encoding=columns.encoding) as stream:
        try:
            yield from FORMATS[log_format](stream, replace(columns, written=_written(file)))
        except ClientError as error:
            raise ClientError(f"{file}: {error}") from None


def _written(file: Path) -> date:
    return date.today() if file == STANDARD_INPUT else date.fromtimestamp(file.stat().st_mtime)  # noqa: DTZ011, DTZ012


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        yield from [source] if source == STANDARD_INPUT else channel_files(source)


def _usable_lines(
    records: LogRecords, filters: Filters, summary: Summary, name: str, columns: Columns, kept: KeptFields | None
) -> memoryview:
    """Return the lines of the records that can be used, and count what becomes of each."""
    entity, is_escaped = decoded(records.entity)
    with_times = columns.with_times
    ip, is_parsed = _addresses(records.ip, ipv6=columns.ipv6)
    reasons = records.reasons.copy()
    reasons[(reasons == Reason.NONE) & ~filters.hold(records)] = Reason.FILTERED
    reasons[(reasons == Reason.NONE) & stand_for_nothing(entity)] = Reason.NO_USER
    not_parsed = (reasons == Reason.NONE) & ~is_parsed
    reasons[not_parsed] = address_reasons(ip.filter(pa.array(not_parsed)))
    # A null of a database, such as 1601-01-01 or 9999-12-31, is not a time.
    reasons[(reasons == Reason.NONE) & with_times & ~(records.timed & are_plausible(records.times))] = Reason.NO_TIME
    used = reasons == Reason.NONE
    times = records.times[used & with_times]
    summary.count(reasons, times)
    summary.keep_examples(reasons, name, records.shown)
    summary.num_escaped += int(np.count_nonzero(is_escaped & used))
    summary.known_fields = records.known_fields
    written = entity.filter(pa.array(used))
    summary.count_entities(written)
    fields = [quoted(written), ip.filter(pa.array(used))]
    fields += [format_times(times)] if with_times else []
    others = [] if kept is None else kept.columns(records)
    return csv_lines([*fields, *(quoted(column.filter(pa.array(used))) for column in others)])


def _addresses(texts: pa.StringArray, *, ipv6: bool) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """Return the texts of addresses, (n,), and which of them can be used, (n,)."""
    ip = bare_addresses(texts)
    if not ipv6:
        return ip, parse_ips(ip)[1]
    found = parse_addresses(ip)
    written = [format_ipv6(*halves) for halves in zip(found.upper.tolist(), found.lower.tolist(), strict=True)]
    is_mapped = found.is_valid & ~found.is_ipv6
    texts = pc.if_else(pa.array(is_mapped), format_ips(found.ips), ip)
    return pc.if_else(pa.array(found.is_ipv6), pa.array(written, pa.string()), texts), found.is_valid
