"""Times as logs write them, and back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.timestamps import (
    TimeColumn,
    check_zone,
    format_times,
    localized,
    parse_clf_times,
    parse_syslog_times,
    parse_times,
)
from ipinsights.errors import ClientError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9998, 12, 30))  # noqa: DTZ001 - hypothesis wants them without zone
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ODD_TEXT = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,]{1,15})?(Z|[+-][0-9:]{2,5})?\Z"),
    st.from_regex(r"\A[0-9]{1,20}(\.[0-9]{1,10})?\Z"),
)


def micros(moment: datetime) -> int:
    """Count the microseconds since 1970 with Python's own calendar."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def parse_one(text: str | None, *, zone: str = "UTC") -> datetime | None:
    """Return the time of a text, or None if the text is not valid."""
    times, timed = parse_times(pa.array([text], pa.string()), zone=zone)
    return EPOCH + timedelta(microseconds=int(times[0])) if timed[0] else None


class TestParseTimes:
    """ISO 8601 and seconds since 1970."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        {
            "2018-11-11": "2018-11-11T00:00:00+00:00",
            "2018-11-11T09": "2018-11-11T09:00:00+00:00",
            "2018-11-11T09:30": "2018-11-11T09:30:00+00:00",
            "2018-11-11 09:30:05": "2018-11-11T09:30:05+00:00",
            "2018-11-11T09:30:05Z": "2018-11-11T09:30:05+00:00",
            "2018-11-11T09:30:05.25Z": "2018-11-11T09:30:05.250000+00:00",
            "2018-11-11t09:30:05,123456789z": "2018-11-11T09:30:05.123456+00:00",
            "2018-11-11T09:30:05+02:00": "2018-11-11T07:30:05+00:00",
            "2018-11-11T09:30:05-0730": "2018-11-11T17:00:05+00:00",
            "2018-11-11 09:30:05 UTC": "2018-11-11T09:30:05+00:00",
            "2018-11-11 09:30:05.5 GMT": "2018-11-11T09:30:05.500000+00:00",
            "20181111093005": "2018-11-11T09:30:05+00:00",
            "20181111T093005Z": "2018-11-11T09:30:05+00:00",
            "20181111093005.25+0200": "2018-11-11T07:30:05.250000+00:00",
            "946684800": "2000-01-01T00:00:00+00:00",
            "2018-11-11 09:30:05 +02": "2018-11-11T07:30:05+00:00",
            "2016-12-31T23:59:60Z": "2017-01-01T00:00:00+00:00",
            "1541928605": "2018-11-11T09:30:05+00:00",
            "1541928605.5": "2018-11-11T09:30:05.500000+00:00",
            "1541928605250": "2018-11-11T09:30:05.250000+00:00",
            "1541928605250001": "2018-11-11T09:30:05.250001+00:00",
            "1541928605250001999": "2018-11-11T09:30:05.250001+00:00",
        }.items(),
    )
    def test_every_way_to_write_a_time(self, text: str, expected: str) -> None:
        """Times without an offset are UTC, and digits below microseconds are cut off."""
        assert str(parse_one(text)).replace(" ", "T") == expected

    @pytest.mark.parametrize(
        "text",
        [
            None, "", " ", "noon", "2018-13-01", "2018-02-29", "2018-11-00", "0000-01-01", "2018-11-11T24:00:00Z",
            "2018-11-11T09:60Z", "2018-11-11T09:30:61Z", "2018-11-11T09:30:05+24:00", "2018-11-11T09:30:05+02:60",
            "11/11/2018", "12345678", "946684799", "946684799999", "99999999999", "20181311093005",
            "20180229093005", "18181111093005", "99181111093005", "20181111", "201811110930", "4102444800",
            "9223372036854775808", "-1541928605", "2018-11-11T09:30:05Z\n", "١٥٤١٩٢٨٦٠٥",
        ],
    )  # fmt: skip
    def test_what_is_no_time(self, text: str | None) -> None:
        """A text of the right shape without such a day, hour or offset is invalid."""
        assert parse_one(text) is None

    @given(MOMENTS, OFFSETS)
    def test_offsets_are_taken_off(self, moment: datetime, offset: timezone) -> None:
        """Python's calendar has the same answer for any moment and offset."""
        moment = moment.replace(tzinfo=offset)
        times, timed = parse_times(pa.array([moment.isoformat()]))
        assert (times.tolist(), timed.tolist()) == ([micros(moment)], [True])

    @given(st.lists(ODD_TEXT, max_size=4))
    def test_a_time_does_not_depend_on_its_company(self, texts: list[str]) -> None:
        """The quick way for columns that are all RFC 3339 has the answer of the thorough one."""
        try:
            times, timed = parse_times(pa.array(texts, pa.string()))
        except ClientError as error:
            assert "numbers of different units" in str(error)  # noqa: PT017
            return
        for text, time, valid in zip(texts, times, timed, strict=True):
            alone, alone_valid = parse_times(pa.array([text, "no time"]))
            assert (time, valid) == (alone[0], alone_valid[0])
            assert valid or time == 0


