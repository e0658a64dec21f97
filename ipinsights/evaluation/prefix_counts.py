"""Counts of training rows by entity and network, which need no model.

Every row of training becomes one number, the entity's in the upper half and the address in the lower. Once these are
sorted, the rows of an entity on a network of any length lie next to each other, and two binary searches count them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs

    Numbers = NDArray[np.int64]
    # (n,): IPv4 addresses (uint32), or upper halves of IPv6 addresses (uint64)
    Ips = NDArray[Any]

__all__ = ["Ipv6PrefixCounts", "PrefixCounts"]

_HALF = np.uint64(32)
_LOWER = np.uint64(2**32 - 1)


class PrefixCounts:
    """Counts of training rows, at least one, by entity and network.

    Entities go by number here: their index among the distinct ones in ``entities`` (hashes, ascending), -1 if training
    never saw them. The lower half of a row's number is the rank of its address among all IPv4 addresses: the address.
    """

    bits = 32

    def __init__(self, pairs: Pairs) -> None:
        self.entities, numbers = np.unique(pairs.entities, return_inverse=True)
        self._keys = np.sort(_keys(numbers, pairs.ips))

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, entities: NDArray[np.uint64]) -> Numbers:
        """Return the numbers of hashed entities (n,), -1 for unknown entities."""
        at = np.minimum(np.searchsorted(self.entities, entities), len(self.entities) - 1)
        return np.where(self.entities[at] == entities, at, -1)

    def row(self, indices: Numbers) -> tuple[Numbers, Ips]:
        """Return the entity and the address of rows by index, sorted by entity, then by address."""
        keys = self._keys[indices]
        return (keys >> _HALF).astype(np.int64), self._addresses(keys & _LOWER)

    def rows_of(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Return the begin and the end of the rows of each entity, shape (n,) each."""
        return self._starts[numbers], self._starts[numbers + 1]

    def counts(self, numbers: Numbers, ips: Ips, length: int) -> Numbers:
        """Return the number of rows of each known entity on the network of each address, (n,)."""
        low, high = self._between(numbers, ips, length)
        return high - low

    def crowd_counts(self, ips: Ips, length: int) -> Numbers:
        """Return the number of rows of all entities on the network of each address, shape (n,)."""
        # Binary searches in ascending order find what they need in the processor's cache.
        order = np.argsort(ips)
        low, high = (np.searchsorted(self._crowd, ranks) for ranks in self._ranks(ips[order], length))
        counts = np.empty(len(ips), dtype=np.int64)
        counts[order] = high - low
        return counts

    def num_children(self, numbers: Numbers, ips: Ips, length: int, child_length: int) -> Numbers:
        """Return the number of distinct subnetworks of each entity in the network of each address."""
        low, high = self._between(numbers, ips, length)
        num_before = self._num_networks(child_length)
        return np.where(high > low, num_before[high - 1] - num_before[np.minimum(low, len(self) - 1)] + 1, 0)

    def longest_prefix(self, numbers: Numbers, ips: Ips) -> Numbers:
        """Return the leading bits, 0 to ``bits``, shared with the entity's nearest address, (n,)."""
        at, _ = self._between(numbers, ips, self.bits)
        best = np.zeros(len(ips), dtype=np.int64)
        # Of all rows in order, the one before and the one after have the most in common.
        for index in (np.maximum(at - 1, 0), np.minimum(at, len(self) - 1)):
            owners, addresses = self.row(index)
            shared = self.bits - _num_bits((addresses ^ ips).astype(np.uint64))
            best = np.maximum(best, np.where(owners == numbers, shared, 0))
        return best

    def _ranks(self, ips: Ips, length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return how many addresses are below the network of each address, and up to its end."""
        low = ips.astype(np.uint64) >> np.uint64(self.bits - length) << np.uint64(self.bits - length)
        return low, low + np.uint64(2 ** (self.bits - length))

    def _addresses(self, ranks: NDArray[np.uint64]) -> Ips:
        return ranks.astype(np.uint32)

    def _between(self, numbers: Numbers, ips: Ips, length: int) -> tuple[Numbers, Numbers]:
        """Return the begin and the end of the rows of each entity on the network of each address."""
        ranks = self._ranks(ips, length)
        low, high = (np.searchsorted(self._keys, _keys(numbers, each)).astype(np.int64) for each in ranks)
        return low, high

    @cached_property
    def _crowd(self) -> NDArray[np.uint64]:
        return np.sort(self._keys & _LOWER)

    @cached_property
    def _starts(self) -> Numbers:
        firsts = np.arange(len(self.entities) + 1, dtype=np.uint64) << _HALF
        return np.searchsorted(self._keys, firsts).astype(np.int64)

    def _num_networks(self, length: int) -> Numbers:
        """Return the number of distinct (entity, network) pairs up to each row, less 1."""
        if length not in self._network_numbers:
            owners, addresses = self.row(np.arange(len(self)))
            networks = addresses >> (self.bits - length)
            begins = (networks[1:] != networks[:-1]) | (owners[1:] != owners[:-1])
            self._network_numbers[length] = np.concatenate([[0], np.cumsum(begins)])
        return self._network_numbers[length]

    @cached_property
    def _network_numbers(self) -> dict[int, Numbers]:
        return {}


class Ipv6PrefixCounts(PrefixCounts):
    """Counts of IPv6 training rows, at least one. Addresses are their upper halves.

    An entity and 64 bits do not fit into a number, so that a row is the entity with the rank of its /64 among those of
    training. ``lower`` are the lower halves of the addresses in the order of :meth:`row`.
    """

    bits = 64

    def __init__(self, pairs: Ipv6Pairs) -> None:
        self.entities, numbers = np.unique(pairs.entities, return_inverse=True)
        self._distinct, ranks = np.unique(pairs.upper, return_inverse=True)
        keys = _keys(numbers, ranks)
        order = np.argsort(keys, kind="stable")
        self._keys, self.lower = keys[order], pairs.lower[order]

    def _ranks(self, ips: Ips, length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        hosts = np.uint64(2 ** (self.bits - length) - 1)
        low, high = np.searchsorted(self._distinct, ips & ~hosts), np.searchsorted(self._distinct, ips | hosts, "right")
        return low.astype(np.uint64), high.astype(np.uint64)

    def _addresses(self, ranks: NDArray[np.uint64]) -> Ips:
        return self._distinct[ranks.astype(np.int64)]


def _keys(numbers: Numbers, ranks: Ips) -> NDArray[np.uint64]:
    return (numbers.astype(np.uint64) << _HALF) + ranks.astype(np.uint64)


def _num_bits(values: NDArray[np.uint64]) -> Numbers:
    """Return the bits of whole numbers (n,) without their leading zeros."""
    # The exponent of a float64 is the number of bits. In halves, because a float64 cannot hold 64 and might round up.
    upper, lower = (values >> _HALF).astype(np.float64), (values & _LOWER).astype(np.float64)
    return np.where(upper > 0, 32 + np.frexp(upper)[1], np.frexp(lower)[1]).astype(np.int64)
