"""Counting by binary search gives what counting one by one gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.ipv6 import Ipv6Pairs
from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.prefix_counts import Ipv6PrefixCounts, PrefixCounts

Rows = list[tuple[int, int]]

# Few entities and few bits that differ, so that much is shared.
entities = st.sampled_from([3, 2**63, 2**64 - 1])
ips = st.tuples(st.sampled_from([0, 0x0A000000, 0xC0A80000, 0xFFFFFF00]), st.integers(0, 2**18)).map(
    lambda parts: (parts[0] + parts[1]) % 2**32
)
upper = st.tuples(st.sampled_from([0, 0x2A00 << 48, 2**64 - 2**40]), st.integers(0, 2**40 - 1)).map(sum)
RANDOM_ROWS = {
    family: st.lists(st.tuples(entities, addresses), min_size=1, max_size=40)
    for family, addresses in ((PrefixCounts, ips), (Ipv6PrefixCounts, upper))
}


def history_of(pairs: Rows, family: type[PrefixCounts] = PrefixCounts) -> PrefixCounts:
    """Return the counts of rows. Lower halves of IPv6 addresses are the places of the rows."""
    hashes, addresses = (np.array([pair[part] for pair in pairs], dtype=np.uint64) for part in (0, 1))
    if family is Ipv6PrefixCounts:
        return Ipv6PrefixCounts(Ipv6Pairs(hashes, addresses, np.arange(len(pairs), dtype=np.uint64)))
    return PrefixCounts(Pairs(hashes, addresses.astype(np.uint32)))


@pytest.mark.parametrize("family", [PrefixCounts, Ipv6PrefixCounts])
class TestAgainstOneByOne:
    """Every count, of every entity and address, at every length."""

    @given(data=st.data())
    def test_counts(self, family: type[PrefixCounts], data: st.DataObject) -> None:
        """Rows of an entity, of everybody, distinct networks, and the longest prefix."""
        bits, rows = family.bits, RANDOM_ROWS[family]
        train, asked = data.draw(rows), data.draw(rows)
        length, parent = data.draw(st.integers(1, bits)), data.draw(st.integers(0, bits - 1))
        history = history_of(train, family)
        known = [(entity, ip) for entity, ip in asked if entity in {entity for entity, _ in train}]
        if not known:
            return

        def common_bits(one: int, other: int) -> int:
            return bits - (one ^ other).bit_length()

        numbers = history.numbers(np.array([entity for entity, _ in known], dtype=np.uint64))
        addresses = np.array([ip for _, ip in known], dtype=np.uint32 if bits == 32 else np.uint64)
        own = [(address, [ip for other, ip in train if other == entity]) for entity, address in known]
        assert history.counts(numbers, addresses, length).tolist() == [
            sum(common_bits(ip, other) >= length for other in others) for ip, others in own
        ]
        assert history.crowd_counts(addresses, length).tolist() == [
            sum(common_bits(ip, other) >= length for _, other in train) for _, ip in known
        ]
        child = max(parent, length)
        assert history.num_children(numbers, addresses, parent, child).tolist() == [
            len({other >> (bits - child) for other in others if common_bits(ip, other) >= parent}) for ip, others in own
        ]
        assert history.longest_prefix(numbers, addresses).tolist() == [
            max(common_bits(ip, other) for other in others) for ip, others in own
        ]

    @given(data=st.data())
    def test_rows(self, family: type[PrefixCounts], data: st.DataObject) -> None:
        """Rows come back sorted by entity and address, and those of an entity lie together."""
        train = data.draw(RANDOM_ROWS[family])
        history = history_of(train, family)
        numbers, addresses = history.row(np.arange(len(history)))
        found = list(zip(history.entities[numbers].tolist(), addresses.tolist(), strict=True))
        assert found == sorted(train)
        low, high = history.rows_of(np.arange(len(history.entities)))
        assert (high - low).tolist() == np.bincount(numbers).tolist()
        if isinstance(history, Ipv6PrefixCounts):
            assert [train[place] for place in history.lower.tolist()] == found


@pytest.mark.parametrize(("entity", "number"), [(5, 0), (7, 1), (6, -1), (0, -1), (2**64 - 1, -1)])
def test_unknown_entities(entity: int, number: int) -> None:
    """An entity that training never saw is -1, wherever its hash would lie."""
    assert history_of([(7, 1), (5, 1), (7, 2)]).numbers(np.array([entity], dtype=np.uint64)).tolist() == [number]
