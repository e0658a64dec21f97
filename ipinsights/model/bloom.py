"""A set of hashes in little memory: the entities that a model knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["BloomFilter"]

_NUM_PROBES = 4
# The probes of a piece take 60 bytes a hash. Of a large file's rows that would be more than the rows.
_HASHES_AT_A_TIME = 2**20
# Of each byte.
_NUM_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(axis=1, dtype=np.uint8)


@dataclass(frozen=True)
class BloomFilter:
    """Bloom filter of 64-bit hashes: all members are found, and a small share of other hashes.

    With n hashes in b bytes that share is (1 - exp(-n / 2b)) ** 4: 0.2 % at two bytes a hash, 2.4 % at one. ``bits``
    has eight bits in each byte, the least significant one first, (b,).

    Sources: Bloom (1970), "Space/time trade-offs in hash coding with allowable errors"; Kirsch and Mitzenmacher
    (2006), "Less hashing, same performance", for probes that come from one hash.
    """

    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], num_bytes: int) -> BloomFilter:
        """Return the filter of hashes (n,) with ``num_bytes`` bytes, at least one."""
        import pandas as pd  # takes long to import, and who scores makes no filter

        bits = np.zeros(num_bytes, dtype=np.uint8)
        for start in range(0, len(hashes), _HASHES_AT_A_TIME):
            # unique by hashing, not by sorting
            for indices, masks in _probes(pd.unique(hashes[start : start + _HASHES_AT_A_TIME]), num_bytes):
                np.bitwise_or.at(bits, indices, masks)
        return cls(bits)

    def contain(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether each hash (n,) is in the filter, with false positives, shape (n,)."""
        found = np.ones(len(hashes), dtype=bool)
        for indices, masks in _probes(hashes, len(self.bits)):
            found &= (self.bits[indices] & masks) != 0
        return found

    def __or__(self, other: BloomFilter) -> BloomFilter:
        """Return the union of two filters of the same size."""
        return BloomFilter(self.bits | other.bits)

    def estimate_count(self) -> int:
        """Estimate the number of hashes from the share of bits that are set.

        The estimate is close unless the filter is nearly full.
        """
        num_bits = 8 * len(self.bits)
        num_clear = max(1, num_bits - int(_NUM_ONES[self.bits].sum(dtype=np.int64)))
        return round(-num_bits / _NUM_PROBES * math.log(num_clear / num_bits))


def _probes(hashes: NDArray[np.uint64], num_bytes: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield the byte index and the bit mask of each probe of the hashes, (n,) each."""
    # odd, so that it is never zero
    step = hashes >> np.uint64(32) | np.uint64(1)
    for probe in range(_NUM_PROBES):
        bit = (hashes + np.uint64(probe) * step) % np.uint64(8 * num_bytes)
        yield (bit >> np.uint64(3)).astype(np.intp), np.uint8(1) << (bit & np.uint64(7)).astype(np.uint8)
