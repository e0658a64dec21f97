"""The files of simulated traffic are what readers of such files expect."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import date, datetime, timezone
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.errors import ClientError
from ipinsights.synthetic import traffic_files
from ipinsights.synthetic.logins import Events, attack_test, simulate
from ipinsights.synthetic.traffic_files import TrafficCounts, write_traffic
from ipinsights.testing import single_address_ranges

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def write_all(directory: Path, seed: int) -> TrafficCounts:
    """Simulate and write everything from one seed."""
    rng = np.random.default_rng(seed)
    ranges = single_address_ranges(1000)
    events = simulate(num_users=20, num_days=3, ranges=ranges, rng=rng)
    return write_traffic(directory, events, attack_test(events, ranges, rng=rng), rng=rng)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a directory, hidden ones too."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs of one seed write the same files; another seed changes each of them."""
    runs = {}
    for name, seed in (("once", 1), ("again", 1), ("other", 2)):
        write_all(tmp_path / name, seed)
        runs[name] = contents(tmp_path / name)
    assert set(runs["once"]) == {"access.log", "train.csv", "validation.csv", "test.csv"}
    assert runs["once"] == runs["again"]
    assert all(runs["once"][name] != text for name, text in runs["other"].items())


def rows_of(path: Path) -> list[tuple[str, ...]]:
    """Rows of a CSV, as the standard library reads them."""
    with path.open(newline="") as stream:
        return [tuple(row) for row in csv.reader(stream)]


def as_texts(user: NDArray[np.int32], ip: NDArray[np.uint32]) -> list[tuple[str, str]]:
    """Pairs as they should be written, by way of the standard library."""
    return [
        (f"user_{number}", str(IPv4Address(address)))
        for number, address in zip(user.tolist(), ip.tolist(), strict=True)
    ]


def test_csv_files_hold_the_splits(few: Events, tmp_path: Path) -> None:
    """train.csv has shuffled rows, validation.csv ordered rows, and test.csv labelled rows."""
    test = attack_test(few, single_address_ranges(1000), num_good=30, rng=np.random.default_rng(1))
    counts = write_traffic(tmp_path, few, test, rng=np.random.default_rng(1))
    train, validation, _ = (as_texts(few.user[part], few.ip[part]) for part in few.splits())
    assert Counter(rows_of(tmp_path / "train.csv")) == Counter(train)
    assert rows_of(tmp_path / "train.csv") != train
    assert rows_of(tmp_path / "validation.csv") == validation
    labelled = [
        (*pair, str(label)) for pair, label in zip(as_texts(test.user, test.ip), test.label.tolist(), strict=True)
    ]
    assert rows_of(tmp_path / "test.csv") == labelled
    assert counts == TrafficCounts(len(few), len(train), len(validation), 60)


COMBINED = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<request>[A-Z]+ \S+ HTTP/1\.[01])" '
    r'(?P<status>\d{3}) (?P<bytes>\d+|-) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


def test_access_log_is_in_the_combined_format(few: Events, tmp_path: Path) -> None:
    """Lines of the log are in Apache's combined format, and hold all events in order."""
    write_traffic(
        tmp_path,
        few,
        attack_test(few, single_address_ranges(9), rng=np.random.default_rng(1)),
        rng=np.random.default_rng(1),
    )
    lines = (tmp_path / "access.log").read_text(encoding="ascii").splitlines()
    found = [match for match in map(COMBINED.fullmatch, lines) if match]
    assert len(found) == len(lines) == len(few)
    assert [(match["user"], match["host"]) for match in found] == as_texts(few.user, few.ip)
    times = [datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z").timestamp() for match in found]
    assert times == few.time.tolist()


def test_the_access_log_can_be_left_out(few: Events, tmp_path: Path) -> None:
    """Without the log there are the three splits only, and no lines are counted."""
    test = attack_test(few, single_address_ranges(1000), rng=np.random.default_rng(1))
    counts = write_traffic(tmp_path, few, test, rng=np.random.default_rng(1), access_log=False)
    assert set(contents(tmp_path)) == {"train.csv", "validation.csv", "test.csv"}
    assert counts.access_log == 0


def test_many_rows_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than are written at a time come out whole and in order."""
    monkeypatch.setattr(traffic_files, "_ROWS_AT_A_TIME", 500)
    size = 1001
    second = np.linspace(0, 3 * 86_400 - 1, size).astype(np.int64)
    start = int(datetime(2018, 11, 11, tzinfo=timezone.utc).timestamp())
    number = np.arange(size)
    events = Events(
        number.astype(np.int32),
        number.astype(np.uint32),
        start + second,
        size,
        num_days=3,
        end=date(2018, 11, 14),
    )
    test = attack_test(events, single_address_ranges(9), num_good=1, rng=np.random.default_rng(0))
    write_traffic(tmp_path, events, test, rng=np.random.default_rng(0))
    with (tmp_path / "access.log").open() as stream:
        found = [line.split(" ", 3)[2] for line in stream]
    assert found == [f"user_{number}" for number in range(size)]


def test_a_directory_that_cannot_be_made_is_the_users_fault(few: Events, tmp_path: Path) -> None:
    """A file where the directory should be gives one sentence with the reason."""
    (tmp_path / "traffic").write_text("in the way")
    test = attack_test(few, single_address_ranges(1000), rng=np.random.default_rng(1))
    with pytest.raises(ClientError) as caught:
        write_traffic(tmp_path / "traffic", few, test, rng=np.random.default_rng(1))
    assert str(caught.value) == f"{tmp_path / 'traffic'} cannot be made: File exists."


def test_a_failed_write_leaves_no_partial_file(few: Events, tmp_path: Path) -> None:
    """When a file cannot be put in its place, the temporary file is removed."""
    (tmp_path / "access.log").mkdir()
    test = attack_test(few, single_address_ranges(1000), rng=np.random.default_rng(1))
    with pytest.raises(ClientError) as caught:
        write_traffic(tmp_path, few, test, rng=np.random.default_rng(1))
    assert str(caught.value) == f"{tmp_path / 'access.log'} cannot be written: Is a directory."
    assert not list(tmp_path.glob(".*"))
