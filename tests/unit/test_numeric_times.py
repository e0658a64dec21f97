"""Times that are numbers: their unit follows from their size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.numeric_times import NumericTimes, are_plausible, latest_time, micros_of, numbers
from ipinsights.errors import ClientError

SECOND = 1_700_000_000


@pytest.mark.parametrize("unit", range(4))
def test_seconds_to_nanoseconds(unit: int) -> None:
    """The same moment in each unit."""
    times, valid = NumericTimes().parse(pa.array([str(SECOND * 1000**unit), "x"]))
    assert times.tolist() == [SECOND * 1_000_000, 0]
    assert valid.tolist() == [True, False]


@given(st.integers(0, 999_999))
def test_a_fraction_is_kept(microseconds: int) -> None:
    """Digits behind the point are microseconds, and further ones are cut."""
    times, _ = NumericTimes().parse(pa.array([f"{SECOND}.{microseconds:06d}987"]))
    assert times.tolist() == [SECOND * 1_000_000 + microseconds]


@pytest.mark.parametrize("text", ["20231115102233", "116444736000000000", "1", "9999999999999999999999", "-1700000000"])
def test_other_numbers_are_not_times(text: str) -> None:
    """Dates in digits, file times of Windows, small, large and negative numbers."""
    assert NumericTimes().parse(pa.array([text]))[1].tolist() == [False]


def test_two_units_in_a_column_are_refused() -> None:
    """One of the two would be a wrong time."""
    times = NumericTimes()
    times.parse(pa.array([str(SECOND)]))
    with pytest.raises(ClientError) as caught:
        times.parse(pa.array([str(SECOND * 1000)]))
    assert str(caught.value) == (
        "The times are numbers of different units: 1700000000 is in seconds, 1700000000000 in milliseconds. Convert "
        "them to one unit first."
    )


def test_years_in_which_logs_are_written() -> None:
    """Plausible times lie between 2000 and a year from now."""
    times = np.array([946_684_799, 946_684_800, latest_time(), latest_time() + 10], dtype=np.int64) * 1_000_000
    assert are_plausible(times).tolist() == [False, True, True, False]


def test_digits() -> None:
    """Empty texts and nulls are 0, and further digits of a fraction are cut off."""
    assert numbers(pa.array(["12", "", None])).tolist() == [12, 0, 0]
    assert micros_of(pa.array(["5", "1234567", None])).tolist() == [500_000, 123_456, 0]
