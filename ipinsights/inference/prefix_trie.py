"""Trie of address prefixes over sorted rows, with one binary search per address.

Of all sorted addresses, the one before and the one after an address share the longest prefixes with it. So the nearer
of the two knows the node of every level that the address can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.history_settings import IPV4_LEVELS, IPV6_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Addresses = NDArray[np.uint32] | NDArray[np.uint64]

__all__ = ["IPV4", "IPV6", "AddressFamily", "Branches", "Found", "PrefixTrie"]

_OWNER_BITS = np.uint64(32)


@dataclass(frozen=True)
class AddressFamily:
    """An address family and the prefix lengths at which histories count."""

    bits: int  # bits of an address that are kept
    levels: tuple[int, ...]  # prefix lengths, ascending from 0 to ``bits``

    def num_shared(self, difference: Addresses) -> NDArray[np.int8]:
        """Return how many levels two addresses share, from their exclusive or, both (n,)."""
        kind = difference.dtype.type
        shared = np.zeros(len(difference), dtype=np.int8)
        for level in self.levels:
            shared += difference <= kind(2 ** (self.bits - level) - 1)
        return shared


IPV4 = AddressFamily(32, IPV4_LEVELS)
IPV6 = AddressFamily(64, IPV6_LEVELS)


@dataclass(frozen=True)
class Found:
    """Where some addresses are in a trie."""

    rows: NDArray[np.int64]  # row with the longest common prefix, any row if no prefix is shared, shape (n,)
    num_levels: NDArray[np.int8]  # levels that the address shares with the row, 0 if the owner has no row, shape (n,)


@dataclass(frozen=True)
class Branches:
    """Shared prefixes of one level, and the prefixes of the next level inside each of them."""

    level: int  # index of the level
    starts: NDArray[np.int64]  # first row of each prefix, shape (num_nodes,)
    ends: NDArray[np.int64]  # row after its last
    inner_starts: NDArray[np.int64]  # the same of the prefixes of the next level inside, shape (num_inner,)
    inner_ends: NDArray[np.int64]
    firsts: NDArray[np.int64]  # index of the first of these inside each prefix, shape (num_nodes,)

    @property
    def num_inside(self) -> NDArray[np.int64]:
        """Number of prefixes of the next level inside each prefix, shape (num_nodes,)."""
        return np.diff(self.firsts, append=len(self.inner_starts))


class PrefixTrie:
    """Trie of the rows of one owner, or of many. There is at least one row.

    ``addresses`` (n,) are distinct and ascending for each owner. ``owners`` are their numbers, ascending, and ``ranks``
    the ranks of the addresses among the distinct ones of all owners, shape (n,). Both are None if there is one owner.

    ``nodes`` (n, num_levels - 1) are the indices of the line of each row in the table of each level but the last. An
    index is the number of a node that several rows share. A row that is alone has one negative index at all further
    levels.
    """

    def __init__(
        self,
        family: AddressFamily,
        addresses: Addresses,
        owners: NDArray[np.int64] | None = None,
        ranks: NDArray[np.int64] | None = None,
    ) -> None:
        self.family = family
        self.addresses = addresses
        self._keys = None if owners is None or ranks is None else _keys(owners, ranks)
        self.nodes = np.empty((len(addresses), len(family.levels) - 1), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.addresses)

    def shared_levels(self) -> NDArray[np.int8]:
        """Return how many levels each row shares with the row before, shape (n,)."""
        shared = np.zeros(len(self), dtype=np.int8)
        shared[1:] = self.family.num_shared(self.addresses[1:] ^ self.addresses[:-1])
        if self._keys is not None:
            owners = (self._keys >> _OWNER_BITS).astype(np.uint32)
            shared[1:] *= owners[1:] == owners[:-1]
        return shared

    def branches(self, shared: NDArray[np.int8], alone: NDArray[np.int32]) -> Iterator[Branches]:
        """Set the nodes, and yield the prefixes that several rows share, the shortest first.

        ``shared`` is what :meth:`shared_levels` returns, ``alone`` the negative index of each row where it is alone,
        (n,).
        """
        self.nodes[:] = alone[:, np.newaxis]
        rows = np.arange(len(self))
        for level in range(len(self.family.levels) - 1):
            begins = np.flatnonzero(shared[rows] <= level)
            sizes = np.diff(begins, append=len(rows))
            is_shared = sizes > 1
            starts, rows = rows[begins[is_shared]], rows[np.repeat(is_shared, sizes)]
            sizes = sizes[is_shared]
            self.nodes[rows, level] = np.repeat(np.arange(len(starts), dtype=np.int32), sizes)
            inner = np.flatnonzero(shared[rows] <= level + 1)
            inner_starts = rows[inner]
            inner_ends = inner_starts + np.diff(inner, append=len(rows))
            firsts = np.searchsorted(inner, np.cumsum(sizes) - sizes)
            yield Branches(level, starts, starts + sizes, inner_starts, inner_ends, firsts)

    def find(self, addresses: Addresses, ranks: NDArray[np.int64], owners: NDArray[np.int64] | None = None) -> Found:
        """Find the row with the longest common prefix of each address (n,).

        ``ranks`` (n,) are the numbers of distinct addresses of all owners that are less. ``owners`` (n,) are whose rows
        to look for, None if there is one. The search is fast if they are sorted.
        """
        at = ranks if self._keys is None or owners is None else np.searchsorted(self._keys, _keys(owners, ranks))
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(self) - 1)
        shared_before = self._num_shared(before, addresses, owners)
        shared_after = self._num_shared(after, addresses, owners)
        rows = np.where(shared_before > shared_after, before, after)
        return Found(rows, np.maximum(shared_before, shared_after))

    def nodes_of(self, found: Found) -> NDArray[np.int32]:
        """Return the node at each level but the last, -1 without a node, (num_levels - 1, n)."""
        nodes = np.ascontiguousarray(self.nodes.take(found.rows, axis=0).T)
        levels = np.arange(len(nodes), dtype=np.int8)[:, np.newaxis]
        np.putmask(nodes, levels >= found.num_levels, -1)
        return nodes

    def _num_shared(
        self, rows: NDArray[np.int64], addresses: Addresses, owners: NDArray[np.int64] | None
    ) -> NDArray[np.int8]:
        shared = self.family.num_shared(self.addresses.take(rows) ^ addresses)
        if self._keys is not None and owners is not None:
            shared *= (self._keys.take(rows) >> _OWNER_BITS).astype(np.int64) == owners
        return shared


def _keys(owners: NDArray[np.int64], ranks: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (owners.astype(np.uint64) << _OWNER_BITS) | ranks.astype(np.uint64)
