"""Times as people, spreadsheets and mail write them, a column at a time.

Read are formats in which the order of day and month is certain: a month by its name, a year in front, or the dots of
German dates. Of ``7/2/2021`` nobody knows whether it is in July or in February unless the column says so: a first
number over twelve is a day, and so is a second one. Other formats are named as for ``strptime``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _Times = tuple[NDArray[np.int64], NDArray[np.bool_]]

__all__ = ["parse_with_format", "parse_written_times"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DOTNET = r"^\\?/Date\((?P<number>[0-9]{9,16})(?:[+-][0-9]{4})?\)\\?/$"
_CLOCK = (
    r"(?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?: ?\(?(?P<zone>Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})\)?)?"
_MONTH = r"(?P<month>[A-Za-z]{3})[a-z]*\.?"
_WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
# What stands before the clock, and whether the month is a name.
_DATES = (
    rf"{_WEEKDAY}{_MONTH} (?P<day>[0-9]{{1,2}}),? (?P<year>[0-9]{{4}})(?:,| @| at)? {_CLOCK}{_ZONE}",
    rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})[ -]{_MONTH},?[ -](?P<year>[0-9]{{4}})(?:,| at)? {_CLOCK}{_ZONE}",
    rf"\[?(?P<day>[0-9]{{1,2}})/{_MONTH}/(?P<year>[0-9]{{4}}):{_CLOCK}{_ZONE}\]?",
    rf"{_WEEKDAY}{_MONTH} +(?P<day>[0-9]{{1,2}}) {_CLOCK}{_ZONE} (?P<year>[0-9]{{4}})",
    rf"(?P<year>[0-9]{{4}})[/.](?P<month>[0-9]{{1,2}})[/.](?P<day>[0-9]{{1,2}})[ T,]+{_CLOCK}{_ZONE}",
    rf"(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})[_ T,]+{_CLOCK}{_ZONE}",
    rf"(?P<day>[0-9]{{1,2}})\.(?P<month>[0-9]{{1,2}})\.(?P<year>[0-9]{{4}})[ ,T]+{_CLOCK}{_ZONE}",
)
_SLASHES = rf"(?P<first>[0-9]{{1,2}})/(?P<second>[0-9]{{1,2}})/(?P<year>[0-9]{{4}}),? {_CLOCK}{_ZONE}"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NOON = 12
_LAST_MINUTE = 59


def parse_written_times(texts: pa.StringArray, *, zone: str, dotnet: Callable[[pa.StringArray], _Times]) -> _Times:
    """Parse times that are written for people, texts without nulls.

    ``dotnet`` parses the numbers in ``/Date(1714551301123)/``.
    """
    times, timed = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=bool)
    number = pc.extract_regex(texts, _DOTNET).field("number") if len(texts) else texts
    if number.null_count < len(texts):
        times, timed = dotnet(number.fill_null(""))
    for pattern in (*_DATES, _slashes(texts)):
        if pattern is not None and not timed.all():
            parts = pc.extract_regex(texts, f"^{pattern}$")
            for index in np.flatnonzero(mask(parts.is_valid()) & ~timed).tolist():
                time = _time(parts[index].as_py(), zone)
                if time is not None:
                    times[index], timed[index] = time, True
    return times, timed


def parse_with_format(texts: pa.StringArray, time_format: str, *, zone: str) -> _Times:
    """Parse times of one format, as of ``strptime``, see :func:`parse_written_times`."""
    times, timed = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=bool)
    local = ZoneInfo(zone)
    for index, text in enumerate(texts.to_pylist()):
        try:
            time = datetime.strptime(text.strip(), time_format)  # noqa: DTZ007 - the zone is added below
            times[index] = _micros(time, local)
        except (ValueError, OverflowError):
            continue
        timed[index] = True
    return times, timed


def _slashes(texts: pa.StringArray) -> str | None:
    """Return the pattern of dates with slashes that fits the texts, None if no date decides."""
    parts = pc.extract_regex(texts, f"^{_SLASHES}$").drop_null()
    days = [name for name in ("first", "second") if any(int(part) > _NOON for part in parts.field(name).to_pylist())]
    if len(days) != 1:
        return None
    return _SLASHES.replace(f"<{days[0]}>", "<day>").replace("<first>", "<month>").replace("<second>", "<month>")


def _time(parts: dict[str, str], zone: str) -> int | None:
    """Return the microseconds since 1970 of a date and a clock, None if there is no such time."""
    month = parts["month"].lower()
    hour, minute, second = [*map(int, parts["clock"].split(":")), 0][:3]
    if parts["half"]:
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + _NOON * (parts["half"] in "Pp")
    try:
        number = int(month) if month.isdecimal() else _MONTHS.index(month) + 1
        time = datetime(int(parts["year"]), number, int(parts["day"]), hour, minute, second)  # noqa: DTZ001
        micros = _micros(time.replace(tzinfo=_offset(parts["zone"])), ZoneInfo(zone))
    except (ValueError, OverflowError):
        return None
    return micros + int((parts["fraction"] or "").ljust(6, "0")[:6])


def _offset(text: str) -> timezone | None:
    if not text:
        return None
    if text in ("Z", "UTC", "GMT"):
        return timezone.utc
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > _LAST_MINUTE:
        raise ValueError(text)
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _micros(time: datetime, local: ZoneInfo) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=local)
    return (aware - _EPOCH) // timedelta(microseconds=1)
