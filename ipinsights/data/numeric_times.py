"""Times as numbers: seconds, milli-, micro- or nanoseconds since 1970, a column at a time.

A number is a time only if it lies in a year in which logs are written, so its size tells its unit. Other counts
(Windows file times, ticks of .NET, seconds since 1900, 1904 or 2001) and most numbers that are not times lie elsewhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["NumericTimes", "are_plausible", "latest_time", "micros_of", "numbers"]

_EPOCH = r"^(?P<whole>\d{9,18}|[1-8]\d{18})(?:\.(?P<fraction>\d{1,9}))?$"
_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_EARLIEST_SECOND = 946_684_800  # the beginning of 2000
_SECONDS_PER_YEAR = 366 * 86_400


def latest_time() -> int:
    """Return the second after which a number is not a time: a year from now."""
    return int(time.time()) + _SECONDS_PER_YEAR


def are_plausible(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the times (n,), in microseconds since 1970, that are plausible for logs."""
    plausible: NDArray[np.bool_] = (times >= _EARLIEST_SECOND * 1_000_000) & (times <= latest_time() * 1_000_000)
    return plausible


class NumericTimes:
    """Reads the numbers of one column, which all have one unit."""

    def __init__(self) -> None:
        self._unit: int | None = None
        self._example = ""

    def parse(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return microseconds since 1970, 0 for invalid texts, and a mask of valid texts, (n,) each.

        Two numbers of different units are a ClientError.
        """
        whole, fraction = pc.extract_regex(texts, _EPOCH).flatten()
        values = numbers(whole)
        times = np.zeros(len(texts), dtype=np.int64)
        valid = np.zeros(len(texts), dtype=bool)
        for unit in range(len(_UNITS)):
            seconds = values // 1000**unit
            found = (seconds >= _EARLIEST_SECOND) & (seconds <= latest_time())
            if found.any():
                self._agree(unit, texts[int(found.argmax())].as_py())
                times[found] = seconds[found] * 1_000_000 + values[found] % 1000**unit * 1_000_000 // 1000**unit
                valid |= found
        if self._unit == 0:
            times += np.where(valid, micros_of(fraction), 0)
        return times, valid

    def _agree(self, unit: int, example: str) -> None:
        if self._unit is None:
            self._unit, self._example = unit, example
        if unit != self._unit:
            raise ClientError(
                f"The times are numbers of different units: {self._example} is in {_UNITS[self._unit]}, {example} in "
                f"{_UNITS[unit]}. Convert them to one unit first."
            )


def numbers(digits: Any) -> NDArray[np.int64]:
    """Return the numbers in texts (n,), 0 for an empty text or null."""
    filled = pc.if_else(pc.equal(digits.fill_null(""), ""), "0", digits.fill_null(""))
    values: NDArray[np.int64] = filled.cast("int64", safe=True).to_numpy()
    return values


def micros_of(fractions: pa.StringArray) -> NDArray[np.int64]:
    """Return the microseconds of digits behind a decimal point (n,), 0 for no digits or null."""
    return numbers(pc.utf8_slice_codeunits(pc.utf8_rpad(fractions.fill_null(""), 6, padding="0"), 0, 6))