class TestTimeColumn:
    """A column of numbers has one unit."""

    @given(
        st.integers(946_684_800, 1_700_000_000), st.integers(946_684_800, 1_700_000_000), st.integers(0, 3),
        st.integers(0, 3), st.booleans(),
    )  # fmt: skip
    def test_two_units_are_refused(self, first: int, second: int, one: int, other: int, at_once: bool) -> None:  # noqa: FBT001
        """Numbers of two units are refused, in one block or in two."""
        column, texts = TimeColumn(), [str(first * 1000**one), str(second * 1000**other)]
        blocks = [texts] if at_once else [[text] for text in texts]
        if one == other:
            times = np.concatenate([column.parse(pa.array(block))[0] for block in blocks])
            assert times.tolist() == [first * 1_000_000, second * 1_000_000]
        else:
            with pytest.raises(ClientError, match=r"^The times are numbers of different units: \d+ is in \w*seconds, "):
                np.concatenate([column.parse(pa.array(block))[0] for block in blocks])


class TestZones:
    """Clocks that do not say their offset."""

    def test_a_clock_in_a_zone(self) -> None:
        """Noon in Berlin is ten or eleven in UTC, by the season; a stated offset is believed."""
        assert str(parse_one("2018-11-11T12:00", zone="Europe/Berlin")) == "2018-11-11 11:00:00+00:00"
        assert str(parse_one("2018-07-11T12:00", zone="Europe/Berlin")) == "2018-07-11 10:00:00+00:00"
        assert str(parse_one("2018-07-11T12:00Z", zone="Europe/Berlin")) == "2018-07-11 12:00:00+00:00"

    def test_an_hour_that_comes_twice_is_the_first(self) -> None:
        """An ambiguous local time is the first of the two."""
        assert str(parse_one("2018-10-28T02:30", zone="Europe/Berlin")) == "2018-10-28 00:30:00+00:00"

    def test_a_skipped_hour_is_its_end(self) -> None:
        """A local time in a skipped hour is the end of the hour."""
        assert str(parse_one("2018-03-25T02:30", zone="Europe/Berlin")) == "2018-03-25 01:00:00+00:00"

    @given(st.datetimes(datetime(1950, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001
    def test_agrees_with_zoneinfo(self, reading: datetime) -> None:
        """The standard library has the same answer where the clock was not set at that hour."""
        there = reading.replace(tzinfo=ZoneInfo("America/New_York"))
        back = there.astimezone(timezone.utc).astimezone(there.tzinfo)
        if back.replace(tzinfo=None) == reading and len({there.replace(fold=fold).utcoffset() for fold in (0, 1)}) == 1:
            utc = localized(np.array([micros(reading.replace(tzinfo=timezone.utc))]), "America/New_York")
            assert utc.tolist() == [micros(there)]

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc", "a\0b"])
    def test_an_unknown_zone_is_refused(self, zone: str) -> None:
        """The message shows what was given, and what would do."""
        with pytest.raises(ClientError) as caught:
            check_zone(zone)
        assert str(caught.value) == f"The time zone must be a name such as UTC or Europe/Berlin. Got {zone!r}."


class TestParseClfTimes:
    """The time of the Common Log Format."""

    def test_the_documents_example(self) -> None:
        """Apache's document has this one; seven hours west of Greenwich."""
        times, timed = parse_clf_times(pa.array([b"10/Oct/2000:13:55:36 -0700"]))
        assert timed.tolist() == [True]
        assert times.tolist() == [micros(datetime(2000, 10, 10, 20, 55, 36, tzinfo=timezone.utc))]

    @given(MOMENTS, OFFSETS)
    def test_agrees_with_python(self, moment: datetime, offset: timezone) -> None:
        """Python writes the same moment in this format."""
        moment = moment.replace(tzinfo=offset, microsecond=0)
        names = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905
        text = f"{moment:%d}/{names[moment.month - 1]}/{moment.year:04}:{moment:%H:%M:%S %z}"
        assert parse_clf_times(pa.array([text.encode()]))[0].tolist() == [micros(moment)]

    @pytest.mark.parametrize("text", [b"31/Apr/2000:13:55:36 -0700", b"10/Okt/2000:13:55:36 +0000",
                                      b"10/Oct/2000:25:55:36 -0700", b"10/Oct/2000:13:55:36 -0760"])  # fmt: skip
    def test_what_is_no_time(self, text: bytes) -> None:
        """It has the shape, but there is no such day, month, hour or offset."""
        times, timed = parse_clf_times(pa.array([text]))
        assert (times.tolist(), timed.tolist()) == ([0], [False])


class TestParseSyslogTimes:
    """The time of RFC 3164, which has no year."""

    def test_new_year(self) -> None:
        """January after December begins a year; a straggler of the old year goes back to it."""
        texts = [b"Dec 31 23:59:59", b"Jan  1 00:00:01", b"Dec 31 23:59:58", b"Jan  1 00:00:02"]
        times, timed, year, month = parse_syslog_times(pa.array(texts), year=2018)
        assert timed.all()
        assert format_times(times).to_pylist() == [
            "2018-12-31T23:59:59Z", "2019-01-01T00:00:01Z", "2018-12-31T23:59:58Z", "2019-01-01T00:00:02Z",
        ]  # fmt: skip
        assert (year, month) == (2019, 1)

    def test_new_year_between_blocks(self) -> None:
        """The month before the first text is told."""
        times, _, year, _ = parse_syslog_times(pa.array([b"Jan  1 00:00:01"]), year=2018, after=12)
        assert format_times(times).to_pylist() == ["2019-01-01T00:00:01Z"]
        assert year == 2019

    def test_a_leap_day_needs_its_year(self) -> None:
        """The same text is a time in 2020 and none in 2019."""
        assert parse_syslog_times(pa.array([b"Feb 29 12:00:00"]), year=2020)[1].tolist() == [True]
        assert parse_syslog_times(pa.array([b"Feb 29 12:00:00"]), year=2019)[1].tolist() == [False]

    def test_no_month_says_nothing_about_the_year(self) -> None:
        """A text with an invalid month is no time, and leaves year and month as they were."""
        times, timed, year, month = parse_syslog_times(pa.array([b"Foo 10 12:00:00"]), year=2018, after=5)
        assert (times.tolist(), timed.tolist(), year, month) == ([0], [False], 2018, 5)


class TestFormatTimes:
    """Times become ISO 8601 in UTC."""

    def test_decimals_only_where_there_are_some(self) -> None:
        """Whole seconds are written without decimals."""
        assert format_times(np.array([0, 1, -1])).to_pylist() == [
            "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z",
        ]  # fmt: skip

    @given(st.lists(MOMENTS, max_size=5))
    def test_reads_back(self, moments: list[datetime]) -> None:
        """Written times are parsed back to the same numbers."""
        times = np.array([micros(moment.replace(tzinfo=timezone.utc)) for moment in moments], dtype=np.int64)
        back, timed = parse_times(format_times(times))
        assert timed.all()
        assert back.tolist() == times.tolist()
