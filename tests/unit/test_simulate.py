"""The traffic is what its description says, and its files are what readers of such files expect."""

from __future__ import annotations

import csv
import gzip
import re
import secrets
from collections import Counter
from datetime import date, datetime, timezone
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.simulate import (
    Events,
    Ranges,
    TrafficCounts,
    attack_test,
    load_ranges,
    simulate,
    split_days,
    synthetic_ranges,
    write_traffic,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORM = (
    "a line must be first, last, ASN, country and name, separated by tabs, with IPv4 addresses as numbers or "
    "as dotted quads, as in the ip2asn-v4-u32.tsv and ip2asn-v4.tsv of iptoasn.com."
)
ORDER = "the ranges of a table must ascend, each from its first to its last address, and must not overlap."


def ruler(size: int) -> Ranges:
    """Ranges of one address each: an event's address is then the row of the table it came from."""
    return Ranges(np.arange(size, dtype=np.uint32), np.arange(size, dtype=np.uint32))


@pytest.fixture(scope="module")
def seed() -> int:
    """Another seed in each run, printed when a test fails; bounds on statistics are five deviations wide."""
    number = secrets.randbits(32)
    print(f"seed {number}")  # noqa: T201
    return number


@pytest.fixture(scope="module")
def traffic(seed: int) -> Events:
    """Ten days of 2,000 users on a ruler of a million ranges."""
    rng = np.random.default_rng(seed)
    return simulate(num_users=2000, num_days=10, ranges=ruler(1_000_000), rng=rng)


@pytest.fixture(scope="module")
def few(seed: int) -> Events:
    """Three days of 20 users on a ruler of a thousand ranges."""
    return simulate(num_users=20, num_days=3, ranges=ruler(1000), rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def pairs(traffic: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users, and how many ranges lie between two events of each: the 1st and 2nd, the 3rd and 4th, ..."""
    order = np.argsort(traffic.user, kind="stable")
    user, ip = traffic.user[order], traffic.ip[order].astype(np.int64)
    place = np.arange(len(user)) - np.searchsorted(user, user)
    first = np.flatnonzero((place[:-1] % 2 == 0) & (user[:-1] == user[1:]))
    return user[first], (ip[first + 1] - ip[first] + 500_000) % 1_000_000 - 500_000


def test_activity_is_pareto(traffic: Events) -> None:
    """Quantiles of log-ins per user are those of Pareto(a=1, scale 50), 50 / (1 - q), cut at 10,000."""
    num_events = np.bincount(traffic.user, minlength=2000)
    # A quantile's relative deviation is sqrt(q / (1 - q) / num_users): 2.2 % at the median.
    assert np.quantile(num_events, [0.25, 0.5, 0.75]) == pytest.approx([66.67, 100, 200], rel=0.2)
    assert np.quantile(num_events, 0.5) == pytest.approx(100, rel=0.12)
    assert num_events.min() >= 50
    assert num_events.max() <= 10_000


def test_activity_grows_with_the_days(seed: int) -> None:
    """In 30 days users log in three times as often as in ten."""
    ten, thirty = (
        simulate(num_users=50, num_days=days, ranges=ruler(9), rng=np.random.default_rng(seed)) for days in (10, 30)
    )
    assert np.bincount(thirty.user) == pytest.approx(3 * np.bincount(ten.user), abs=2)


def test_share_of_travel(traffic: Events) -> None:
    """A mean user is away from both networks in 1/31 of log-ins, the mean of Beta(1, 30)."""
    order = np.argsort(traffic.user, kind="stable")
    ips_of = np.split(traffic.ip[order].astype(np.int64), np.cumsum(np.bincount(traffic.user))[:-1])
    away = [np.mean(abs((ips - np.median(ips) + 500_000) % 1_000_000 - 500_000) > 50_100) for ips in ips_of]
    # A tenth of the travellers end up within 50,100 ranges of the user's median place.
    assert np.mean(away) == pytest.approx(0.8998 / 31, abs=0.0045)


def test_share_of_home_and_work(pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """Two log-ins are from one network as often as Beta(3, 5) for home and Beta(1, 30) for travel have it."""
    user, distance = pairs
    near = np.bincount(user, abs(distance) < 100) / np.bincount(user)
    # E[p^2 + (1-p)^2] of Beta(3, 5) is 1 - 2 * 15/72; E[(1-t)^2] of Beta(1, 30) is 30 * 31 / (31 * 32).
    assert near.mean() == pytest.approx((1 - 30 / 72) * 30 / 32, abs=0.016)


def test_spread_around_a_network(pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """Two log-ins from one network differ by a normal with a deviation of sqrt(2) * 10 ranges."""
    near = pairs[1][abs(pairs[1]) < 100]
    assert near.std() == pytest.approx(14.15, abs=0.3)


def test_home_and_work_are_at_most_50000_ranges_apart(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Distances of home from work are uniform up to 50,000 ranges; beyond there are travellers only."""
    user, distance = pairs
    apart = abs(distance)
    commute = (apart >= 100) & (apart <= 50_000)
    share = np.bincount(user, commute) / np.bincount(user)
    mean_of_user = (np.bincount(user, apart * commute) / np.maximum(np.bincount(user, commute), 1))[share > 0]
    assert mean_of_user.mean() == pytest.approx(25_000, abs=1700)
    beyond = np.bincount(user, (apart > 50_100) & (apart <= 100_000)) / np.bincount(user)
    assert beyond.mean() < 0.04 * share.mean()


def test_addresses_are_uniform_in_their_range(seed: int) -> None:
    """Every address of a range is drawn, the first and the last too, and equally often."""
    ranges = Ranges(np.array([100, 1000], dtype=np.uint32), np.array([103, 1003], dtype=np.uint32))
    ips = ranges.draw(np.ones(40_000, dtype=np.int64), rng=np.random.default_rng(seed))
    assert sorted(Counter(ips.tolist())) == [1000, 1001, 1002, 1003]
    # 10,000 each, with a deviation of 87
    assert np.bincount(ips - 1000) == pytest.approx(10_000, abs=450)


def test_addresses_are_within_the_ranges(seed: int) -> None:
    """Log-ins and attacks come from the table's ranges and from nowhere between them."""
    first = np.array([16, 3_000_000_000, 4_294_967_280], dtype=np.uint32)
    ranges = Ranges(first, first + np.array([3, 255, 15], dtype=np.uint32))
    events = simulate(num_users=20, num_days=3, ranges=ranges, rng=np.random.default_rng(seed))
    test = attack_test(events, ranges, rng=np.random.default_rng(seed))
    for ips in (events.ip, test.ip):
        row = np.searchsorted(first, ips, side="right") - 1
        assert set(row.tolist()) == {0, 1, 2}
        assert (ips <= ranges.last[row]).all()


def test_events_are_sorted_and_fill_the_period(few: Events) -> None:
    """Events are in order of time, from the midnight that starts the period to the one that ends it."""
    assert (np.diff(few.time) >= 0).all()
    assert datetime.fromtimestamp(few.start, timezone.utc) == datetime(2018, 11, 11, tzinfo=timezone.utc)
    days = {datetime.fromtimestamp(second, timezone.utc).date() for second in few.time.tolist()}
    assert days == {date(2018, 11, 11), date(2018, 11, 12), date(2018, 11, 13)}


def test_splits_are_by_day(few: Events) -> None:
    """Of three days the first trains, the second validates, the third tests; no event is left out."""
    dates = np.array([datetime.fromtimestamp(second, timezone.utc).day for second in few.time.tolist()])
    assert [set(dates[part].tolist()) for part in few.splits()] == [{11}, {12}, {13}]
    assert sum(len(dates[part]) for part in few.splits()) == len(few)


@pytest.mark.parametrize(
    ("num_days", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (7, 1, 2)), (30, (21, 1, 8))],
)
def test_split_days(num_days: int, expected: tuple[int, int, int]) -> None:
    """70 % of the days train, as long as a day is left to validate and one to test."""
    assert split_days(num_days) == expected


@given(st.integers(3, 10_000))
def test_split_days_leaves_none_out(num_days: int) -> None:
    """Each split has a day at least, and together they have all."""
    parts = split_days(num_days)
    assert min(parts) >= 1
    assert sum(parts) == num_days


@pytest.mark.parametrize(
    ("num_users", "num_days", "message"),
    [
        (1, 10, "The number of users to simulate must be at least 2. Got 1."),
        (10, 2, "The number of days to simulate must be at least 3. Got 2."),
    ],
)
def test_too_small_a_simulation_is_refused(num_users: int, num_days: int, message: str) -> None:
    """Fewer than two users or three days are refused with the number given."""
    with pytest.raises(ClientError) as caught:
        simulate(num_users=num_users, num_days=num_days, ranges=ruler(10), rng=np.random.default_rng(0))
    assert str(caught.value) == message


def test_attack_test_is_half_good_half_attacks(few: Events) -> None:
    """As many attacks as good rows, mixed; the good ones are log-ins of the test day, none taken twice."""
    test = attack_test(few, ruler(1000), num_good=50, rng=np.random.default_rng(1))
    last_day = Counter(zip(few.user[few.splits()[2]].tolist(), few.ip[few.splits()[2]].tolist()))
    good = Counter(zip(test.user[test.label == 0].tolist(), test.ip[test.label == 0].tolist()))
    assert len(test) == 100
    assert Counter(test.label.tolist()) == {0: 50, 1: 50}
    assert test.label[:50].any()
    assert not good - last_day


def test_attack_test_takes_all_there_are(few: Events) -> None:
    """When more good rows are asked for than there are, all are taken."""
    test = attack_test(few, ruler(1000), num_good=10**9, rng=np.random.default_rng(1))
    num_good = len(few.user[few.splits()[2]])
    assert Counter(test.label.tolist()) == {0: num_good, 1: num_good}


def test_uniform_victims_are_attacked_alike(traffic: Events) -> None:
    """With the tutorial's recipe busy users are attacked no more than others."""
    test = attack_test(traffic, ruler(1000), num_good=20_000, rng=np.random.default_rng())
    busy = np.argsort(np.bincount(traffic.user, minlength=2000))[1000:]
    # Half of the users: 10,000 attacks, with a deviation of 71
    assert np.isin(test.user[test.label == 1], busy).sum() == pytest.approx(10_000, abs=360)


def test_matched_victims_tell_nothing(few: Events) -> None:
    """With matched victims every user has as many attacks as good rows."""
    test = attack_test(few, ruler(1000), num_good=60, rng=np.random.default_rng(1), victims="matched")
    by_label = [Counter(test.user[test.label == label].tolist()) for label in (0, 1)]
    assert by_label[0] == by_label[1]


def test_attack_test_needs_log_ins_on_test_days(few: Events) -> None:
    """Traffic with nothing on its test days is refused with advice."""
    train = few.splits()[0]
    events = Events(few.user[train], few.ip[train], few.time[train], num_users=20, num_days=3, end=few.end)
    with pytest.raises(ClientError) as caught:
        attack_test(events, ruler(1000), rng=np.random.default_rng(0))
    assert str(caught.value) == "No log-in falls on a test day: simulate more users or more days."


def write_all(directory: Path, seed: int) -> TrafficCounts:
    """Simulate and write everything from one seed."""
    rng = np.random.default_rng(seed)
    ranges = ruler(1000)
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
    return [(f"user_{number}", str(IPv4Address(address))) for number, address in zip(user.tolist(), ip.tolist())]


def test_csv_files_hold_the_splits(few: Events, tmp_path: Path) -> None:
    """train.csv has the train rows mixed, validation.csv its rows in order, test.csv the labelled rows."""
    test = attack_test(few, ruler(1000), num_good=30, rng=np.random.default_rng(1))
    counts = write_traffic(tmp_path, few, test, rng=np.random.default_rng(1))
    train, validation, _ = (as_texts(few.user[part], few.ip[part]) for part in few.splits())
    assert Counter(rows_of(tmp_path / "train.csv")) == Counter(train)
    assert rows_of(tmp_path / "train.csv") != train
    assert rows_of(tmp_path / "validation.csv") == validation
    labelled = [(*pair, str(label)) for pair, label in zip(as_texts(test.user, test.ip), test.label.tolist())]
    assert rows_of(tmp_path / "test.csv") == labelled
    assert counts == TrafficCounts(len(few), len(train), len(validation), 60)


COMBINED = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<request>[A-Z]+ \S+ HTTP/1\.[01])" '
    r'(?P<status>\d{3}) (?P<bytes>\d+|-) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


def test_access_log_is_in_the_combined_format(few: Events, tmp_path: Path) -> None:
    """Each line of the log is in Apache's combined format, and all give back the events in order."""
    write_traffic(tmp_path, few, attack_test(few, ruler(9), rng=np.random.default_rng(1)), rng=np.random.default_rng(1))
    lines = (tmp_path / "access.log").read_text(encoding="ascii").splitlines()
    found = [match for match in map(COMBINED.fullmatch, lines) if match]
    assert len(found) == len(lines) == len(few)
    assert [(match["user"], match["host"]) for match in found] == as_texts(few.user, few.ip)
    times = [datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z").timestamp() for match in found]
    assert times == few.time.tolist()


def test_the_access_log_can_be_left_out(few: Events, tmp_path: Path) -> None:
    """Without the log there are the three splits only, and no lines are counted."""
    test = attack_test(few, ruler(1000), rng=np.random.default_rng(1))
    counts = write_traffic(tmp_path, few, test, rng=np.random.default_rng(1), access_log=False)
    assert set(contents(tmp_path)) == {"train.csv", "validation.csv", "test.csv"}
    assert counts.access_log == 0


def test_many_rows_are_written_in_parts(tmp_path: Path) -> None:
    """More rows than are written at a time come out whole and in order."""
    size = 1_000_001
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
    test = attack_test(events, ruler(9), num_good=1, rng=np.random.default_rng(0))
    write_traffic(tmp_path, events, test, rng=np.random.default_rng(0))
    with (tmp_path / "access.log").open() as stream:
        found = [line.split(" ", 3)[2] for line in stream]
    assert found == [f"user_{number}" for number in range(size)]


def test_a_directory_that_cannot_be_made_is_the_users_fault(few: Events, tmp_path: Path) -> None:
    """A file where the directory should be gives one sentence with the reason."""
    (tmp_path / "traffic").write_text("in the way")
    test = attack_test(few, ruler(1000), rng=np.random.default_rng(1))
    with pytest.raises(ClientError) as caught:
        write_traffic(tmp_path / "traffic", few, test, rng=np.random.default_rng(1))
    assert str(caught.value) == f"Traffic cannot be written to {tmp_path / 'traffic'}: File exists."


def test_a_failed_write_leaves_no_partial_file(few: Events, tmp_path: Path) -> None:
    """When a file cannot be put in its place, what was written beside is removed."""
    (tmp_path / "access.log").mkdir()
    test = attack_test(few, ruler(1000), rng=np.random.default_rng(1))
    with pytest.raises(ClientError) as caught:
        write_traffic(tmp_path, few, test, rng=np.random.default_rng(1))
    assert str(caught.value) == f"Traffic cannot be written to {tmp_path}: Is a directory."
    assert not list(tmp_path.glob(".*"))


def test_synthetic_ranges_are_a_plausible_allocation(seed: int) -> None:
    """About a million aligned blocks of lengths /10 to /24 in order, without overlap, most of them /24."""
    ranges = synthetic_ranges(np.random.default_rng(seed))
    first, last = ranges.first.astype(np.int64), ranges.last.astype(np.int64)
    size = last - first + 1
    assert (first[1:] > last[:-1]).all()
    assert set(np.unique(size).tolist()) <= {2**bits for bits in range(8, 23)}
    assert (first % size == 0).all()
    assert 850_000 < len(ranges) < 1_150_000
    assert np.mean(size == 256) == pytest.approx(0.62, abs=0.02)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.254",
        ),
        *("192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
        *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_synthetic_ranges_avoid_reserved_space(address: str) -> None:
    """No range holds a private, special-purpose or multicast address, whatever the seed."""
    for seed in range(3):
        ranges = synthetic_ranges(np.random.default_rng(seed))
        row = np.searchsorted(ranges.first, np.uint32(int(IPv4Address(address))), side="right") - 1
        assert row < 0 or ranges.last[row] < int(IPv4Address(address))


def test_synthetic_ranges_come_from_the_generator() -> None:
    """The same seed draws the same allocation, another seed another."""
    one, again, other = (synthetic_ranges(np.random.default_rng(seed)).first for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


TABLE = """\
16777216\t16777471\t13335\tUS\tCLOUDFLARENET
16777472\t16778239\t0\tNone\tNot routed
16778240\t16779263\t38803\tAU\tName with "a quote
"""


def test_load_ranges_leaves_out_what_is_not_routed(tmp_path: Path) -> None:
    """A table gives its ranges in order without those of ASN 0; a quote in a name is a letter like others."""
    (tmp_path / "table.tsv").write_text(TABLE)
    ranges = load_ranges(tmp_path / "table.tsv")
    assert ranges.first.tolist() == [16777216, 16778240]
    assert ranges.last.tolist() == [16777471, 16779263]


def test_load_ranges_unpacks_gzip(tmp_path: Path) -> None:
    """A .tsv.gz is read as the .tsv in it."""
    with gzip.open(tmp_path / "table.tsv.gz", "wt") as stream:
        stream.write(TABLE)
    assert load_ranges(tmp_path / "table.tsv.gz").first.tolist() == [16777216, 16778240]


def test_load_ranges_reads_dotted_quads(tmp_path: Path) -> None:
    """Addresses may be dotted quads."""
    (tmp_path / "table.tsv").write_text("1.0.0.0\t1.0.0.255\t13335\tUS\tA\n255.0.0.0\t255.255.255.255\t7\tUS\tB\n")
    ranges = load_ranges(tmp_path / "table.tsv")
    assert ranges.first.tolist() == [0x01000000, 0xFF000000]
    assert ranges.last.tolist() == [0x010000FF, 0xFFFFFFFF]


@given(st.sets(st.integers(0, 2**32 - 1), min_size=2, max_size=30))
def test_load_ranges_gives_back_any_table(tmp_path_factory: pytest.TempPathFactory, edges: set[int]) -> None:
    """Whatever ascending ranges are written are read."""
    bounds = sorted(edges)[: len(edges) // 2 * 2]
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    path.write_text("".join(f"{a}\t{b}\t1\tXX\tname\n" for a, b in zip(bounds[::2], bounds[1::2])))
    ranges = load_ranges(path)
    assert ranges.first.tolist() == bounds[::2]
    assert ranges.last.tolist() == bounds[1::2]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("16779264\t16779519\t1", FORM),
        ("16779264\t16779519\t1\tUS\tname\tmore", FORM),
        ("", FORM),
        ("first\t16779519\t1\tUS\tname", FORM),
        ("16779264\t4294967296\t1\tUS\tname", FORM),
        ("16779264\t-1\t1\tUS\tname", FORM),
        ("16779264\t16779519\tAS1\tUS\tname", FORM),
        ("1.0.12.0\t1.0.12.255\t1\tUS\tname", FORM),
        ("2001:db8::\t2001:db8::1\t1\tUS\tname", FORM),
        ("16779519\t16779264\t1\tUS\tname", ORDER),
        ("16779263\t16779519\t1\tUS\tname", ORDER),
        ("16777216\t16777471\t1\tUS\tname", ORDER),
    ],
    ids=[
        *("too few columns", "too many columns", "empty line", "no number", "beyond IPv4", "negative"),
        *("ASN with letters", "mixed notations", "IPv6", "backwards", "overlapping", "out of order"),
    ],
)
def test_load_ranges_names_the_first_bad_line(tmp_path: Path, line: str, rule: str) -> None:
    """A line that breaks the format is refused with its file, its number and the rule."""
    path = tmp_path / "table.tsv"
    path.write_text(f"{TABLE}{line}\n{line}\n")
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}:4: {rule}"


def test_load_ranges_needs_a_routed_range(tmp_path: Path) -> None:
    """A table with nothing but ASN 0 is refused."""
    path = tmp_path / "table.tsv"
    path.write_text("0\t16777215\t0\tNone\tNot routed\n")
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table has no routed range: every ASN is 0."


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\t1\t1\tUS\tname\n"], ids=["empty", "no text"])
def test_load_ranges_of_no_table(tmp_path: Path, content: bytes) -> None:
    """A file with nothing in it, or with no text, is refused."""
    path = tmp_path / "table.tsv"
    path.write_bytes(content)
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table of IP ranges is empty or no text."


def test_load_ranges_of_a_missing_file(tmp_path: Path) -> None:
    """A table that is not there is refused with the reason."""
    path = tmp_path / "table.tsv"
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table of IP ranges cannot be read: No such file or directory."


def test_load_ranges_of_what_is_not_compressed(tmp_path: Path) -> None:
    """A .gz that is not compressed is refused with the reason."""
    path = tmp_path / "table.tsv.gz"
    path.write_text(TABLE)
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == (
        f"{path}: the table of IP ranges cannot be read: It is damaged or not compressed by gzip."
    )
