"""Counting of pairs: rows in any order to sorted distinct rows with their counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Addresses = NDArray[np.uint32] | NDArray[np.uint64]
    CountedPairs = tuple[NDArray[np.uint64], Addresses, NDArray[Any] | None]

__all__ = ["LARGEST_COUNT", "concatenate", "count_rows", "hash_numbers", "numbered", "without"]

LARGEST_COUNT = 2**32 - 1
"""Larger counts are kept as this one."""
_LOWER_HALF = np.uint64(2**32 - 1)
_UPPER_HALF = np.uint64(32)


def numbered(entities: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct entities, ascending, and the index of each entity among them.

    The result is that of ``np.unique`` with ``return_inverse=True``.
    """
    import pandas as pd  # its hash table is faster than sorting all rows

    codes, distinct = pd.factorize(entities)
    order = np.argsort(distinct)
    numbers = np.empty(len(distinct), dtype=np.int64)
    numbers[order] = np.arange(len(distinct))
    return distinct[order], numbers[codes]


def count_rows(
    numbers: NDArray[np.int64], addresses: Addresses, counts: NDArray[Any] | None, num_entities: int
) -> tuple[NDArray[np.uint32], Addresses, NDArray[np.uint32]]:
    """Return starts, addresses and summed counts of the distinct rows, sorted."""
    keys, distinct = _keys(numbers, addresses)
    keys, sums = _distinct_keys(keys) if counts is None else _summed(keys, counts)
    first_keys = np.arange(num_entities + 1, dtype=np.uint64) << _UPPER_HALF
    lower = keys & _LOWER_HALF
    return (
        np.searchsorted(keys, first_keys).astype(np.uint32),
        lower.astype(np.uint32) if distinct is None else distinct[lower.astype(np.int64)],
        np.minimum(sums, LARGEST_COUNT).astype(np.uint32),
    )


def _distinct_keys(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and how often each occurs."""
    keys.sort()
    begins = _begins(keys)
    return keys[begins], np.diff(begins, append=len(keys))


def _summed(keys: NDArray[np.uint64], counts: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and the sum of the counts of each."""
    # Of two histories that are sorted already, a stable sort merges the runs.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = _begins(keys)
    sums = np.add.reduceat(counts[order].astype(np.int64), begins) if len(keys) else begins
    return keys[begins], sums


def _begins(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.concatenate([np.ones(min(len(keys), 1), dtype=bool), keys[1:] != keys[:-1]]))


def _keys(numbers: NDArray[np.int64], addresses: Addresses) -> tuple[NDArray[np.uint64], NDArray[np.uint64] | None]:
    """Return sort keys of entity and address, and the distinct addresses if addresses are long.

    An entity and 64 bits of an address do not fit into 64 bits. The rank of the address among the distinct ones does.
    """
    upper = numbers.astype(np.uint64) << _UPPER_HALF
    if addresses.dtype == np.uint32:
        return upper | addresses, None
    distinct, ranks = np.unique(addresses.astype(np.uint64), return_inverse=True)
    return upper | ranks.astype(np.uint64), distinct


def concatenate(parts: list[CountedPairs]) -> CountedPairs:
    """Return the pairs of all parts, one after another."""
    entities, addresses, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return entities, addresses, counts


def without(rows: CountedPairs, entity: int) -> CountedPairs:
    """Return counted pairs without those of an entity, given its hash."""
    entities, addresses, counts = rows
    assert counts is not None
    kept = entities != np.uint64(entity)
    return entities[kept], addresses[kept], counts[kept]


def hash_numbers(numbers: Addresses) -> NDArray[np.uint64]:
    """Return the hash of each number by the finalizer of SplitMix64, which hides its prefix."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
