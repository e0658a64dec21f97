"""What became of all records, for people."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.entity_hash import hash_entity_column
from ipinsights.data.timestamps import format_times
from ipinsights.errors import ClientError
from ipinsights.etl.records import Reason
from ipinsights.reporting.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["WEB_FORMATS", "NothingUsableError", "Summary", "num_days"]

_LABELS = {
    Reason.BLANK: "blank",
    Reason.MALFORMED: "malformed, not of this format",
    Reason.OTHER: "about something else",
    Reason.FILTERED: "filtered out",
    Reason.NO_USER: "no entity",
    Reason.IPV6: "IPv6, set aside",
    Reason.NO_ADDRESS: "no address: the field is empty or missing",
    Reason.PORT: "no address: a port stands behind it",
    Reason.SEVERAL: "no address: a list of several",
    Reason.HOST_NAME: "no address: a name or a service",
    Reason.BAD_ADDRESS: "no address: something else",
    Reason.NO_TIME: "no time, or none that can be read",
}
_ADDRESS_REASONS = {Reason.NO_ADDRESS, Reason.PORT, Reason.SEVERAL, Reason.HOST_NAME, Reason.BAD_ADDRESS}
# Records that ought to be usable. Others are left out of every log.
_FAULTS = {Reason.MALFORMED, Reason.NO_TIME, *_ADDRESS_REASONS}
_LONGEST_EXAMPLE = 200
_DAY = 86_400_000_000
# Some 70 MB of hashes.
_MOST_ENTITIES = 1_000_000


class NothingUsableError(ClientError):
    """No record of any file gives a row. The summary may show one of them for each reason."""

    def __init__(self, message: str, summary: Summary) -> None:
        super().__init__(message)
        self.summary = summary


@dataclass
class Summary:
    r"""What became of the records of log files. Summaries of parts add up with ``+``.

    Attributes
    ----------
    num_files, num_records, num_written
        Counts of rows. Every record is either written or counted in ``skipped``.
    skipped
        Number of records by reason.
    examples
        One record by reason, escaped, behind the name of its file. For the person who gave the files only.
    num_escaped
        Number of written entities that are not UTF-8.
    known_fields
        Sentence that names the fields of the last records.
    first, last
        Earliest and latest time written, in microseconds since 1970.
    entities
        Hashes of the entities written. Counting ends at a million.
    OUTCOMES
        All names that ``counts`` may have.

    Examples
    --------
    >>> import io
    >>> from ipinsights import Summary, extract_batches
    >>> log = io.BytesIO(b"entity,ip\nalice,192.0.2.1\nbob,-\n")
    >>> parts = [summary for _, summary in extract_batches(log, "csv", no_timestamps=True)]
    >>> print(sum(parts, Summary()))
    2 records in 1 file: 1 written, 1 skipped.
                   1  no address: the field is empty or missing
                      for example stream: 'bob,-'
    Warning: 1 of 2 records (50%) cannot be used.
    Written: 1 row of 1 entity.
    >>> sum(parts, Summary()).counts
    {'written': 1, 'no_address': 1}
    """

    num_files: int = 0
    num_records: int = 0
    num_written: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, str] = field(default_factory=dict)
    num_escaped: int = 0
    known_fields: str = ""
    first: int | None = None
    last: int | None = None
    entities: set[int] = field(default_factory=set, repr=False)
    OUTCOMES: ClassVar[tuple[str, ...]] = tuple(reason.outcome for reason in Reason)

    def __add__(self, other: Summary) -> Summary:
        """Return the summary of the records of both."""
        firsts = [value for value in (self.first, other.first) if value is not None]
        lasts = [value for value in (self.last, other.last) if value is not None]
        is_full = len(self.entities) >= _MOST_ENTITIES
        return Summary(
            self.num_files + other.num_files,
            self.num_records + other.num_records,
            self.num_written + other.num_written,
            self.skipped + other.skipped,
            {**other.examples, **self.examples},
            self.num_escaped + other.num_escaped,
            other.known_fields or self.known_fields,
            min(firsts, default=None),
            max(lasts, default=None),
            self.entities if is_full else self.entities | other.entities,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of records by what became of them, see ``OUTCOMES``."""
        skipped = {reason.outcome: number for reason, number in sorted(self.skipped.items()) if number}
        return {Reason.NONE.outcome: self.num_written, **skipped}

    def count_entities(self, written: pa.StringArray) -> None:
        """Add the entities of some rows that are written."""
        if len(written) and len(self.entities) < _MOST_ENTITIES:
            self.entities.update(hash_entity_column(pc.unique(written)).tolist())

    def count(self, reasons: NDArray[np.uint8], times: NDArray[np.int64]) -> None:
        """Add records to the counts.

        ``reasons`` are those of all records, shape (n,), and ``times`` are those of the written records, if any.
        """
        self.num_records += len(reasons)
        self.num_written += int(np.count_nonzero(reasons == Reason.NONE))
        for reason, number in enumerate(np.bincount(reasons).tolist()):
            if reason != Reason.NONE and number:
                self.skipped[Reason(reason)] += number
        if len(times):
            self.first = min(int(times.min()), self.first if self.first is not None else sys.maxsize)
            self.last = max(int(times.max()), self.last if self.last is not None else -sys.maxsize)

    def keep_examples(self, reasons: NDArray[np.uint8], name: str, shown: Callable[[int], str]) -> None:
        """Keep the first record of each reason as an example.

        ``name`` is the name of the file, and ``shown`` returns the text of a record by index.
        """
        for reason in map(Reason, np.unique(reasons).tolist()):
            if reason not in (Reason.NONE, Reason.BLANK) and reason not in self.examples:
                self.examples[reason] = f"{name}: {_escaped(shown(int(np.argmax(reasons == reason))))}"

    def check(self, log_format: str, *, is_fixed: bool, name: str = "") -> None:
        """Raise an error if no row was written, with the most frequent reason and what would help.

        ``name`` is that of the preset that the user chose, if the format comes from one.
        """
        if self.num_written:
            return
        reasons = Counter({reason: number for reason, number in self.skipped.items() if reason is not Reason.BLANK})
        if not reasons:
            raise NothingUsableError(
                f"No row was written: there is no record in {counted(self.num_files, 'file')}.", self
            )
        if reasons[Reason.FILTERED]:
            # A record that a filter refused shows that the format fits: lines about something else are no fault then.
            del reasons[Reason.OTHER]
        reason = reasons.most_common(1)[0][0]
        if reason is Reason.MALFORMED and reasons.total() == reasons[reason]:
            why = f"None of the {self.num_records} records is in the format {name or log_format}."
            raise NothingUsableError(f"{why} {_FORMAT_CURES.get(log_format, _FORMAT_CURE)}", self)
        fields = self.known_fields
        further = f": {fields[0].lower()}{fields[1:]}" if fields else "."
        if is_fixed:
            cures = {**_FIXED_CURES, **(_WEB_CURES if log_format in WEB_FORMATS else {})}
            cure = cures.get(reason, "")
        else:
            cure = _CURES[reason] + further
        raise NothingUsableError(f"No row was written: {_WHY[reason]}. {cure}".rstrip(), self)

    def __str__(self) -> str:
        """Return lines for people."""
        lines = [f"{counted(self.num_records, 'record')} in {counted(self.num_files, 'file')}: {self.num_written:,} "
                 f"written, {sum(self.skipped.values()):,} skipped."]  # fmt: skip
        for reason, label in _LABELS.items():
            if self.skipped[reason]:
                lines.append(f"  {self.skipped[reason]:>14,}  {label}")
                if reason in self.examples and (reason in _FAULTS or not self.num_written):
                    lines.append(f"  {'':>14}  for example {self.examples[reason]}")
        return "\n".join([*lines, *self._warnings(), *self._period()])

    def _warnings(self) -> list[str]:
        num_faulty = sum(self.skipped[reason] for reason in _FAULTS)
        warnings = []
        if num_faulty and self.num_written:
            share = 100 * num_faulty / self.num_records
            warnings.append(
                f"Warning: {num_faulty:,} of {counted(self.num_records, 'record')} ({share:.3g}%) cannot be used."
            )
        if self.num_escaped:
            entities = counted(self.num_escaped, "entity", "entities")
            warnings.append(
                f"Warning: {entities} with bytes that are not UTF-8, written as escapes. Name the encoding with "
                "`encoding`, for example cp1252."
            )
        return warnings

    def _period(self) -> list[str]:
        if not self.num_written:
            return []
        more = "more than " if len(self.entities) >= _MOST_ENTITIES else ""
        what = f"{counted(self.num_written, 'row')} of {more}{counted(len(self.entities), 'entity', 'entities')}"
        if self.first is None or self.last is None:
            return [f"Written: {what}."]
        first, last = format_times(np.array([self.first, self.last])).to_pylist()
        return [f"Written: {what} on {num_days(self.first, self.last)}, from {first} to {last}."]


