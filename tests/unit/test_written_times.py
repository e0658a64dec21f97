"""Times as people write them."""

from __future__ import annotations

from datetime import datetime, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.timestamps import TimeColumn, format_times

NOON = datetime(2024, 5, 13, 12, 0, 0, tzinfo=timezone.utc)
FORMATS = [
    "%b %d, %Y @ %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%d %B %Y %H:%M:%S", "%B %d, %Y %I:%M:%S %p", "%a %b %d %H:%M:%S %Y", "%d-%b-%Y %H:%M:%S", "%Y-%m-%d_%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S UTC", "%Y.%m.%d %H:%M:%S", "%A, %B %d, %Y %I:%M:%S %p",
]  # fmt: skip


def parsed(*texts: str, time_format: str | None = None, zone: str = "UTC") -> list[str | None]:
    """Return what a column is read as, None for what is not a time."""
    times, timed = TimeColumn(zone, time_format).parse(pa.array(texts))
    written = format_times(times).to_pylist()
    return [text if is_time else None for text, is_time in zip(written, timed.tolist(), strict=True)]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2025, 1, 1)), st.sampled_from(FORMATS))  # noqa: DTZ001
def test_formats(time: datetime, time_format: str) -> None:
    """What is written in any of them is read back."""
    time = time.replace(microsecond=0, tzinfo=timezone.utc)
    assert parsed(time.strftime(time_format)) == [f"{time:%Y-%m-%dT%H:%M:%SZ}"]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2025, 1, 1)))  # noqa: DTZ001
def test_a_format_that_is_named(time: datetime) -> None:
    """Only the named format is read."""
    time = time.replace(microsecond=0, tzinfo=timezone.utc)
    texts = time.strftime("%m/%d/%Y %H:%M:%S"), time.isoformat()
    assert parsed(*texts, time_format="%m/%d/%Y %H:%M:%S") == [f"{time:%Y-%m-%dT%H:%M:%SZ}", None]


@pytest.mark.parametrize(
    ("texts", "times"),
    [
        (["7/2/2021 2:38:00 AM"], [None]),
        (["7/2/2021 2:38:00 AM", "7/13/2021 2:38 PM"], ["2021-07-02T02:38:00Z", "2021-07-13T14:38:00Z"]),
        (["2/7/2021 02:38:00", "13/7/2021 14:38"], ["2021-07-02T02:38:00Z", "2021-07-13T14:38:00Z"]),
        (["13/7/2021 02:38:00", "7/13/2021 14:38"], [None, None]),
        (["12/31/2021 12:00:00 AM"], ["2021-12-31T00:00:00Z"]),
        (["13:00:00 PM", "30.02.2024 10:00:00", "1.2.2024 25:00:00", "Foo 1, 2024 10:00:00"], [None] * 4),
        (["May 1, 2024 13:00:00 PM"], [None]),
        (
            ["/Date(1714551301123)/", "\\/Date(1714551301000+0200)\\/"],
            ["2024-05-01T08:15:01.123000Z", "2024-05-01T08:15:01Z"],
        ),
        (["Wed, 01 May 2024 10:15:01 +0200"], ["2024-05-01T08:15:01Z"]),
    ],
)
def test_order_of_day_and_month(texts: list[str], times: list[str | None]) -> None:
    """A number over twelve says which is the day; without one nobody knows."""
    assert parsed(*texts) == times


def test_zones() -> None:
    """A clock that does not state its offset stands in the zone that is named."""
    assert parsed("01.05.2024 10:15:01", zone="Europe/Berlin") == ["2024-05-01T08:15:01Z"]
    assert parsed("05/01/2024 10:15", time_format="%m/%d/%Y %H:%M", zone="Europe/Berlin") == ["2024-05-01T08:15:00Z"]
