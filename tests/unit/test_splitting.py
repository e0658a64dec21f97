"""Rows with times are split so that what is tested comes after what was trained on."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError
from ipinsights.etl.splitting import Part, TimedRows, parts_by_fraction, parts_by_time, read_timed_rows, write_parts

if TYPE_CHECKING:
    from pathlib import Path

ROWS = """\
d,192.0.2.4,2018-11-13T00:00:00Z
b,192.0.2.2,2018-11-11T00:00:00Z
"c, jr.",192.0.2.3,2018-11-12T12:00:00+01:00
a,192.0.2.1,1541800000
b,192.0.2.1,2018-11-11T00:00:00Z
"""
RANGE = "the 5 rows are from 2018-11-09T21:46:40Z to 2018-11-13T00:00:00Z."


@pytest.fixture
def events(tmp_path: Path) -> TimedRows:
    """Return five events of four days from an unsorted file."""
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return read_timed_rows(path)


def sizes(parts: list[Part]) -> dict[str, int]:
    """Return the number of rows of each part."""
    return {part.name: part.rows.stop - part.rows.start for part in parts}


class TestReadEvents:
    """Rows come in any order and go out by time."""

    def test_in_the_order_of_time(self, events: TimedRows) -> None:
        """Rows of one time keep the order of the file."""
        assert events.entities.to_pylist() == ["a", "b", "b", "c, jr.", "d"]
        assert (events.ips & 255).tolist() == [1, 2, 1, 3, 4]
        assert len(events) == 5

    def test_a_folder_plain_and_packed(self, tmp_path: Path) -> None:
        """All files of a folder are one; their entities need not be the same."""
        (tmp_path / "a.csv").write_text("z,192.0.2.1,2018-11-12\ny,192.0.2.2,2018-11-14\n")
        (tmp_path / "b.csv").write_bytes(gzip.compress(b"y,192.0.2.3,2018-11-13\nx,192.0.2.4,2018-11-11\n"))
        assert read_timed_rows(tmp_path).entities.to_pylist() == ["x", "z", "y", "y"]

    def test_a_time_that_cannot_be_read(self, tmp_path: Path) -> None:
        """The message names file, row and text."""
        path = tmp_path / "rows.csv"
        path.write_text(ROWS.replace("1541800000", "noon"))
        with pytest.raises(ClientError) as caught:
            read_timed_rows(path)
        assert str(caught.value) == (
            f"{path}: the timestamp of row 4 must be ISO 8601, such as 2018-11-11T09:30:00Z, or seconds since 1970. "
            "Got 'noon'."
        )


class TestIPv6:
    """Rows of both address families."""

    def test_they_are_split_by_time_like_others(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """IPv6 rows go to the part of their time, in their shortest form and next to IPv4 rows."""
        path = tmp_path / "rows.csv"
        path.write_text(
            "d,2606:4700::0:2,2018-11-14\nc,192.0.2.9,2018-11-13\nb,2606:4700:0:0:1::AB,2018-11-12\na,192.0.2.1,2018-11-11\n"
        )
        events = read_timed_rows(path, ipv6=True)
        parts = parts_by_time(events, test_from="2018-11-13", calibration_from="2018-11-12")
        write_parts(tmp_path, events, parts, rng=rng)
        found = {part.name: (tmp_path / f"{part.name}.csv").read_text() for part in parts}
        assert found == {
            "train": "a,192.0.2.1\n",
            "calibration": "b,2606:4700::1:0:0:ab\n",
            "test": "c,192.0.2.9\nd,2606:4700::2\n",
        }

    def test_without_the_option_they_are_refused(self, tmp_path: Path) -> None:
        """An IPv6 row is invalid where nobody asked for IPv6."""
        path = tmp_path / "rows.csv"
        path.write_text("b,2001:db8::1,2018-11-12\n")
        with pytest.raises(ClientError) as caught:
            read_timed_rows(path)
        assert str(caught.value) == (
            f"{path}:1: '2001:db8::1' is no IPv4 address: it looks like IPv6; leave such rows out."
        )


class TestPartsByTime:
    """Parts that begin at given times."""

    def test_train_and_test(self, events: TimedRows) -> None:
        """An event at the very time is tested."""
        parts = parts_by_time(events, test_from="2018-11-11")
        assert [str(part) for part in parts] == [
            "train.csv: 1 row from 2018-11-09T21:46:40Z to 2018-11-09T21:46:40Z",
            "test.csv: 4 rows from 2018-11-11T00:00:00Z to 2018-11-13T00:00:00Z",
        ]

    def test_calibration_between_them(self, events: TimedRows) -> None:
        """Calibration rows are in neither the training nor the test part."""
        parts = parts_by_time(events, test_from="2018-11-12T11:00:00Z", calibration_from="2018-11-11")
        assert sizes(parts) == {"train": 1, "calibration": 2, "test": 2}

    @pytest.mark.parametrize(
        ("test_from", "calibration_from", "message"),
        [
            ("2018-11-14", None, f"No row is left for test: {RANGE}"),
            ("2018-11-09", None, f"No row is left for train: {RANGE}"),
            ("2018-11-11", "2018-11-10", f"No row is left for calibration: {RANGE}"),
            ("noon", None, "`test_from` must be a date or a time such as 2018-11-11 or 2018-11-11T12:00:00Z. "
             "Got 'noon'."),
            ("2018-11-11", "2018-11-11", "`calibration_from` must be before `test_from`, for what is tested comes "
             "last. Got 2018-11-11 and 2018-11-11."),
        ],
    )  # fmt: skip
    def test_impossible_splits(
        self, events: TimedRows, test_from: str, calibration_from: str | None, message: str
    ) -> None:
        """The message says what there is, or what is wrong with the times."""
        with pytest.raises(ClientError) as caught:
            parts_by_time(events, test_from=test_from, calibration_from=calibration_from)
        assert str(caught.value) == message


class TestPartsByFraction:
    """Parts that hold given shares."""

    def test_shares(self, events: TimedRows) -> None:
        """Shares are of rows, not of days. A share of 0 has no part."""
        assert sizes(parts_by_fraction(events, (0.6, 0.2, 0.2))) == {"train": 3, "calibration": 1, "test": 1}
        assert sizes(parts_by_fraction(events, (0.8, 0, 0.2))) == {"train": 4, "test": 1}

    @given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(1000, 100_000))
    def test_parts_are_all_rows(self, weights: list[float], size: int) -> None:
        """Parts are consecutive without gaps, and differ from their share by at most one row."""
        shares = [weight / sum(weights) for weight in weights]
        some = TimedRows(entities=None, ips=np.zeros(size, dtype=np.uint32), times=np.arange(size))
        parts = parts_by_fraction(some, shares)
        assert [part.rows.start for part in parts] == [0, *(part.rows.stop for part in parts[:-1])]
        assert parts[-1].rows.stop == size
        for part, share in zip(parts, shares, strict=True):
            assert abs(part.rows.stop - part.rows.start - share * size) <= 1

    @pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (1, 0, 0), (0, 0.5, 0.5), (1.2, -0.4, 0.2),
                                        (float("nan"), 0.1, 0.1)])  # fmt: skip
    def test_impossible_shares(self, events: TimedRows, shares: tuple[float, float, float]) -> None:
        """The message has the rule and the shares."""
        with pytest.raises(ClientError) as caught:
            parts_by_fraction(events, shares)
        assert str(caught.value) == (
            "`fractions` must be the shares of train, calibration and test, which add up to 1; only that of "
            f"calibration may be 0. Got {shares[0]:g} {shares[1]:g} {shares[2]:g}."
        )

    def test_too_few_rows(self, events: TimedRows) -> None:
        """A part must have one at least."""
        with pytest.raises(ClientError) as caught:
            parts_by_fraction(events, (0.8, 0.05, 0.15))
        assert str(caught.value) == f"No row is left for calibration: {RANGE}"


class TestWriteParts:
    """Files that train and score read."""

    def test_files(self, events: TimedRows, tmp_path: Path) -> None:
        """Files have two columns, no header and quotes only where needed.

        The test rows have their times if requested.
        """
        parts = parts_by_time(events, test_from="2018-11-12", calibration_from="2018-11-11")
        write_parts(tmp_path / "new" / "split", events, parts, rng=np.random.default_rng(0), keep_timestamps=True)
        assert {path.name: path.read_text() for path in (tmp_path / "new" / "split").iterdir()} == {
            "train.csv": "a,192.0.2.1\n",
            "calibration.csv": "b,192.0.2.2\nb,192.0.2.1\n",
            "test.csv": '"c, jr.",192.0.2.3,2018-11-12T11:00:00Z\nd,192.0.2.4,2018-11-13T00:00:00Z\n',
        }

    def test_only_train_is_mixed(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """Training rows are shuffled by the seed, and test rows keep the order of time."""
        rows = [f"u{number},10.0.{number // 256}.{number % 256}" for number in range(2000)]
        source = tmp_path / "rows.csv"
        source.write_text("".join(f"{row},{1541800000 + number}\n" for number, row in enumerate(rows)))
        events = read_timed_rows(source)
        parts = parts_by_fraction(events, (0.5, 0, 0.5))
        write_parts(tmp_path / "a", events, parts, rng=rng)
        write_parts(tmp_path / "b", events, parts, rng=rng)
        first, second = ((tmp_path / name / "train.csv").read_text().splitlines() for name in "ab")
        assert first != rows[:1000]
        assert first != second
        assert sorted(first) == sorted(second) == sorted(rows[:1000])
        assert (tmp_path / "a" / "test.csv").read_text().splitlines() == rows[1000:]
        assert len(read_pairs(tmp_path / "a" / "train.csv")) == 1000

    def test_more_rows_than_a_chunk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: TimedRows) -> None:
        """Chunks follow each other without gap or overlap."""
        monkeypatch.setattr("ipinsights.etl.splitting._ROWS_PER_CHUNK", 2)
        write_parts(tmp_path, events, parts_by_time(events, test_from="2018-11-10"), rng=np.random.default_rng(0))
        assert [line[0] for line in (tmp_path / "test.csv").read_text().splitlines()] == ["b", "b", '"', "d"]

    def test_a_directory_that_cannot_be_made(self, events: TimedRows, tmp_path: Path) -> None:
        """A file is in its place."""
        path = tmp_path / "rows.csv"
        with pytest.raises(ClientError) as caught:
            write_parts(path, events, [], rng=np.random.default_rng(0))
        assert str(caught.value) == f"{path} cannot be made: File exists."
