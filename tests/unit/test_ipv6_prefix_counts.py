"""Counting IPv6 rows by binary search gives what counting one by one gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.ipv6 import Ipv6Pairs
from ipinsights.evaluation.ipv6_prefix_counts import Ipv6PrefixCounts

# Few entities and few bits that differ, so that much is shared.
upper = st.tuples(st.sampled_from([0, 0x2A00 << 48, 2**64 - 2**40]), st.integers(0, 2**40 - 1)).map(sum)
rows = st.lists(st.tuples(st.sampled_from([3, 2**63, 2**64 - 1]), upper), min_size=1, max_size=30)


def history_of(pairs: list[tuple[int, int]]) -> Ipv6PrefixCounts:
    """Return the counts of some rows, whose lower halves are their places."""
    entities, upper = (np.array([pair[part] for pair in pairs], dtype=np.uint64) for part in (0, 1))
    return Ipv6PrefixCounts(Ipv6Pairs(entities, upper, np.arange(len(pairs), dtype=np.uint64)))


def common_bits(one: int, other: int) -> int:
    """Return the leading bits that two addresses have in common."""
    return 64 - (one ^ other).bit_length()


@given(rows, rows, st.integers(1, 64), st.integers(0, 63))
def test_counts(train: list[tuple[int, int]], asked: list[tuple[int, int]], length: int, parent: int) -> None:
    """Rows of an entity, of everybody, distinct networks, and the longest prefix."""
    history = history_of(train)
    known = [(entity, address) for entity, address in asked if entity in {entity for entity, _ in train}]
    if not known:
        return
    numbers = history.numbers(np.array([entity for entity, _ in known], dtype=np.uint64))
    addresses = np.array([address for _, address in known], dtype=np.uint64)
    own = [[address for other, address in train if other == entity] for entity, _ in known]
    pairs = list(zip([address for _, address in known], own, strict=True))
    assert history.counts(numbers, addresses, length).tolist() == [
        sum(common_bits(address, other) >= length for other in others) for address, others in pairs
    ]
    assert history.crowd_counts(addresses, length).tolist() == [
        sum(common_bits(address, other) >= length for _, other in train) for _, address in known
    ]
    child = max(parent, length)
    if parent:
        assert history.num_children(numbers, addresses, parent, child).tolist() == [
            len({other >> (64 - child) for other in others if common_bits(address, other) >= parent})
            for address, others in pairs
        ]
    assert history.longest_prefix(numbers, addresses).tolist() == [
        max(common_bits(address, other) for other in others) for address, others in pairs
    ]


@given(rows)
def test_rows(train: list[tuple[int, int]]) -> None:
    """Rows come back sorted by entity and address, each with its lower half."""
    history = history_of(train)
    numbers, addresses = history.row(np.arange(len(history)))
    found = list(zip(history.entities[numbers].tolist(), addresses.tolist(), strict=True))
    assert found == sorted(train)
    assert [train[place] for place in history.lower.tolist()] == found
    assert history.num_children(numbers, addresses, 0, 64).tolist() == [
        len({address for other, address in train if other == entity}) for entity, _ in found
    ]
