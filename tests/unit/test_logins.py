"""The simulated traffic has the documented distributions, and its files are readable."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.synthetic.ip_ranges import Ranges
from ipinsights.synthetic.logins import Events, attack_test, simulate, split_days
from ipinsights.testing import single_address_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def traffic(seed: int) -> Events:
    """Ten days of 2,000 users with a million ranges of one address each."""
    rng = np.random.default_rng(seed)
    return simulate(num_users=2000, num_days=10, ranges=single_address_ranges(1_000_000), rng=rng)


@pytest.fixture(scope="module")
def pairs(traffic: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return users, and the number of ranges between two events of each user.

    The pairs are the 1st and 2nd event, the 3rd and 4th, and so on.
    """
    order = np.argsort(traffic.user, kind="stable")
    user, ip = traffic.user[order].astype(np.int64), traffic.ip[order].astype(np.int64)
    place = np.arange(len(user)) - np.searchsorted(user, user)
    first = np.flatnonzero((place[:-1] % 2 == 0) & (user[:-1] == user[1:]))
    return user[first], (ip[first + 1] - ip[first] + 500_000) % 1_000_000 - 500_000


def test_activity_is_pareto(traffic: Events) -> None:
    """Log-ins per user have the quantiles of Pareto(a=1, scale 50), 50 / (1 - q), up to 10,000."""
    num_events = np.bincount(traffic.user, minlength=2000)
    # A quantile's relative deviation is sqrt(q / (1 - q) / num_users): 2.2 % at the median.
    assert np.quantile(num_events, [0.25, 0.5, 0.75]) == pytest.approx([66.67, 100, 200], rel=0.2)
    assert np.quantile(num_events, 0.5) == pytest.approx(100, rel=0.12)
    assert num_events.min() >= 50
    assert num_events.max() <= 10_000


def test_activity_grows_with_the_days(seed: int) -> None:
    """In 30 days users log in three times as often as in ten."""
    ten, thirty = (
        simulate(num_users=50, num_days=days, ranges=single_address_ranges(9), rng=np.random.default_rng(seed))
        for days in (10, 30)
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
    """Two log-ins share a network as often as Beta(3, 5) and Beta(1, 30) imply.

    The first distribution is that of home, the second that of travel.
    """
    user, distance = pairs
    near = np.bincount(user, abs(distance) < 100) / np.bincount(user)
    # E[p^2 + (1-p)^2] of Beta(3, 5) is 1 - 2 * 15/72; E[(1-t)^2] of Beta(1, 30) is 30 * 31 / (31 * 32).
    assert near.mean() == pytest.approx((1 - 30 / 72) * 30 / 32, abs=0.016)


def test_spread_around_a_network(pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """Two log-ins from one network differ by a normal with a deviation of sqrt(2) * 10 ranges."""
    near = abs(pairs[1][abs(pairs[1]) < 100])
    # Shares and not the deviation, which a busy user with home and work side by side would change. The difference of
    # two rounded normals is at most 14 in 69.5 % and at most 28 in 95.6 % of cases.
    assert [np.mean(near <= 14), np.mean(near <= 28)] == pytest.approx([0.695, 0.956], abs=0.02)


def test_home_and_work_are_at_most_50000_ranges_apart(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Distances of home and work are uniform up to 50,000 ranges.

    Larger distances come from travel only.
    """
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
    """Events are in order of time, and fill the period from its first to its last midnight."""
    assert (np.diff(few.time) >= 0).all()
    assert datetime.fromtimestamp(few.start, timezone.utc) == datetime(2018, 11, 11, tzinfo=timezone.utc)
    days = {datetime.fromtimestamp(second, timezone.utc).date() for second in few.time.tolist()}
    assert days == {date(2018, 11, 11), date(2018, 11, 12), date(2018, 11, 13)}


def test_splits_are_by_day(few: Events) -> None:
    """Of three days the first is for training, the second for validation, the third for test.

    No event is left out.
    """
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
        simulate(num_users=num_users, num_days=num_days, ranges=single_address_ranges(10), rng=np.random.default_rng(0))
    assert str(caught.value) == message


def test_attack_test_is_half_good_half_attacks(few: Events) -> None:
    """The attack test has as many attacks as distinct good rows of the test day, mixed."""
    test = attack_test(few, single_address_ranges(1000), num_good=50, rng=np.random.default_rng(1))
    last_day = Counter(zip(few.user[few.splits()[2]].tolist(), few.ip[few.splits()[2]].tolist(), strict=True))
    good = Counter(zip(test.user[test.label == 0].tolist(), test.ip[test.label == 0].tolist(), strict=True))
    assert len(test) == 100
    assert Counter(test.label.tolist()) == {0: 50, 1: 50}
    assert test.label[:50].any()
    assert not good - last_day


def test_attack_test_takes_all_there_are(few: Events) -> None:
    """When more good rows are asked for than there are, all are taken."""
    test = attack_test(few, single_address_ranges(1000), num_good=10**9, rng=np.random.default_rng(1))
    num_good = len(few.user[few.splits()[2]])
    assert Counter(test.label.tolist()) == {0: num_good, 1: num_good}


def test_uniform_victims_are_attacked_alike(traffic: Events) -> None:
    """With the tutorial's recipe busy users are attacked no more than others."""
    test = attack_test(traffic, single_address_ranges(1000), num_good=20_000, rng=np.random.default_rng())
    busy = np.argsort(np.bincount(traffic.user, minlength=2000))[1000:]
    # Half of the users: 10,000 attacks, with a deviation of 71
    assert np.isin(test.user[test.label == 1], busy).sum() == pytest.approx(10_000, abs=360)


def test_attack_test_needs_log_ins_on_test_days(few: Events) -> None:
    """Traffic with nothing on its test days is refused with advice."""
    train = few.splits()[0]
    events = Events(few.user[train], few.ip[train], few.time[train], num_users=20, num_days=3, end=few.end)
    with pytest.raises(ClientError) as caught:
        attack_test(events, single_address_ranges(1000), rng=np.random.default_rng(0))
    assert str(caught.value) == "No log-in falls on a test day: simulate more users or more days."
