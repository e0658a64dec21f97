"""Flow logs of Amazon VPC as text, with default fields (version 2) or fields of a header.

Source: "Flow log records" of the Amazon VPC user guide. Files in S3 begin with a header, those of CloudWatch do not and
then a line must look like the default fields. A dash is a field that does not apply, and
NODATA and SKIPDATA tell of no flow.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.input_streams import line_blocks, with_first_line
from ipinsights.errors import ClientError
from ipinsights.etl.field_values import first_addresses, first_values
from ipinsights.etl.json_documents import BLANK, Malformed, batches_of_records
from ipinsights.etl.records import LogRecords, Reason, blank_or_none, line_text, names_or, timeless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ipinsights.data.timestamps import TimeColumn
    from ipinsights.etl.records import LogOptions

__all__ = ["read_vpcflow"]

_DEFAULT = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
    "bytes", "start", "end", "action", "log-status",
)  # fmt: skip
_KNOWN = {*_DEFAULT, "pkt-srcaddr", "pkt-dstaddr", "instance-id"}
_HEADER = r"^[a-z][a-z-]*[0-9]?(?: [a-z][a-z-]*[0-9]?)*$"
# What the default fields hold. Other fields at these positions are another format.
_DEFAULT_LINE = (
    r"^[0-9]+ (?:[0-9]+|unknown|-) (?:eni-[0-9a-z]+|-) (?:[^ ]+ ){7}(?:[0-9]+|-) (?:[0-9]+|-) (?:ACCEPT|REJECT|-) "
    "(?:OK|NODATA|SKIPDATA)$"
)
# `aws logs tail` and exports to S3 put the time, and perhaps the name of the stream, in front of a line.
_CLOUDWATCH_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)? (?:eni-[0-9a-z]+-[a-z]+ )?"


def read_vpcflow(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of a flow log, one per line. The default entity is the interface.

    A header names the fields of the lines behind it, wherever it stands.
    """
    names: Sequence[str] = options.fields
    time = options.time_column()
    for block in _flow_lines(stream):
        for lines, found in _segments(_split_by_blanks(block), names):
            names = found
            if len(lines):
                yield _records(lines, names or _DEFAULT, options, time, is_default=not names)


def _flow_lines(stream: IO[bytes]) -> Iterator[pa.BinaryArray]:
    """Yield the lines of a flow log, (n,) a block, without what CloudWatch adds to them."""
    line, again = with_first_line(line_blocks(stream))
    head = line.strip()
    if head.startswith((b"{", b"[{")) or head == b"[":  # subscriptions, and `aws logs filter-log-events`
        for records in batches_of_records(stream, blocks=again):
            yield pa.array(map(_message, records), pa.binary())
        return
    for lines in again:
        yield pc.replace_substring_regex(lines, pattern=_CLOUDWATCH_TIME, replacement="")


def _message(record: Any) -> bytes:
    if record is BLANK:
        return b""
    message = record.get("message", record) if isinstance(record, dict) else record
    return (record.line if isinstance(record, Malformed) else str(message)).encode("utf-8", "backslashreplace")


def _split_by_blanks(lines: pa.BinaryArray) -> pa.BinaryArray:
    """Return lines whose fields one blank separates, though TABs or several blanks align them."""
    if not pc.any(pc.match_substring_regex(lines, "\t|  | $")).as_py():
        return lines
    return pa.array([b" ".join(line.split()) for line in lines.to_pylist()], pa.binary())


def _segments(lines: pa.BinaryArray, names: Sequence[str]) -> Iterator[tuple[pa.BinaryArray, Sequence[str]]]:
    """Yield lines with the names of their fields, one segment for each different header."""
    start = 0
    for index in np.flatnonzero(mask(pc.match_substring_regex(lines, _HEADER))).tolist():
        found = lines[index].as_py().decode().split(" ")
        if found != names and not _KNOWN.isdisjoint(found):
            yield lines[start:index], names
            start, names = index, found
    yield lines[start:], names


def _records(
    lines: pa.BinaryArray, names: Sequence[str], options: LogOptions, time: TimeColumn, *, is_default: bool
) -> LogRecords:
    known_fields = f"The fields are {', '.join(names)}."
    field = _fields(lines, names)

    def needed(wanted: tuple[str, ...]) -> list[pa.StringArray]:
        """Return the fields that exist, of which there must be at least one."""
        found = [field(name) for name in wanted if name in names]
        if not found:
            raise ClientError(f"The flow log has no field {wanted[0]!r}. {known_fields}")
        return found

    stamps = names_or(options.timestamp, ("start",))
    times, timed = timeless(len(lines)) if options.no_timestamps else time.parse(first_values(needed(stamps)))
    entity = first_values(needed(names_or(options.entity, ("interface-id",))))
    ip = first_addresses(needed(names_or(options.ip, ("srcaddr",))))
    (front,), reasons = needed((names[0],)), blank_or_none(lines)
    fits = pc.match_substring_regex(lines, _DEFAULT_LINE) if is_default else front.is_valid()
    reasons[(reasons == Reason.NONE) & ~mask(fits)] = Reason.MALFORMED
    is_header = pc.equal(front, names[0])
    tells_nothing = pc.is_in(field("log-status") or front, pa.array(["NODATA", "SKIPDATA"]))
    reasons[(reasons == Reason.NONE) & mask(pc.or_(is_header, tells_nothing))] = Reason.OTHER
    return LogRecords(entity, ip, times, timed, reasons, known_fields, field, line_text(lines))


def _fields(lines: pa.BinaryArray, names: Sequence[str]) -> Callable[[str], pa.StringArray | None]:
    """Return a function from a field's name to its values, (n,), null in lines of another width."""
    parts = pc.split_pattern(lines, b" ")
    fits = pc.equal(pc.list_value_length(parts), len(names))
    # (number of lines that fit · number of fields,), line by line
    values = parts.filter(fits).flatten()
    # where each line's values are among those, (n,)
    indices = pc.if_else(fits, pc.subtract(pc.cumulative_sum(fits.cast(pa.int64())), 1), None)

    def field(name: str) -> pa.StringArray | None:
        if name not in names:
            return None
        column = values.take(pa.array(np.arange(names.index(name), len(values), len(names))))
        return as_text(column.take(indices))

    return field