def num_days(first: int, last: int) -> str:
    """Return the number of days (UTC) from one time to another in words, both included.

    >>> num_days(0, 86_400_000_000)
    '2 days'
    """
    return counted(last // _DAY - first // _DAY + 1, "day")


_WHY = {
    Reason.MALFORMED: "most records are not of this format",
    Reason.OTHER: "the records are about something else",
    Reason.FILTERED: "no record passes `path`, `status` and `where`",
    Reason.NO_USER: "most records name no entity",
    Reason.IPV6: "the addresses are IPv6, which the model does not know",
    Reason.NO_ADDRESS: "most records have no address",
    Reason.PORT: "a port stands behind the addresses",
    Reason.SEVERAL: "lists of addresses stand where one address must",
    Reason.HOST_NAME: "names stand where addresses must",
    Reason.BAD_ADDRESS: "most records have no address",
    Reason.NO_TIME: "most records have no time that can be read",
}
_OTHER_IP = "Name the field of the address with `ip`"
_CURES = {
    Reason.MALFORMED: "See `log_format` for the formats",
    Reason.OTHER: "See `log_format` for the formats",
    Reason.FILTERED: "Choose other values",
    Reason.NO_USER: "Name the field of the entity with `entity`",
    Reason.IPV6: _OTHER_IP,
    **dict.fromkeys(_ADDRESS_REASONS, _OTHER_IP),
    Reason.NO_TIME: "Name the field of the time with `timestamp`, its format with `time_format`, or leave times out "
    "with `no_timestamps`",
}
# For formats whose fields have fixed positions and no names.
_FIXED_CURES = {
    Reason.MALFORMED: "See `log_format` for the formats.",
    Reason.OTHER: "See `log_format` for the formats.",
    Reason.FILTERED: "Choose other values.",
    Reason.IPV6: "Keep them with `ipv6`: a model with a history scores them.",
    Reason.NO_TIME: "Leave times out with `no_timestamps`.",
}
WEB_FORMATS = ("apache", "nginx")
_OTHER_PLACE = "If the {} is not the {} field, name the fields with `line_format`, and the one of the {} with `{}`."
# For lines of web servers, whose fields can be named.
_WEB_CURES = {
    Reason.NO_USER: _OTHER_PLACE.format("user", "third", "user", "entity"),
    **dict.fromkeys(_ADDRESS_REASONS, _OTHER_PLACE.format("client", "first", "client", "ip")),
}
_FORMAT_CURE = "See `log_format` for the others."
_FORMAT_CURES = {
    "vpcflow": "A flow log with other fields than the default ones needs its header, with their names, in front, or "
    "`fields`.",
    **dict.fromkeys(
        WEB_FORMATS, "Name the fields of another format with `line_format`. See `log_format` for other formats."
    ),
    "jsonl": "Tables are csv, and lines of key=value are logfmt. See `log_format` for other formats.",
    "csv": "Each row must have as many fields as the first. See `log_format` for other formats.",
}


def _escaped(text: str) -> str:
    """Return a text in quotes and cut, without any character that a terminal would obey."""
    escaped = repr(text[:_LONGEST_EXAMPLE])
    return escaped if len(text) <= _LONGEST_EXAMPLE else f"{escaped[:-1]}...{escaped[-1]}"
