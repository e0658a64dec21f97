"""Options and results of the readers of logs, and reasons why a record cannot be used."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.bounded_lines import LONG_LINE, LONG_LINE_SHOWN
from ipinsights.data.timestamps import TimeColumn
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["KeptFields", "LogOptions", "LogRecords", "Reason", "blank_or_none", "line_text", "names_or", "timeless"]


class Reason(enum.IntEnum):
    """Why a record is not in the output. The first reason that holds, in this order, is counted."""

    NONE = 0
    BLANK = 1
    MALFORMED = 2
    OTHER = 3
    FILTERED = 4
    NO_USER = 5
    IPV6 = 6
    NO_ADDRESS = 7
    PORT = 8
    SEVERAL = 9
    HOST_NAME = 10
    BAD_ADDRESS = 11
    NO_TIME = 12

    @property
    def outcome(self) -> str:
        """Name of what became of a record, as counts have it."""
        return "written" if self is Reason.NONE else self.name.lower()


@dataclass(frozen=True)
class LogRecords:
    """Some consecutive records of a log, (n,)."""

    # Text or bytes as in the log, null if missing.
    entity: pa.StringArray | pa.BinaryArray
    ip: pa.StringArray
    # Microseconds since 1970 in UTC, and whether a record has a time.
    times: NDArray[np.int64]
    timed: NDArray[np.bool_]
    # Why a record cannot be used, according to its format, see :class:`Reason`.
    reasons: NDArray[np.uint8]
    # Sentence that says which fields there are.
    known_fields: str
    # Returns a further field as text by its name, (n,), null where a record has none. None if the format has not the
    # field.
    field: Callable[[str], pa.StringArray | None]
    # Returns a record as people know it, by its index.
    shown: Callable[[int], str]
    # Names of the fields that a user may want to keep: all columns of a table, or all of the first object.
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.reasons)


@dataclass(frozen=True)
class LogOptions:
    """How to read a log: its fields, None for the format's own, and what their values mean."""

    # Names of fields, each of which is for records without those before it.
    entity: str | Sequence[str] | None = None
    ip: str | Sequence[str] | None = None
    timestamp: str | Sequence[str] | None = None
    # Name of the time zone of times that do not say theirs.
    timezone: str = "UTC"
    # Year of a file's first line where times have none. None for the latest that is not after ``written``.
    year: int | None = None
    # Day on which the file was last written to.
    written: date = date.max
    # Whether times are left out. Otherwise a record needs one.
    no_timestamps: bool = False
    # Name of the encoding of text, None to detect it from the first bytes of a file.
    encoding: str | None = None
    # Whether the first row of CSV is not a header. A row with an address never is a header.
    no_header: bool = False
    # Whether records with IPv6 addresses are used, for models whose history knows them.
    ipv6: bool = False
    # Format of times as of Python's ``strptime``, None for all known formats.
    time_format: str | None = None
    # Names of the fields of a line, where no header names them.
    fields: Sequence[str] = ()
    # Format of a line of a web server, in the notation of nginx or Apache.
    line_format: str | None = None
    # Number of lines to skip at the beginning of a table.
    skip_lines: int = 0

    def time_column(self) -> TimeColumn:
        """Return a parser of the times of a log."""
        return TimeColumn(self.timezone, self.time_format)


@dataclass
class KeptFields:
    """Fields that are written behind entity and address. The first records say which there are."""

    # Names of fields, which need not be there. None for all fields.
    wanted: tuple[str, ...] | None = None
    # Names of fields that are not kept, because they are written already.
    without: tuple[str, ...] = ()
    # Names that are kept, None until the first records were read.
    names: tuple[str, ...] | None = None

    def columns(self, records: LogRecords) -> list[pa.StringArray]:
        """Return the values of each field, (n,), empty where a record has none.

        It is a ClientError if a file has not the fields that the first one has.
        """
        if self.names is None:
            wanted = records.names if self.wanted is None else self.wanted
            self.names = tuple(name for name in records.names if name in wanted and name not in self.without)
        return [self._column(records, name) for name in self.names]

    def _column(self, records: LogRecords, name: str) -> pa.StringArray:
        values = records.field(name)
        if values is None:
            raise ClientError(f"There is no column {name!r}, which the first file has. {records.known_fields}")
        return values.fill_null("")


def names_or(given: str | Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of fields that were given, or those by default.

    >>> names_or("user", ("entity",))
    ('user',)
    """
    return (given,) if isinstance(given, str) else tuple(given or default)


def line_text(lines: pa.BinaryArray) -> Callable[[int], str]:
    """Return a function from an index to its line as text."""

    def shown(index: int) -> str:
        line: bytes = lines[index].as_py()
        return LONG_LINE_SHOWN if line == LONG_LINE else line.decode("utf-8", errors="backslashreplace")

    return shown


def blank_or_none(lines: pa.BinaryArray) -> NDArray[np.uint8]:
    """Return the reason for each line at first sight, shape (n,): blank or none."""
    return np.where(mask(pc.match_substring_regex(lines, r"^[ \t]*$")), Reason.BLANK, Reason.NONE).astype(np.uint8)


def timeless(number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return zero times and a mask of False for records whose times are not needed, (n,) each."""
    return np.zeros(number, dtype=np.int64), np.zeros(number, dtype=bool)
