"""Counting by binary search gives what counting one by one gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.prefix_counts import PrefixCounts

# Few entities and few bits that differ, so that much is shared.
ips = st.tuples(st.sampled_from([0, 0x0A000000, 0xC0A80000, 0xFFFFFF00]), st.integers(0, 2**18)).map(
    lambda parts: (parts[0] + parts[1]) % 2**32
)
rows = st.lists(st.tuples(st.sampled_from([3, 2**63, 2**64 - 1]), ips), min_size=1, max_size=40)


def history_of(pairs: list[tuple[int, int]]) -> PrefixCounts:
    """Return the counts of rows."""
    entities, addresses = zip(*pairs, strict=True)
    return PrefixCounts(Pairs(np.array(entities, dtype=np.uint64), np.array(addresses, dtype=np.uint32)))


def common_bits(one: int, other: int) -> int:
    """Return the number of leading bits that two addresses share."""
    return 32 - (one ^ other).bit_length()


class TestAgainstOneByOne:
    """Every count, of every entity and address, at every length."""

    @given(rows, rows, st.integers(1, 32), st.integers(0, 31))
    def test_counts(self, train: list[tuple[int, int]], asked: list[tuple[int, int]], length: int, parent: int) -> None:
        """Rows of an entity, of everybody, distinct networks, and the longest prefix."""
        history = history_of(train)
        known = [(entity, ip) for entity, ip in asked if entity in {entity for entity, _ in train}]
        if not known:
            return
        numbers = history.numbers(np.array([entity for entity, _ in known], dtype=np.uint64))
        addresses = np.array([ip for _, ip in known], dtype=np.uint32)
        own = [[ip for other, ip in train if other == entity] for entity, _ in known]
        assert history.counts(numbers, addresses, length).tolist() == [
            sum(common_bits(ip, other) >= length for other in others)
            for (_, ip), others in zip(known, own, strict=True)
        ]
        assert history.crowd_counts(addresses, length).tolist() == [
            sum(common_bits(ip, other) >= length for _, other in train) for _, ip in known
        ]
        child = max(parent, length)
        assert history.num_children(numbers, addresses, parent, child).tolist() == [
            len({other >> (32 - child) for other in others if common_bits(ip, other) >= parent})
            for (_, ip), others in zip(known, own, strict=True)
        ]
        assert history.longest_prefix(numbers, addresses).tolist() == [
            max(common_bits(ip, other) for other in others) for (_, ip), others in zip(known, own, strict=True)
        ]

    @given(rows)
    def test_rows(self, train: list[tuple[int, int]]) -> None:
        """Rows come back sorted by entity and address, and those of an entity lie together."""
        history = history_of(train)
        numbers, addresses = history.row(np.arange(len(history)))
        assert list(zip(history.entities[numbers].tolist(), addresses.tolist(), strict=True)) == sorted(train)
        low, high = history.rows_of(np.arange(len(history.entities)))
        assert (high - low).tolist() == np.bincount(numbers).tolist()


@pytest.mark.parametrize(("entity", "number"), [(5, 0), (7, 1), (6, -1), (0, -1), (2**64 - 1, -1)])
def test_unknown_entities(entity: int, number: int) -> None:
    """An entity that training never saw is -1, wherever its hash would lie."""
    assert history_of([(7, 1), (5, 1), (7, 2)]).numbers(np.array([entity], dtype=np.uint64)).tolist() == [number]
