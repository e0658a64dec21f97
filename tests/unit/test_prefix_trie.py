"""A trie finds the longest common prefix of every address, and the rows that share a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.inference.prefix_trie import IPV4, IPV6, AddressFamily, PrefixTrie

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Addresses = NDArray[np.uint32] | NDArray[np.uint64]

EDGES = {IPV4: [0, 2**32 - 1, 0x0A000000], IPV6: [0, 2**64 - 1, 0xFFFF << 48]}


def addresses_of(family: AddressFamily) -> st.SearchStrategy[int]:
    """Return a strategy for addresses that share much, with both ends of the address space."""
    near = st.tuples(st.sampled_from(EDGES[family]), st.integers(0, 2**family.bits - 1), st.integers(0, family.bits))
    return near.map(lambda parts: (parts[0] ^ (parts[1] >> parts[2])) % 2**family.bits)


def array_of(family: AddressFamily, numbers: list[int]) -> Addresses:
    """Return addresses as a history keeps them."""
    return np.array(numbers, dtype=np.uint32) if family is IPV4 else np.array(numbers, dtype=np.uint64)


def trie_of(family: AddressFamily, rows: list[tuple[int, int]]) -> tuple[PrefixTrie, Addresses]:
    """Return the trie of sorted distinct rows, and the distinct addresses."""
    owners, addresses = np.array([row[0] for row in rows]), array_of(family, [row[1] for row in rows])
    distinct = array_of(family, sorted({row[1] for row in rows}))
    columns = np.asarray(np.searchsorted(distinct, addresses))
    return PrefixTrie(family, addresses, owners, columns), distinct


def shared_levels(family: AddressFamily, one: int, other: int) -> int:
    """Return how many levels two addresses share."""
    bits = family.bits - (one ^ other).bit_length()
    return sum(level <= bits for level in family.levels)


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
class TestAgainstOneByOne:
    """Every row of every owner."""

    @given(data=st.data())
    def test_find(self, family: AddressFamily, data: st.DataObject) -> None:
        """The row that is found shares the most levels with the address, of all rows of the owner."""
        pairs = st.tuples(st.integers(0, 2), addresses_of(family))
        rows = sorted(set(data.draw(st.lists(pairs, min_size=1, max_size=20))))
        asked = data.draw(st.lists(st.tuples(st.integers(0, 3), addresses_of(family)), min_size=1, max_size=10)) + rows
        trie, distinct = trie_of(family, rows)
        owners, addresses = np.array([each[0] for each in asked]), array_of(family, [each[1] for each in asked])
        found = trie.find(addresses, np.searchsorted(distinct, addresses), owners)
        best = [
            max((shared_levels(family, address, other) for who, other in rows if who == owner), default=0)
            for owner, address in asked
        ]
        assert found.num_levels.tolist() == best
        for row, (owner, address), levels in zip(found.rows.tolist(), asked, best, strict=True):
            assert levels == 0 or (rows[row][0] == owner and shared_levels(family, address, rows[row][1]) == levels)

    @given(data=st.data())
    def test_branches(self, family: AddressFamily, data: st.DataObject) -> None:
        """A node is a prefix that several rows of an owner share. What is inside is listed in order."""
        pairs = st.tuples(st.integers(0, 2), addresses_of(family))
        rows = sorted(set(data.draw(st.lists(pairs, min_size=1, max_size=20))))
        trie, _ = trie_of(family, rows)
        alone = -2 - np.arange(len(rows), dtype=np.int32)
        levels = [(level, branch) for level, branch in enumerate(trie.branches(trie.shared_levels(), alone))]
        for level, branch in levels:
            prefixes = [(owner, address >> (family.bits - family.levels[level])) for owner, address in rows]
            inner = [(owner, address >> (family.bits - family.levels[level + 1])) for owner, address in rows]
            shared = [prefix for prefix in dict.fromkeys(prefixes) if prefixes.count(prefix) > 1]
            assert branch.level == level
            assert branch.starts.tolist() == [prefixes.index(prefix) for prefix in shared]
            assert (branch.ends - branch.starts).tolist() == [prefixes.count(prefix) for prefix in shared]
            assert branch.num_inside.tolist() == [
                len({child for child, parent in zip(inner, prefixes, strict=True) if parent == prefix})
                for prefix in shared
            ]
            assert trie.nodes[:, level].tolist() == [
                shared.index(prefix) if prefix in shared else -2 - row for row, prefix in enumerate(prefixes)
            ]

    def test_levels_at_both_ends(self, family: AddressFamily) -> None:
        """The lowest and the highest address share the root only, and each all its own levels."""
        differences = array_of(family, [0, 1, 2**family.bits - 1])
        assert family.num_shared(differences).tolist() == [len(family.levels), len(family.levels) - 1, 1]
