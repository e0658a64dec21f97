"""Simulated log-ins of users from home, from work and occasionally from anywhere.

The recipe is the one that the AWS tutorial of IP Insights describes (``ipinsights_login`` in the SageMaker
examples), so that results can be compared with published numbers. It is simpler than real traffic: no user
changes the home network, addresses are shared by accident only, and travellers look exactly like attackers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.synthetic.ip_ranges import Ranges

__all__ = ["SECONDS_PER_DAY", "AttackTest", "Events", "attack_test", "midnight", "simulate", "split_days"]

SECONDS_PER_DAY = 86_400
# First day after the simulated ones, as in the tutorial.
_END = date(2018, 11, 14)


@dataclass(frozen=True)
class Events:
    """Log-ins, sorted by time."""

    user: NDArray[np.int32]  # user number, 0 to ``num_users - 1``, shape (num_events,)
    ip: NDArray[np.uint32]  # address, shape (num_events,)
    time: NDArray[np.int64]  # seconds since 1970 in UTC, shape (num_events,)
    num_users: int
    num_days: int
    end: date  # the first day after the last event's

    def __len__(self) -> int:
        return len(self.user)

    @property
    def start(self) -> int:
        """Midnight before the first event, in seconds since 1970."""
        return midnight(self.end) - self.num_days * SECONDS_PER_DAY

    def splits(self) -> tuple[slice, slice, slice]:
        """Where the train, validation and test rows are: by day, as :func:`split_days` has it."""
        days = np.cumsum((0, *split_days(self.num_days)))
        edges = np.searchsorted(self.time, self.start + days * SECONDS_PER_DAY).tolist()
        return slice(*edges[0:2]), slice(*edges[1:3]), slice(*edges[2:4])


def midnight(day: date) -> int:
    """Return the beginning of a day in UTC, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())


def split_days(num_days: int) -> tuple[int, int, int]:
    """Return the numbers of train, validation and test days: 70 %, one day, and the rest."""
    num_train = min(num_days * 7 // 10, num_days - 2)
    return num_train, 1, num_days - num_train - 1


def simulate(*, num_users: int, num_days: int, ranges: Ranges, rng: np.random.Generator) -> Events:
    """Return simulated log-ins of users with a home and a work network.

    A user's activity is Pareto (a = 1, scale 50, at most 10,000 log-ins in ten days). The home network is
    anywhere in the table of ranges, the work network at most 50,000 ranges away from it. A log-in is from
    anywhere with the user's P_TRAVEL ~ Beta(1, 30); else from home with the user's P_HOME ~ Beta(3, 5); else
    from work. The range is normal around the home or work network with a deviation of 10 ranges, at the
    table's end going on at its beginning. The address is uniform in the range, and the time in the period.

    Source: the AWS tutorial's description and, where it leaves something open, data made by its generator.
    """
    for name, least, value in (("users", 2, num_users), ("days", 3, num_days)):
        if value < least:
            raise ClientError(f"The number of {name} to simulate must be at least {least}. Got {value}.")
    users = _draw_users(num_users, num_days, len(ranges), rng)
    # Times are alike for all users, so it is enough to sort the times and to mix the users. All are
    # (num_events,).
    user = rng.permutation(np.repeat(np.arange(num_users, dtype=np.int32), users.num_events))
    seconds = np.sort(rng.integers(num_days * SECONDS_PER_DAY, size=len(user)))
    ip = ranges.draw(_draw_places(users, user, len(ranges), rng), rng=rng)
    return Events(user, ip, midnight(_END) - num_days * SECONDS_PER_DAY + seconds, num_users, num_days, _END)


@dataclass(frozen=True)
class _Users:
    num_events: NDArray[np.int64]
    home: NDArray[np.int64]
    work: NDArray[np.int64]
    p_travel: NDArray[np.float64]
    p_home: NDArray[np.float64]


def _draw_users(num_users: int, num_days: int, num_ranges: int, rng: np.random.Generator) -> _Users:
    per_ten_days = np.minimum(50 * (1 + rng.pareto(1, num_users)), 10_000)
    home = rng.integers(num_ranges, size=num_users)
    return _Users(
        num_events=np.rint(per_ten_days * num_days / 10).astype(np.int64),
        home=home,
        work=(home + rng.integers(-50_000, 50_000, size=num_users, endpoint=True)) % num_ranges,
        p_travel=rng.beta(1, 30, num_users),
        p_home=rng.beta(3, 5, num_users),
    )


def _draw_places(
    users: _Users, user: NDArray[np.int32], num_ranges: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the row in the table of ranges for each event, shape (num_events,)."""
    size = len(user)
    centre = np.where(rng.random(size) < users.p_home[user], users.home[user], users.work[user])
    near = np.rint(rng.normal(centre, 10)).astype(np.int64) % num_ranges
    travels = rng.random(size) < users.p_travel[user]
    return np.where(travels, rng.integers(num_ranges, size=size), near)


@dataclass(frozen=True)
class AttackTest:
    """Labelled log-ins in random order."""

    user: NDArray[np.int32]  # (num_rows,)
    ip: NDArray[np.uint32]  # (num_rows,)
    label: NDArray[np.int8]  # 1 for an attack, 0 for a log-in of the user's own, shape (num_rows,)

    def __len__(self) -> int:
        return len(self.label)


def attack_test(events: Events, ranges: Ranges, *, rng: np.random.Generator, num_good: int = 100_000) -> AttackTest:
    """Return ``num_good`` log-ins of the test days and as many attacks from random ranges.

    All log-ins of the test days are used if there are fewer than ``num_good``.

    The recipe is the tutorial's: all users are attacked alike while good rows are mostly of busy users. That flatters:
    a score that only knows how busy a user is tells many attacks. ``ipinsights evaluate`` matches victims.
    """
    good = np.arange(len(events))[events.splits()[2]]
    if not len(good):
        raise ClientError("No log-in falls on a test day: simulate more users or more days.")
    good = rng.choice(good, size=min(num_good, len(good)), replace=False)
    attacked = rng.integers(events.num_users, size=len(good))
    order = rng.permutation(2 * len(good))
    return AttackTest(
        user=np.concatenate([events.user[good], attacked.astype(np.int32)])[order],
        ip=np.concatenate([events.ip[good], ranges.draw_anywhere(len(good), rng=rng)])[order],
        label=np.repeat(np.array([0, 1], dtype=np.int8), len(good))[order],
    )
