"""Histories count pairs, and merging them is the same as building them from all rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.pair_history import PairHistory

ENTITIES = st.sampled_from([0, 3, 2**63, 2**64 - 1])
IPV4 = st.lists(st.tuples(ENTITIES, st.sampled_from([0, 1, 2**31, 2**32 - 1])), max_size=30)
IPV6 = st.lists(st.tuples(ENTITIES, st.sampled_from([0, 1, 0x20010DB8 << 32, 2**64 - 1])), max_size=30)

Rows = list[tuple[int, int]]


def built(ipv4: Rows, ipv6: Rows | None = None) -> PairHistory:
    """Return the history of some rows."""
    entities, ips = (np.array([row[part] for row in ipv4], dtype=kind) for part, kind in ((0, "u8"), (1, "u4")))
    if ipv6 is None:
        return PairHistory.from_pairs(entities, ips)
    further = tuple(np.array([row[part] for row in ipv6], dtype=np.uint64) for part in (0, 1))
    return PairHistory.from_pairs(entities, ips, (further[0], further[1]))


def content(history: PairHistory) -> dict[str, bytes]:
    """Return the bytes of all arrays."""
    return {name: array.tobytes() for name, array in history.arrays.items()}


@given(IPV4, IPV6)
def test_rows_are_counted(ipv4: Rows, ipv6: Rows) -> None:
    """Each distinct pair is a row with its number of occurrences, sorted by entity and address."""
    history = built(ipv4, ipv6)
    assert history.entities.tolist() == sorted({entity for entity, _ in [*ipv4, *ipv6]})
    for given_rows, rows in ((ipv4, history.ipv4), (ipv6, history.ipv6)):
        assert rows is not None
        owners = history.entities[rows.owners].tolist()
        found = zip(owners, rows.addresses.tolist(), rows.counts.tolist(), strict=True)
        assert list(found) == [(*pair, count) for pair, count in sorted(Counter(given_rows).items())]
        rows.check(len(history.entities))


@given(IPV4, IPV6, IPV4, IPV6)
def test_merging_is_building_from_both(ipv4: Rows, ipv6: Rows, more_ipv4: Rows, more_ipv6: Rows) -> None:
    """The merged history equals that of all rows, to the byte, in either order."""
    one, other = built(ipv4, ipv6), built(more_ipv4, more_ipv6)
    both = content(built([*ipv4, *more_ipv4], [*ipv6, *more_ipv6]))
    assert content(one.merge(other)) == content(other.merge(one)) == both


@given(IPV4, IPV4)
def test_merging_keeps_to_ipv4(ipv4: Rows, more: Rows) -> None:
    """A history without IPv6 stays without it."""
    assert content(built(ipv4).merge(built(more))) == content(built([*ipv4, *more]))


@given(IPV4, IPV6, ENTITIES)
def test_forgetting_is_building_without(ipv4: Rows, ipv6: Rows, entity: int) -> None:
    """The history without an entity equals that of all other entities' rows, to the byte."""
    rest = [[row for row in rows if row[0] != entity] for rows in (ipv4, ipv6)]
    assert content(built(ipv4, ipv6).forget(entity)) == content(built(*rest))


@given(IPV4)
def test_an_empty_history_changes_nothing(ipv4: Rows) -> None:
    """Merging a history with an empty one gives the history."""
    history = built(ipv4)
    assert content(history.merge(history.empty())) == content(history)


def test_a_bound_keeps_the_most_frequent_rows() -> None:
    """A bound of 3 rows per entity keeps the most frequent addresses.

    The counts are 3, 2, 1 and 1, so that one of the last two addresses is kept.
    """
    rows = [(7, 1)] * 3 + [(7, 2)] * 2 + [(7, 3), (7, 4), (8, 5)]
    bounded = built(rows).bounded(3)
    kept = bounded.ipv4.addresses[bounded.ipv4.owners == 0].tolist()
    assert len(kept) == 3
    assert kept[:2] == [1, 2]
    assert bounded.num_rows_of(8) == 1
    assert content(bounded) == content(built(rows[::-1]).bounded(3))
    assert built(rows).bounded(4).num_rows == 5


def test_counts_that_are_too_large_stay_at_the_largest() -> None:
    """A count has 32 bits, and more events than that are counted as the most of them."""
    entity, ip, most = np.array([1], dtype=np.uint64), np.array([1], dtype=np.uint32), np.array([2**32 - 1])
    history = PairHistory.from_counts((entity, ip, most))
    assert history.merge(history).ipv4.counts.tolist() == [2**32 - 1]


def test_numbers_of_unknown_entities() -> None:
    """An unknown entity has the number behind the last, wherever its hash would lie."""
    history = built([(5, 1), (7, 1)])
    assert history.numbers(np.array([5, 7, 0, 6, 2**64 - 1], dtype=np.uint64)).tolist() == [0, 1, 2, 2, 2]
    assert history.num_rows_of(6) == 0
    assert built([]).numbers(np.array([5], dtype=np.uint64)).tolist() == [0]


def test_sizes() -> None:
    """An IPv4 row takes 8 bytes, an IPv6 row 12, and an entity 12 for one family.

    There is one more start than entities.
    """
    history = built([(1, 1), (1, 1), (2, 1)], [(1, 1)])
    assert (history.num_rows, history.num_events) == (3, 4)
    assert built([(1, 1), (1, 1), (2, 1)]).nbytes == 2 * 8 + 2 * 12 + 4
    assert history.nbytes == 2 * 8 + 12 + 2 * 16 + 8


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("entities", [5, 3], "the entities of its history are not sorted"),
        ("ipv4_starts", [0, 3, 2], "the rows of its history do not fit its entities"),
        ("ipv4_starts", [0, 2], "the rows of its history do not fit its entities"),
        ("ipv4_starts", [1, 1, 2], "the rows of its history do not fit its entities"),
        ("ipv4_addresses", [2, 2], "the rows of its history are not sorted and counted"),
        ("ipv4_counts", [1, 0], "the rows of its history are not sorted and counted"),
        ("ipv4_counts", [1], "the rows of its history are not sorted and counted"),
    ],
)
def test_arrays_that_contradict_each_other(name: str, values: list[int], reason: str) -> None:
    """Damaged arrays are refused when a model is loaded."""
    arrays = built([(3, 1), (3, 2)] if "addresses" in name else [(3, 1), (5, 2)]).arrays
    arrays[name] = np.array(values, dtype=arrays[name].dtype)
    with pytest.raises(ValueError, match=f"^{reason}$"):
        PairHistory.from_arrays(arrays)


def test_a_missing_array() -> None:
    """The message names the array."""
    arrays = built([(3, 1)]).arrays
    del arrays["ipv4_counts"]
    with pytest.raises(ValueError, match=r"^its history has no ipv4_counts$"):
        PairHistory.from_arrays(arrays)
