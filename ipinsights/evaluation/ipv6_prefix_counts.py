"""Counts of IPv6 training rows by entity and network, down to the /64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.evaluation.prefix_counts import PrefixCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Pairs

__all__ = ["Ipv6PrefixCounts"]

_BITS = 64
_RANK_BITS = np.uint64(32)
_RANK = np.uint64(2**32 - 1)


class Ipv6PrefixCounts(PrefixCounts):
    """Counts of IPv6 training rows. Addresses are their upper halves.

    An entity and 64 bits do not fit into a number, so that a row is the entity with the rank of its /64.

    Parameters
    ----------
    rows
        Training rows, at least one.

    Attributes
    ----------
    lower
        Lower halves of the addresses in the order of :meth:`row`, shape (num_rows,).
    """

    def __init__(self, rows: Ipv6Pairs) -> None:
        self.entities, numbers = np.unique(rows.entities, return_inverse=True)
        self._distinct, ranks = np.unique(rows.upper, return_inverse=True)
        keys = (numbers.astype(np.uint64) << _RANK_BITS) | ranks.astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        self._keys, self.lower = keys[order], rows.lower[order]
        self._ranks = np.sort(ranks)

    def row(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:  # type: ignore[override]
        """Return the entity and the /64 of rows by index, sorted by entity, then by address."""
        keys = self._keys[places]
        return (keys >> _RANK_BITS).astype(np.int64), self._distinct[(keys & _RANK).astype(np.int64)]

    def counts(  # type: ignore[override]
        self, numbers: NDArray[np.int64], ips: NDArray[np.uint64], length: int
    ) -> NDArray[np.int64]:
        """Return the number of rows of each entity on the network of each address, shape (n,)."""
        low, high = self._between(numbers, ips, length)
        return high - low

    def crowd_counts(self, ips: NDArray[np.uint64], length: int) -> NDArray[np.int64]:  # type: ignore[override]
        """Return the number of rows of everybody on the network of each address, shape (n,)."""
        low, high = self._ranks_between(ips, length)
        return np.searchsorted(self._ranks, high) - np.searchsorted(self._ranks, low)

    def num_children(  # type: ignore[override]
        self, numbers: NDArray[np.int64], ips: NDArray[np.uint64], length: int, child_length: int
    ) -> NDArray[np.int64]:
        """Return the number of distinct subnetworks of each entity in the network of each address."""
        low, high = self._between(numbers, ips, length)
        num_before = self._num_networks(child_length)
        return np.where(high > low, num_before[high - 1] - num_before[np.minimum(low, len(self) - 1)] + 1, 0)

    def longest_prefix(  # type: ignore[override]
        self, numbers: NDArray[np.int64], ips: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Return the leading bits, 0 to 64, shared with the entity's nearest address, (n,)."""
        rank = np.searchsorted(self._distinct, ips).astype(np.uint64)
        at = np.searchsorted(self._keys, (numbers.astype(np.uint64) << _RANK_BITS) | rank)
        best = np.zeros(len(ips), dtype=np.int64)
        for place in (np.maximum(at - 1, 0), np.minimum(at, len(self) - 1)):
            owner, address = self.row(place)
            best = np.maximum(best, np.where(owner == numbers, _shared_bits(address ^ ips), 0))
        return best

    def _ranks_between(self, ips: NDArray[np.uint64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many distinct /64 are below the network of each address, and up to its end."""
        hosts = np.uint64(2 ** (_BITS - length) - 1)
        low = np.searchsorted(self._distinct, ips & ~hosts, side="left")
        return low.astype(np.int64), np.searchsorted(self._distinct, ips | hosts, side="right").astype(np.int64)

    def _between(
        self, numbers: NDArray[np.int64], ips: NDArray[np.uint64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        upper = numbers.astype(np.uint64) << _RANK_BITS
        ranks = self._ranks_between(ips, length)
        low, high = (np.searchsorted(self._keys, upper | rank.astype(np.uint64)).astype(np.int64) for rank in ranks)
        return low, high

    def _num_networks(self, length: int) -> NDArray[np.int64]:
        if length not in self._network_numbers:
            owners, addresses = self.row(np.arange(len(self)))
            networks = addresses >> np.uint64(_BITS - length)
            begins = (networks[1:] != networks[:-1]) | (owners[1:] != owners[:-1])
            self._network_numbers[length] = np.concatenate([[0], np.cumsum(begins)])
        return self._network_numbers[length]


def _shared_bits(differing: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the leading zeros of numbers of 64 bits."""
    # Halves, because a float64 cannot hold 64 bits and might round to one more.
    upper, lower = (differing >> np.uint64(32)).astype(np.float64), (differing & _RANK).astype(np.float64)
    num_bits = np.where(upper > 0, 32 + np.frexp(upper)[1], np.frexp(lower)[1])
    return _BITS - num_bits.astype(np.int64)
