"""Traffic to try the algorithm on: users who log in from a home, from work, and now and then from anywhere.

The recipe is the one that the AWS tutorial of IP Insights describes (``ipinsights_login`` in the SageMaker
examples), so that what is measured here can be set beside published numbers. It is kinder than life: nobody
moves house, addresses are shared by accident only, and travellers look exactly like attackers.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ipinsights.errors import ClientError
from ipinsights.ipv4 import format_ips, parse_ips

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

__all__ = [
    "AttackTest",
    "Events",
    "Ranges",
    "TrafficCounts",
    "attack_test",
    "load_ranges",
    "simulate",
    "split_days",
    "synthetic_ranges",
    "write_traffic",
]

_SECONDS_PER_DAY = 86_400

# IANA's special-purpose blocks, multicast and the reserved end: never announced.
_RESERVED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip

# The share of the blocks of a length that is announced whole; 3 % more lie idle and the rest are halved.
# Chosen so that each length is as frequent as in a real table: a million ranges, 62 % of them of 256
# addresses.
_SHARE_IDLE = 0.03
_SHARE_ANNOUNCED = {
    10: .058, 11: .030, 12: .045, 13: .047, 14: .058, 15: .072, 16: .253, 17: .169, 18: .177, 19: .186,
    20: .228, 21: .204, 22: .252, 23: .177, 24: .621,
}  # fmt: skip


@dataclass(frozen=True)
class Ranges:
    """Ranges of routed IPv4 addresses in ascending order, none overlapping another.

    Attributes
    ----------
    first, last
        First and last address of each range, both belonging to it, shape (num_ranges,).
    """

    first: NDArray[np.uint32]
    last: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.first)

    def draw(self, rows: NDArray[np.int64], *, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Give an address of each of the ranges asked for, uniform within its range; shape of ``rows``."""
        low, high = self.first[rows].astype(np.int64), self.last[rows].astype(np.int64)
        return rng.integers(low, high, endpoint=True).astype(np.uint32)

    def draw_anywhere(self, size: int, *, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Give addresses of uniformly random ranges, small ones as often as large ones; shape (size,)."""
        return self.draw(rng.integers(len(self), size=size), rng=rng)


def synthetic_ranges(rng: np.random.Generator) -> Ranges:
    """Give a plausible allocation of the address space: about a million ranges of lengths /10 to /24.

    The space is halved again and again; at each length some blocks are announced whole and a few lie idle. So
    neighbours tend to be alike in size, as in life, no two ranges overlap, and none is in reserved space.
    """
    shortest = min(_SHARE_ANNOUNCED)
    blocks = np.arange(2**shortest, dtype=np.int64) << (32 - shortest)
    firsts, lasts = [], []
    for length, share in _SHARE_ANNOUNCED.items():
        size = 2 ** (32 - length)
        fate = rng.random(len(blocks))
        announced = blocks[fate < share]
        firsts.append(announced)
        lasts.append(announced + size - 1)
        halved = blocks[fate >= share + _SHARE_IDLE]
        blocks = np.concatenate([halved, halved + size // 2])
    # Ranges do not overlap, so their first and their last addresses have the same order.
    first, last = np.sort(np.concatenate(firsts)), np.sort(np.concatenate(lasts))
    public = _is_public(first, last)
    return Ranges(first[public].astype(np.uint32), last[public].astype(np.uint32))


def _is_public(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    public = np.ones(len(first), dtype=bool)
    for network in map(ipaddress.IPv4Network, _RESERVED):
        public &= (last < int(network.network_address)) | (first > int(network.broadcast_address))
    return public


def load_ranges(path: Path) -> Ranges:
    """Read a table of ranges in the format of iptoasn.com, and give those that are routed.

    A line is ``first, last, ASN, country, name``, separated by tabs, in ascending order, without a header.
    Addresses are numbers (``ip2asn-v4-u32.tsv``) or dotted quads (``ip2asn-v4.tsv``). A file whose name ends
    in ``.gz`` is unpacked. Ranges of ASN 0 are not routed and are left out.

    Raises
    ------
    ClientError
        When the file cannot be read, a line is not of this form, ranges are out of order, or none is routed.
    """
    first_texts, last_texts, asn_texts = (column.combine_chunks() for column in _read_table(path).columns)
    first, first_valid = _parse_addresses(first_texts)
    last, last_valid = _parse_addresses(last_texts)
    asn, asn_valid = _parse_numbers(asn_texts)
    _refuse_lines(path, ~(first_valid & last_valid & asn_valid), _TABLE_FORM)
    previous_last = np.concatenate([[-1], last[:-1]])
    _refuse_lines(path, (first > last) | (first <= previous_last), _TABLE_ORDER)
    routed = asn != 0
    if not routed.any():
        raise ClientError(f"{path}: the table has no routed range: every ASN is 0.")
    return Ranges(first[routed].astype(np.uint32), last[routed].astype(np.uint32))


_TABLE_FORM = (
    "a line must be first, last, ASN, country and name, separated by tabs, with IPv4 addresses as numbers or "
    "as dotted quads, as in the ip2asn-v4-u32.tsv and ip2asn-v4.tsv of iptoasn.com."
)
_TABLE_ORDER = "the ranges of a table must ascend, each from its first to its last address, and must not overlap."


def _read_table(path: Path) -> pa.Table:
    malformed: list[csv.InvalidRow] = []

    def keep_in_mind(row: csv.InvalidRow) -> str:
        malformed.append(row)
        return "skip"

    wanted = ["first", "last", "asn"]
    # Threads would lose the line numbers of malformed lines.
    read = csv.ReadOptions(use_threads=False, column_names=[*wanted, "country", "name"])
    parse = csv.ParseOptions(
        delimiter="\t", quote_char=False, ignore_empty_lines=False, invalid_row_handler=keep_in_mind
    )
    convert = csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()))
    try:
        table = csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:
        raise ClientError(f"{path}: the table of IP ranges is empty or no text.") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "It is damaged or not compressed by gzip"
        raise ClientError(f"{path}: the table of IP ranges cannot be read: {reason}.") from None
    if malformed:
        raise ClientError(f"{path}:{malformed[0].number}: {_TABLE_FORM}")
    return table


def _parse_addresses(texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if "." not in texts[0].as_py():
        return _parse_numbers(texts)
    ips, valid = parse_ips(texts)
    return ips.astype(np.int64), valid


def _parse_numbers(texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    digits = pc.match_substring_regex(texts, r"^[0-9]{1,10}$")
    numbers = pc.if_else(digits, texts, "0").cast(pa.int64()).to_numpy()
    return numbers, digits.to_numpy(zero_copy_only=False) & (numbers < 2**32)


def _refuse_lines(path: Path, wrong: NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        raise ClientError(f"{path}:{int(wrong.argmax()) + 1}: {rule}")


@dataclass(frozen=True)
class Events:
    """Log-ins, sorted by time.

    Attributes
    ----------
    user
        User number, 0 to ``num_users - 1``, shape (num_events,).
    ip
        Address, shape (num_events,).
    time
        Seconds since 1970 in UTC, shape (num_events,).
    num_users, num_days
        What was asked for.
    end
        The first day after the last event's.
    """

    user: NDArray[np.int32]
    ip: NDArray[np.uint32]
    time: NDArray[np.int64]
    num_users: int
    num_days: int
    end: date

    def __len__(self) -> int:
        return len(self.user)

    @property
    def start(self) -> int:
        """Midnight before the first event, in seconds since 1970."""
        return _midnight(self.end) - self.num_days * _SECONDS_PER_DAY

    def splits(self) -> tuple[slice, slice, slice]:
        """Where the train, validation and test rows are: by day, as :func:`split_days` has it."""
        days = np.cumsum((0, *split_days(self.num_days)))
        edges = np.searchsorted(self.time, self.start + days * _SECONDS_PER_DAY).tolist()
        return slice(*edges[0:2]), slice(*edges[1:3]), slice(*edges[2:4])


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())


def split_days(num_days: int) -> tuple[int, int, int]:
    """Give the numbers of train, validation and test days: 70 % train, the next validates, the rest test."""
    num_train = min(num_days * 7 // 10, num_days - 2)
    return num_train, 1, num_days - num_train - 1


def simulate(
    *, num_users: int, num_days: int, ranges: Ranges, rng: np.random.Generator, end: date = date(2018, 11, 14)
) -> Events:
    """Give the log-ins of users with a home and a work network over some days.

    A user's activity is Pareto (a = 1, scale 50, at most 10,000 log-ins in ten days). The home network is
    anywhere in the table of ranges, the work network at most 50,000 ranges away from it. A log-in is from
    anywhere with the user's P_TRAVEL ~ Beta(1, 30); else from home with the user's P_HOME ~ Beta(3, 5); else
    from work. The range is normal around the home or work network with a deviation of 10 ranges, at the
    table's end going on at its beginning; the address is uniform in the range, and the time in the period.

    Source: the AWS tutorial's description and, where it leaves something open, data made by its generator.

    Parameters
    ----------
    num_users
        At least 2.
    num_days
        At least 3: one each to train, to validate and to test.
    ranges
        Where addresses come from, see :func:`load_ranges` and :func:`synthetic_ranges`.
    rng
        Source of all randomness.
    end
        The first day after the period.

    Raises
    ------
    ClientError
        When there are too few users or days.
    """
    _check_size(num_users, num_days)
    users = _draw_users(num_users, num_days, len(ranges), rng)
    # Times are alike for all users, so it is enough to sort the times and to mix the users. All are
    # (num_events,).
    user = rng.permutation(np.repeat(np.arange(num_users, dtype=np.int32), users.num_events))
    seconds = np.sort(rng.integers(num_days * _SECONDS_PER_DAY, size=len(user)))
    ip = ranges.draw(_draw_places(users, user, len(ranges), rng), rng=rng)
    return Events(user, ip, _midnight(end) - num_days * _SECONDS_PER_DAY + seconds, num_users, num_days, end)


def _check_size(num_users: int, num_days: int) -> None:
    for name, least, value in (("users", 2, num_users), ("days", 3, num_days)):
        if value < least:
            raise ClientError(f"The number of {name} to simulate must be at least {least}. Got {value}.")


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
    """Give the row of the table of ranges that each event comes from, shape (num_events,)."""
    size = len(user)
    centre = np.where(rng.random(size) < users.p_home[user], users.home[user], users.work[user])
    near = np.rint(rng.normal(centre, 10)).astype(np.int64) % num_ranges
    travels = rng.random(size) < users.p_travel[user]
    return np.where(travels, rng.integers(num_ranges, size=size), near)


@dataclass(frozen=True)
class AttackTest:
    """Labelled log-ins in random order.

    Attributes
    ----------
    user, ip
        As in :class:`Events`, shape (num_rows,).
    label
        1 for an attack, 0 for a log-in of the user's own, shape (num_rows,).
    """

    user: NDArray[np.int32]
    ip: NDArray[np.uint32]
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.label)


def attack_test(
    events: Events,
    ranges: Ranges,
    *,
    rng: np.random.Generator,
    num_good: int = 100_000,
    victims: Literal["uniform", "matched"] = "uniform",
) -> AttackTest:
    """Give ``num_good`` log-ins of the test days (or all, if fewer) and as many attacks from random ranges.

    With ``"uniform"`` victims, the tutorial's recipe, all users are attacked alike while good rows are mostly
    of busy users. That flatters: a score that only knows how busy a user is tells many attacks. With
    ``"matched"`` victims each good row's user is attacked once, so the user alone tells nothing; ``ipinsights
    evaluate`` matches victims.

    Raises
    ------
    ClientError
        When no log-in falls on a test day.
    """
    good = np.arange(len(events))[events.splits()[2]]
    if not len(good):
        raise ClientError("No log-in falls on a test day: simulate more users or more days.")
    good = rng.choice(good, size=min(num_good, len(good)), replace=False)
    attacked = events.user[good] if victims == "matched" else rng.integers(events.num_users, size=len(good))
    order = rng.permutation(2 * len(good))
    return AttackTest(
        user=np.concatenate([events.user[good], attacked.astype(np.int32)])[order],
        ip=np.concatenate([events.ip[good], ranges.draw_anywhere(len(good), rng=rng)])[order],
        label=np.repeat(np.array([0, 1], dtype=np.int8), len(good))[order],
    )


@dataclass(frozen=True)
class TrafficCounts:
    """Rows written to each file; ``access_log`` is 0 when none was asked for."""

    access_log: int
    train: int
    validation: int
    test: int


def write_traffic(
    directory: Path, events: Events, test: AttackTest, *, rng: np.random.Generator, access_log: bool = True
) -> TrafficCounts:
    """Write the traffic as files ready for use, and give their numbers of rows.

    ``train.csv`` and ``validation.csv`` are headerless ``entity,ip``; the train rows are mixed, since
    training keeps the order of the file. ``test.csv`` is ``entity,ip,label``, 1 for an attack. ``access.log``
    holds all events in Apache's combined format. All are written beside, and renamed when all are complete.

    Raises
    ------
    ClientError
        When the directory cannot be made or written to.
    """
    train, validation, _ = events.splits()
    mixed = rng.permutation(np.arange(train.start, train.stop))
    files = {
        "train.csv": _csv_lines(events.user[mixed], events.ip[mixed]),
        "validation.csv": _csv_lines(events.user[validation], events.ip[validation]),
        "test.csv": _csv_lines(test.user, test.ip, test.label),
    }
    if access_log:
        files["access.log"] = _log_lines(events)
    _write_together(directory, files)
    num_validation = validation.stop - validation.start
    return TrafficCounts(len(events) if access_log else 0, len(mixed), num_validation, len(test))


def _write_together(directory: Path, files: Mapping[str, Iterable[pa.Buffer]]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_beside_then_rename({directory / name: chunks for name, chunks in files.items()})
    except OSError as error:
        raise ClientError(f"Traffic cannot be written to {directory}: {error.strerror}.") from None


def _write_beside_then_rename(files: Mapping[Path, Iterable[pa.Buffer]]) -> None:
    beside = {path: path.with_name(f".{path.name}.partial") for path in files}
    try:
        for path, chunks in files.items():
            with beside[path].open("wb") as stream:
                stream.writelines(chunks)
        for path, partial in beside.items():
            partial.replace(path)
    finally:
        for partial in beside.values():
            partial.unlink(missing_ok=True)


def _csv_lines(
    user: NDArray[np.int32], ip: NDArray[np.uint32], label: NDArray[np.int8] | None = None
) -> Iterator[pa.Buffer]:
    for part in _parts(len(user)):
        last = [] if label is None else [",", _numbers(2).take(pa.array(label[part]))]
        yield _join([_user_texts(user[part]), ",", format_ips(ip[part]), *last, "\n"])


def _log_lines(events: Events) -> Iterator[pa.Buffer]:
    midnights = _midnight(events.end) - np.arange(events.num_days, 0, -1) * _SECONDS_PER_DAY
    dates = _time_texts(midnights, "%d/%b/%Y:")
    clock = _time_texts(np.arange(_SECONDS_PER_DAY), "%H:%M:%S")
    agents = pa.array(_AGENTS)
    for part in _parts(len(events)):
        user = events.user[part]
        day, second = np.divmod(events.time[part] - events.start, _SECONDS_PER_DAY)
        time = [dates.take(pa.array(day)), clock.take(pa.array(second))]
        agent = agents.take(pa.array(user % len(_AGENTS)))
        yield _join([format_ips(events.ip[part]), " - ", _user_texts(user), " [", *time, _REQUEST, agent, '"\n'])


_REQUEST = ' +0000] "POST /login HTTP/1.1" 200 512 "-" "'
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:63.0) Gecko/20100101 Firefox/63.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0",
    "curl/7.62.0",
)


def _parts(size: int) -> Iterator[slice]:
    # Rows enough for Arrow to run at full speed, and few enough to stay far below its 2 GB of text per array.
    step = 500_000
    return (slice(start, start + step) for start in range(0, size, step))


def _user_texts(user: NDArray[np.int32]) -> pa.StringArray:
    return pc.binary_join_element_wise("user_", pa.array(user).cast(pa.string()), "")


def _numbers(size: int) -> pa.StringArray:
    return pa.array(map(str, range(size)))


def _time_texts(seconds: NDArray[np.int64], template: str) -> pa.StringArray:
    # The C locale: an access log has English months everywhere.
    return pc.strftime(pa.array(seconds, pa.timestamp("s")), template, locale="C")


def _join(columns: Sequence[pa.StringArray | str]) -> pa.Buffer:
    """Give the text of all rows on end; Arrow keeps a column of strings as just that."""
    return pc.binary_join_element_wise(*columns, "").buffers()[2]
