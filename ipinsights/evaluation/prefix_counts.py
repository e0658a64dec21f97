"""Who was seen on which network, and how often: what anybody could know without a model.

Every row of training becomes one number, the entity's in the upper half and the address in the lower. Once these are
sorted, the rows of an entity on a network of any length lie next to each other, and two binary searches count them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs

__all__ = ["PrefixCounts"]

_ADDRESS_BITS = 32
_ADDRESS = np.uint64(2**32 - 1)


class PrefixCounts:
    """Counts of training rows by entity and network.

    Entities go by number here: their place among the distinct ones, -1 if training never saw them.

    Parameters
    ----------
    pairs
        Training rows, at least one.

    Attributes
    ----------
    entities
        Hashes of the distinct entities, ascending, shape (num_entities,).
    """

    def __init__(self, pairs: Pairs) -> None:
        self.entities, numbers = np.unique(pairs.entities, return_inverse=True)
        self._keys = np.sort(_keys(numbers, pairs.ips))

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, entities: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the numbers of hashed entities (n,), -1 for unknown entities."""
        at = np.minimum(np.searchsorted(self.entities, entities), len(self.entities) - 1)
        numbers: NDArray[np.int64] = np.where(self.entities[at] == entities, at, -1)
        return numbers

    def row(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Return the entity and the address of rows by index, sorted by entity, then by address."""
        keys = self._keys[places]
        return (keys >> np.uint64(_ADDRESS_BITS)).astype(np.int64), (keys & _ADDRESS).astype(np.uint32)

    def rows_of(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the begin and the end of the rows of each entity, shape (n,) each."""
        return self._starts[numbers], self._starts[numbers + 1]

    def counts(self, numbers: NDArray[np.int64], ips: NDArray[np.uint32], length: int) -> NDArray[np.int64]:
        """Return the number of rows of each entity on the network of each address.

        Parameters
        ----------
        numbers, ips
            Entities, none of them unknown, and addresses, shape (n,).
        length
            Prefix length of the network, 1 to 32.

        Returns
        -------
        NDArray[np.int64]
            Shape (n,).
        """
        low, high = _network(self._keys, _keys(numbers, ips), length)
        return high - low

    def crowd_counts(self, ips: NDArray[np.uint32], length: int) -> NDArray[np.int64]:
        """Return the number of rows of all entities on the network of each address, shape (n,)."""
        # Binary searches in ascending order find what they need in the processor's cache.
        order = np.argsort(ips)
        low, high = _network(self._crowd, ips[order].astype(np.uint64), length)
        counts = np.empty(len(ips), dtype=np.int64)
        counts[order] = high - low
        return counts

    def num_children(
        self, numbers: NDArray[np.int64], ips: NDArray[np.uint32], length: int, child_length: int
    ) -> NDArray[np.int64]:
        """Return the number of distinct subnetworks of each entity in the network of each address.

        Parameters
        ----------
        numbers, ips
            As in :meth:`counts`.
        length, child_length
            Prefix lengths of the network, 0 to 32, and of the smaller ones in it.

        Returns
        -------
        NDArray[np.int64]
            Shape (n,).
        """
        low, high = _network(self._keys, _keys(numbers, ips), length)
        num_before = self._num_networks(child_length)
        return np.where(high > low, num_before[high - 1] - num_before[np.minimum(low, len(self) - 1)] + 1, 0)

    def longest_prefix(self, numbers: NDArray[np.int64], ips: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the leading bits, 0 to 32, shared with the entity's nearest address, (n,)."""
        keys = _keys(numbers, ips)
        at = np.searchsorted(self._keys, keys)
        last = len(self) - 1
        # Of all keys in order, the one before and the one after have the most in common.
        differing = np.minimum(self._keys[np.maximum(at - 1, 0)] ^ keys, self._keys[np.minimum(at, last)] ^ keys)
        # The exponent of a float64 is the number of bits of a whole number: exact, these have at most 53 that differ.
        num_bits = np.frexp(np.minimum(differing, 2**_ADDRESS_BITS - 1).astype(np.float64))[1]
        lengths: NDArray[np.int64] = (_ADDRESS_BITS - num_bits).astype(np.int64)
        return lengths

    @cached_property
    def _crowd(self) -> NDArray[np.uint64]:
        return np.sort(self._keys & _ADDRESS)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        firsts = np.arange(len(self.entities) + 1, dtype=np.uint64) << np.uint64(_ADDRESS_BITS)
        return np.searchsorted(self._keys, firsts).astype(np.int64)

    def _num_networks(self, length: int) -> NDArray[np.int64]:
        """Return the number of distinct (entity, network) pairs up to each row, less 1."""
        if length not in self._network_numbers:
            networks = self._keys >> np.uint64(_ADDRESS_BITS - length)
            begins = networks[1:] != networks[:-1]
            self._network_numbers[length] = np.concatenate([[0], np.cumsum(begins)])
        return self._network_numbers[length]

    @cached_property
    def _network_numbers(self) -> dict[int, NDArray[np.int64]]:
        return {}


def _keys(numbers: NDArray[np.int64], ips: NDArray[np.uint32]) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = (numbers.astype(np.uint64) << np.uint64(_ADDRESS_BITS)) | ips
    return keys


def _network(
    keys: NDArray[np.uint64], asked: NDArray[np.uint64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the begin and the end, in sorted keys, of the network of each key (n,)."""
    hosts = np.uint64(2 ** (_ADDRESS_BITS - length) - 1)
    low = np.searchsorted(keys, asked & ~hosts, side="left")
    high = np.searchsorted(keys, asked | hosts, side="right")
    return low.astype(np.int64), high.astype(np.int64)
