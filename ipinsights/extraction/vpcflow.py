"""Flow logs of Amazon VPC as text: the default fields (version 2), or those that the first line of a file names.

Source: "Flow log records" of the Amazon VPC user guide. Files in S3 begin with a header; CloudWatch's have none, and
then the fields are the default ones. A dash is a field that does not apply; NODATA and SKIPDATA tell of no flow.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.errors import ClientError
from ipinsights.extraction.files import line_blocks
from ipinsights.extraction.records import Reason, Records, as_text, blank_or_none, mask, timeless
from ipinsights.timestamps import parse_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ipinsights.extraction.records import Columns

__all__ = ["read_vpcflow"]

_DEFAULT = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
    "bytes", "start", "end", "action", "log-status",
)  # fmt: skip
_KNOWN = {*_DEFAULT, "pkt-srcaddr", "pkt-dstaddr", "instance-id"}
_is_name = re.compile("[a-z][a-z-]*[0-9]?").fullmatch


def read_vpcflow(stream: IO[bytes], columns: Columns) -> Iterator[Records]:
    """Give the records of a flow log, one a line; the entity is the network interface if not told otherwise.

    Raises
    ------
    ClientError
        There is no field of a name that ``columns`` asks for.
    """
    names: Sequence[str] = ()
    for lines in line_blocks(stream):
        names = names or _header(lines[0].as_py()) or _DEFAULT
        yield _records(lines, names, columns)


def _header(line: bytes) -> list[str]:
    """Give the names in a line, none if it is no header."""
    names = line.decode("utf-8", errors="replace").split(" ")
    return names if all(map(_is_name, names)) and not _KNOWN.isdisjoint(names) else []


def _records(lines: pa.BinaryArray, names: Sequence[str], columns: Columns) -> Records:
    known_fields = f"The fields are {', '.join(names)}."
    field = _fields(lines, names)

    def needed(name: str) -> pa.StringArray:
        values = field(name)
        if values is None:
            raise ClientError(f"The flow log has no field {name!r}. {known_fields}")
        return values

    wanted = columns.with_times
    times, timed = (
        parse_times(needed(columns.timestamp or "start"), zone=columns.zone) if wanted else timeless(len(lines))
    )
    entity, ip = needed(columns.entity or "interface-id"), needed(columns.ip or "srcaddr")
    reasons = blank_or_none(lines)
    reasons[(reasons == Reason.NONE) & mask(needed(names[0]).is_null())] = Reason.MALFORMED
    is_header = pc.equal(needed(names[0]), names[0])
    tells_nothing = pc.is_in(field("log-status") or needed(names[0]), pa.array(["NODATA", "SKIPDATA"]))
    reasons[(reasons == Reason.NONE) & mask(pc.or_(is_header, tells_nothing))] = Reason.OTHER
    return Records(entity, ip, times, timed, reasons, known_fields, field)


def _fields(lines: pa.BinaryArray, names: Sequence[str]) -> Callable[[str], pa.StringArray | None]:
    """Give a function from a field's name to its values, (n,) each, null where a line has not as many as the names."""
    parts = pc.split_pattern(lines, b" ")
    fits = pc.equal(pc.list_value_length(parts), len(names))
    # (number of lines that fit · number of fields,), line by line
    values = parts.filter(fits).flatten()
    # where each line's values are among those, (n,)
    places = pc.if_else(fits, pc.subtract(pc.cumulative_sum(fits.cast(pa.int64())), 1), None)

    def field(name: str) -> pa.StringArray | None:
        if name not in names:
            return None
        column = values.take(pa.array(np.arange(names.index(name), len(values), len(names))))
        return as_text(column.take(places))

    return field
