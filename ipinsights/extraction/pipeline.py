"""The way of a record from a log file to a line of CSV, whatever its format."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.channels import channel_files
from ipinsights.csv_output import csv_lines, opened_output, quoted
from ipinsights.errors import ClientError
from ipinsights.extraction.documents import read_cloudtrail, read_jsonl
from ipinsights.extraction.files import STANDARD_INPUT, opened
from ipinsights.extraction.records import Reason, mask
from ipinsights.extraction.sshd import read_sshd
from ipinsights.extraction.summary import Summary
from ipinsights.extraction.tables import read_csv, read_parquet
from ipinsights.extraction.vpcflow import read_vpcflow
from ipinsights.extraction.web import read_web
from ipinsights.ipv4 import BLANKS, parse_ips
from ipinsights.timestamps import check_zone, format_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ipinsights.extraction.filters import Filters
    from ipinsights.extraction.records import Columns, Records

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
}
"""The readers, by the name of the format."""

_FIXED = ("apache", "nginx", "sshd")
_NO_USER = ["", "-", '""']
_IPV6 = "^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*(?:%.*)?$"
_MAPPED = "(?i)^::ffff:([0-9.]+)$"


def extract(
    sources: Sequence[Path], output: Path | None, *, log_format: str, columns: Columns, filters: Filters
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
        One of :data:`FORMATS`.
    columns, filters
        What to take, and from which records.

    Raises
    ------
    ClientError
        A file cannot be read, a field is not known or cannot be chosen, or every record is malformed.
    """
    check_zone(columns.zone)
    _refuse_names_if_fixed(columns, log_format)
    summary = Summary()
    with opened_output(output) as out:
        for file in _files(sources):
            summary.num_files += 1
            for records in _records(file, log_format, columns):
                out.write(_usable_lines(records, filters, summary, with_times=columns.with_times))
        _refuse_if_all_malformed(summary, log_format)
    return summary


def _refuse_names_if_fixed(columns: Columns, log_format: str) -> None:
    named = {"--entity": columns.entity, "--ip": columns.ip, "--timestamp": columns.timestamp}
    given = [option for option, name in named.items() if name is not None]
    if given and log_format in _FIXED:
        raise ClientError(f"{given[0]} cannot be used with {log_format}: its lines have fixed places for it.")


def _records(file: Path, log_format: str, columns: Columns) -> Iterator[Records]:
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


def _usable_lines(records: Records, filters: Filters, summary: Summary, *, with_times: bool) -> memoryview:
    """Give the lines of the records that can be used, and count what becomes of each."""
    ip = _ipv4_if_mapped(records.ip)
    reasons = records.reasons.copy()
    for wrong, reason in (
        (~filters.hold(records), Reason.FILTERED),
        (mask(pc.is_in(records.entity.fill_null(""), pa.array(_NO_USER))), Reason.NO_USER),
        (mask(pc.match_substring_regex(ip, _IPV6)), Reason.IPV6),
        (~parse_ips(ip)[1], Reason.NO_ADDRESS),
        (~records.timed & with_times, Reason.NO_TIME),
    ):
        reasons[(reasons == Reason.NONE) & wrong] = reason
    used = reasons == Reason.NONE
    times = records.times[used & with_times]
    summary.count(reasons, times)
    fields = [quoted(records.entity.filter(pa.array(used))), ip.filter(pa.array(used))]
    return csv_lines([*fields, format_times(times)] if with_times else fields)


def _ipv4_if_mapped(texts: pa.StringArray) -> pa.StringArray:
    """Give addresses without blanks around them, and ``::ffff:192.0.2.1``, IPv4 on a socket of both, as IPv4."""
    return pc.replace_substring_regex(pc.ascii_trim(texts.fill_null(""), BLANKS), _MAPPED, r"\1")


def _refuse_if_all_malformed(summary: Summary, log_format: str) -> None:
    if summary.num_records and summary.skipped[Reason.MALFORMED] == summary.num_records:
        raise ClientError(
            f"None of the {summary.num_records} records is in the format {log_format}. See --format for the others."
        )
