"""The way of a record from a log file to a line of CSV, whatever its format."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.csv_output import csv_lines, opened_output, quoted
from ipinsights.data import channel_files
from ipinsights.errors import ClientError
from ipinsights.extraction.files import STANDARD_INPUT, opened
from ipinsights.extraction.records import Reason
from ipinsights.extraction.web import read_web
from ipinsights.ipv4 import BLANKS, parse_ips
from ipinsights.timestamps import check_zone, format_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.extraction.records import Columns, Records

__all__ = ["FORMATS", "Filters", "Summary", "extract"]

FORMATS = {"apache": read_web, "nginx": read_web}
"""The readers, by the name of the format."""

_LABELS = {
    Reason.BLANK: "blank",
    Reason.MALFORMED: "malformed, not of this format",
    Reason.OTHER: "about something else",
    Reason.FILTERED: "filtered out",
    Reason.NO_USER: "no entity",
    Reason.IPV6: "IPv6, set aside",
    Reason.NO_ADDRESS: "no address (a name, a service or nothing)",
    Reason.NO_TIME: "no time, or none that can be read",
}
_NO_USER = ["", "-", '""']
_IPV6 = "^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*(?:%.*)?$"
_MAPPED = "(?i)^::ffff:([0-9.]+)$"


@dataclass(frozen=True)
class Filters:
    """What records must be like to be used; all must hold.

    Attributes
    ----------
    path
        Regular expression (RE2) to be found in the field ``path``.
    statuses
        Values of which the field ``status`` must be one.
    where
        Pairs of a field and its value.
    """

    path: str | None = None
    statuses: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, *, path: str | None, status: str, where: Sequence[str]) -> Filters:
        """Give filters from the texts of a command's options: ``200,302`` and ``FIELD=VALUE``.

        Raises
        ------
        ClientError
            One is not of that form.
        """
        try:
            pc.match_substring_regex(pa.array([""]), path or "")
        except pa.ArrowInvalid as error:
            reason = str(error).partition(": ")[2]
            raise ClientError(f"--path must be a regular expression (RE2). Got {path!r}: {reason}.") from None
        for text in where:
            if "=" not in text.lstrip("="):
                raise ClientError(f"--where must be FIELD=VALUE. Got {text!r}.")
        statuses = tuple(code.strip() for code in status.split(",") if code.strip())
        pairs = (text.partition("=") for text in where)
        return cls(path, statuses, tuple((name, value) for name, _, value in pairs))


@dataclass
class Summary:
    """What became of all records.

    Attributes
    ----------
    num_files, num_records, num_written
        Counts; every record is either written or counted in ``skipped``.
    skipped
        Number of records by reason.
    first, last
        Earliest and latest time written, in microseconds since 1970.
    """

    num_files: int = 0
    num_records: int = 0
    num_written: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None

    def count(self, reasons: NDArray[np.uint8], times: NDArray[np.int64]) -> None:
        """Add some records, given the reasons of all, shape (n,), and the times of those written."""
        self.num_records += len(reasons)
        self.num_written += len(times)
        for reason, number in enumerate(np.bincount(reasons).tolist()):
            if reason != Reason.NONE and number:
                self.skipped[Reason(reason)] += number
        if len(times):
            self.first = min(int(times.min()), self.first if self.first is not None else sys.maxsize)
            self.last = max(int(times.max()), self.last if self.last is not None else -sys.maxsize)

    def __str__(self) -> str:
        """Say it in lines for people."""
        lines = [f"{self.num_records} records in {self.num_files} files: {self.num_written} written, "
                 f"{sum(self.skipped.values())} skipped."]  # fmt: skip
        lines += [f"  {self.skipped[reason]:>12} {label}" for reason, label in _LABELS.items() if self.skipped[reason]]
        if self.first is not None:
            first, last = format_times(np.array([self.first, self.last])).to_pylist()
            lines.append(f"Written: from {first} to {last}.")
        return "\n".join(lines)


def extract(
    sources: Sequence[Path], output: Path | None, *, log_format: str, columns: Columns, filters: Filters
) -> Summary:
    """Write ``entity,ip,timestamp`` (no header; ISO 8601 in UTC) for the records of log files, in bounded memory.

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
        A file cannot be read, a field is not known, or every record is malformed.
    """
    check_zone(columns.zone)
    summary = Summary()
    with opened_output(output) as out:
        for file in _files(sources):
            summary.num_files += 1
            with opened(file) as stream:
                for records in FORMATS[log_format](stream, columns):
                    out.write(_usable_lines(records, filters, summary))
        _refuse_if_all_malformed(summary, log_format)
    return summary


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        yield from [source] if source == STANDARD_INPUT else channel_files(source)


def _usable_lines(records: Records, filters: Filters, summary: Summary) -> memoryview:
    """Give the lines of the records that can be used, and count what becomes of each."""
    ip = _ipv4_if_mapped(records.ip)
    reasons = records.reasons.copy()
    for wrong, reason in (
        (~_passes(records, filters), Reason.FILTERED),
        (_mask(pc.is_in(records.entity.fill_null(""), pa.array(_NO_USER))), Reason.NO_USER),
        (_mask(pc.match_substring_regex(ip, _IPV6)), Reason.IPV6),
        (~parse_ips(ip)[1], Reason.NO_ADDRESS),
        (~records.timed, Reason.NO_TIME),
    ):
        reasons[(reasons == Reason.NONE) & wrong] = reason
    used = reasons == Reason.NONE
    times = records.times[used]
    summary.count(reasons, times)
    return csv_lines([quoted(records.entity.filter(pa.array(used))), ip.filter(pa.array(used)), format_times(times)])


def _ipv4_if_mapped(texts: pa.StringArray) -> pa.StringArray:
    """Give addresses without blanks around them, and ``::ffff:192.0.2.1``, IPv4 on a socket of both, as IPv4."""
    return pc.replace_substring_regex(pc.ascii_trim(texts.fill_null(""), BLANKS), _MAPPED, r"\1")


def _passes(records: Records, filters: Filters) -> NDArray[np.bool_]:
    """Tell which records hold against all filters, shape (n,)."""
    passing = np.ones(len(records), dtype=bool)
    if filters.path is not None:
        passing &= _mask(pc.match_substring_regex(_field(records, "path", "--path"), filters.path))
    if filters.statuses:
        passing &= _mask(pc.is_in(_field(records, "status", "--status"), pa.array(filters.statuses)))
    for name, value in filters.where:
        passing &= _mask(pc.equal(_field(records, name, "--where"), value))
    return passing


def _field(records: Records, name: str, option: str) -> pa.StringArray:
    values = records.field(name)
    if values is None:
        raise ClientError(f"{option} cannot be used here: a record has no field {name!r}. {records.known_fields}")
    return values.fill_null("")


def _mask(values: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask


def _refuse_if_all_malformed(summary: Summary, log_format: str) -> None:
    if summary.num_records and summary.skipped[Reason.MALFORMED] == summary.num_records:
        raise ClientError(
            f"None of the {summary.num_records} records is in the format {log_format}. See --format for the others."
        )
