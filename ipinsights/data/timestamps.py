"""Times as logs write them, a column at a time, to microseconds since 1970 in UTC and back.

Each parser returns ``(times, valid)``, both of shape (n,). ``times`` is 0 where ``valid`` is False.
"""

from __future__ import annotations

import functools
import zoneinfo
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.numeric_times import NumericTimes, are_plausible, micros_of, numbers
from ipinsights.data.written_times import parse_with_format, parse_written_times
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "TimeColumn", "check_zone", "format_times", "localized", "parse_clf_times", "parse_syslog_times", "parse_times",
]  # fmt: skip

_SECOND = 1_000_000
_SECONDS_PER_DAY = 86_400
_MONTHS = np.array(
    [int.from_bytes(b"JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3], "big") for at in range(0, 36, 3)]
)
_LAST_YEAR = 9999
_ISO = (
    r"^(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$"
)
# Digits alone, as RADIUS, LDAP and ISO 8601's basic format have it.
_COMPACT = (
    r"^(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    r"(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?$"
)


def check_zone(zone: str) -> None:
    """Raise an error if the machine does not know a time zone of the IANA database."""
    try:
        zoneinfo.ZoneInfo(zone)
        localized(np.zeros(1, dtype=np.int64), zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ClientError(f"The time zone must be a name such as UTC or Europe/Berlin. Got {zone!r}.") from None


def parse_times(texts: pa.StringArray, *, zone: str = "UTC") -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Parse a whole column of times, see :class:`TimeColumn`."""
    return TimeColumn(zone).parse(texts)


class TimeColumn:
    """Parser of the times of one column, block by block.

    Clocks that do not state their offset stand in ``zone``. With a ``time_format`` of ``strptime`` only this is read.
    """

    def __init__(self, zone: str = "UTC", time_format: str | None = None) -> None:
        self._zone = zone
        self._format = time_format
        self._numeric = NumericTimes()

    def parse(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Parse ISO 8601 (RFC 3339, with or without time), 20231115102233 and numbers since 1970.

        Missing times are null. Numbers of different units are a ClientError.
        """
        texts = texts.fill_null("")
        if self._format is not None:
            return parse_with_format(texts, self._format, zone=self._zone)
        for sample in (texts[:1], texts):  # Arrow takes long to refuse a column, and refuses it whole
            try:
                times = sample.cast(pa.timestamp("us", "UTC"))
            except pa.ArrowInvalid:
                return self._parse_others(texts)
        return times.cast(pa.int64()).to_numpy(), np.ones(len(texts), dtype=bool)

    def _parse_others(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        times, timed = self._numeric.parse(texts)
        parse_written = functools.partial(parse_written_times, dotnet=self._numeric.parse)
        for parse in (_parse_iso, _parse_compact, parse_written):
            if not timed.all():
                found, is_found = parse(texts, zone=self._zone)
                times, timed = np.where(is_found, found, times), timed | is_found
        return times, timed


def _parse_compact(texts: pa.StringArray, zone: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    times, timed = _parse_iso(texts, zone, pattern=_COMPACT)
    # Most numbers of fourteen digits are not times, and few of those that could be lie in these years.
    return _zero_unless(timed & are_plausible(times), times)


def _parse_iso(texts: pa.StringArray, zone: str, *, pattern: str = _ISO) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    parts = pc.extract_regex(texts, pattern)
    matches = mask(parts.is_valid())
    year, month, day, hour, minute, second, fraction, offset = parts.flatten()
    time, exists = _assembled(*map(numbers, (year, month, day, hour, minute, second)))
    time += micros_of(fraction)
    offset = offset.fill_null("")
    seconds, real = _offset_seconds(offset)
    time = np.where(mask(pc.not_equal(offset, "")), time - seconds * _SECOND, localized(time, zone))
    return _zero_unless(matches & exists & real, time)


def _offset_seconds(offsets: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    digits = pc.utf8_rpad(pc.replace_substring_regex(offsets, "[^0-9]", ""), 4, padding="0")
    hours, minutes = np.divmod(numbers(digits), 100)
    sign = np.where(mask(pc.starts_with(offsets, "-")), -1, 1).astype(np.int64)
    seconds: NDArray[np.int64] = sign * (hours * 3600 + minutes * 60)
    return seconds, (hours < 24) & (minutes < 60)  # noqa: PLR2004


def parse_clf_times(texts: pa.BinaryArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Parse times of the Common Log Format, ``10/Oct/2000:13:55:36 -0700``.

    Each text must have this layout.
    """
    text = _matrix(texts, 26)
    month, known = _month(text[:, 3:6])
    time, exists = _assembled(
        _digits(text[:, 7:11]), month, *(_digits(text[:, start : start + 2]) for start in (0, 12, 15, 18))
    )
    hours, minutes = _digits(text[:, 22:24]), _digits(text[:, 24:26])
    sign = np.where(text[:, 21] == ord("-"), -1, 1)
    real = (hours < 24) & (minutes < 60)  # noqa: PLR2004
    return _zero_unless(known & exists & real, time - sign * (hours * 3600 + minutes * 60) * _SECOND)


def parse_syslog_times(
    texts: pa.BinaryArray, *, year: int, after: int = 0, zone: str = "UTC"
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int, int]:
    """Parse times of RFC 3164, ``Oct  9 13:55:36``, which have no year, in the order of the log.

    ``year`` and ``after`` are year and month of the text before the first one, the month 0 if there was none. The
    result ends with those of the last text. A month that is six or more before the last one begins a year, one that
    is as much later goes back to the old.
    """
    text = _matrix(texts, 15)
    month, known = _month(text[:, :3])
    trusted = month[known]
    if not len(trusted):
        return np.zeros(len(text), dtype=np.int64), known, year, after
    jumps = np.diff(np.concatenate([[after or trusted[0]], trusted]))
    years = np.zeros(len(text), dtype=np.int64)
    years[known] = year + np.cumsum((jumps <= -6).astype(np.int64) - (jumps >= 6))  # noqa: PLR2004
    day = np.where(text[:, 4] == ord(" "), 0, text[:, 4] - ord("0")) * 10 + _digits(text[:, 5:6])
    time, exists = _assembled(years, month, day, *(_digits(text[:, start : start + 2]) for start in (7, 10, 13)))
    return (*_zero_unless(known & exists, localized(time, zone)), int(years[known][-1]), int(trusted[-1]))


def format_times(times: NDArray[np.int64]) -> pa.StringArray:
    """Return times as ``2018-11-11T09:30:00Z``, with six decimals for fractions of a second."""
    seconds, micros = np.divmod(times, _SECOND)
    days, clock = np.divmod(seconds, _SECONDS_PER_DAY)
    # Formatting takes long, but a log has few days, and a day has 86,400 seconds.
    distinct, inverse = np.unique(days, return_inverse=True)
    dates = pc.strftime(pa.array(distinct.astype(np.int32), pa.date32()), "%Y-%m-%dT", locale="C")
    columns = dates.take(pa.array(inverse)), _clock_readings().take(pa.array(clock))
    decimals = pc.utf8_lpad(pa.array(micros).cast(pa.string()), 6, padding="0")
    finer = pc.binary_join_element_wise(".", decimals, "Z", "")
    return pc.binary_join_element_wise(*columns, pc.if_else(pa.array(micros > 0), finer, "Z"), "")


@functools.lru_cache(maxsize=1)
def _clock_readings() -> pa.StringArray:
    seconds = pa.array(np.arange(_SECONDS_PER_DAY), pa.timestamp("s"))
    return pc.strftime(seconds, "%H:%M:%S", locale="C")


def localized(times: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Return the UTC times of local times in a time zone, shape (n,) each.

    An ambiguous time is the first of the two. A time in a skipped hour is the end of this hour.
    """
    if zone == "UTC":
        return times
    local = pa.array(times, pa.timestamp("us"))
    there = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")
    utc: NDArray[np.int64] = there.cast(pa.int64()).to_numpy()
    return utc


def _assembled(
    year: NDArray[np.int64],
    month: NDArray[np.int64],
    day: NDArray[np.int64],
    hour: NDArray[np.int64],
    minute: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times and a mask of those that exist. A leap second becomes the next second."""
    possible = (year > 0) & (year <= _LAST_YEAR) & (month >= 1) & (month <= 12)  # noqa: PLR2004
    months = np.where(possible, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    possible &= (days.astype("datetime64[M]") == months) & (day > 0)
    possible &= (hour < 24) & (minute < 60) & (second <= 60)  # noqa: PLR2004
    time = ((days.astype(np.int64) * 24 + hour) * 60 + minute) * 60 + second
    return np.where(possible, time * _SECOND, 0), possible


def _zero_unless(valid: NDArray[np.bool_], times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.where(valid, times, 0), valid


def _matrix(texts: pa.BinaryArray, width: int) -> NDArray[np.uint8]:
    """Return the bytes of texts of equal length as a matrix, shape (n, width)."""
    joined = b"".join(texts.cast(pa.binary()).to_pylist())
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), width)


def _digits(text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the numbers of decimal digits, shape (n,), from shape (n, number of digits)."""
    powers = 10 ** np.arange(text.shape[1] - 1, -1, -1)
    number: NDArray[np.int64] = (text.astype(np.int64) - ord("0")) @ powers
    return number


def _month(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the months 1 to 12 of English abbreviations (n, 3), and a mask of the valid ones."""
    code = text.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    matches = code[:, None] == _MONTHS
    return matches.argmax(axis=1) + 1, matches.any(axis=1)
