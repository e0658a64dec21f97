"""What became of all records, for people."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.extraction.records import Reason
from ipinsights.timestamps import format_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Summary"]

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
        """Add some records, given the reasons of all, shape (n,), and the times of those written, if they have any."""
        self.num_records += len(reasons)
        self.num_written += int(np.count_nonzero(reasons == Reason.NONE))
        for reason, number in enumerate(np.bincount(reasons).tolist()):
            if reason != Reason.NONE and number:
                self.skipped[Reason(reason)] += number
        if len(times):
            self.first = min(int(times.min()), self.first if self.first is not None else sys.maxsize)
            self.last = max(int(times.max()), self.last if self.last is not None else -sys.maxsize)

    def __str__(self) -> str:
        """Say it in lines for people."""
        records = "record" if self.num_records == 1 else "records"
        files = "file" if self.num_files == 1 else "files"
        lines = [f"{self.num_records:,} {records} in {self.num_files:,} {files}: {self.num_written:,} written, "
                 f"{sum(self.skipped.values()):,} skipped."]  # fmt: skip
        lines += [
            f"  {self.skipped[reason]:>14,}  {label}" for reason, label in _LABELS.items() if self.skipped[reason]
        ]
        if self.first is not None:
            first, last = format_times(np.array([self.first, self.last])).to_pylist()
            lines.append(f"Written: from {first} to {last}.")
        return "\n".join(lines)
