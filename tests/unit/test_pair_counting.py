"""Counting of pairs against Python's counter."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.pair_counting import concatenate, count_rows, hash_numbers, numbered, without

ENTITIES = st.lists(st.integers(0, 2**64 - 1), max_size=3).flatmap(
    lambda few: st.lists(st.sampled_from([0, 2**64 - 1, *few]), max_size=20)
)
COUNTED = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(1, 2**32 - 1)), max_size=20
)


@given(ENTITIES)
def test_entities_are_numbered_as_numpy_does(entities: list[int]) -> None:
    """Ascending, each once, with the number of each row."""
    array = np.array(entities, dtype=np.uint64)
    distinct, numbers = numbered(array)
    expected, inverse = np.unique(array, return_inverse=True)
    assert distinct.tolist() == expected.tolist()
    assert numbers.tolist() == inverse.tolist()


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
@given(rows=COUNTED)
def test_counts_of_equal_rows_are_added(kind: type, rows: list[tuple[int, int, int]]) -> None:
    """Up to the largest count that 32 bits hold, in the order of entity and address."""
    sums: Counter[tuple[int, int]] = Counter()
    # The upper half of an IPv6 address has 64 bits.
    shift = 0 if kind is np.uint32 else 32
    for number, address, count in rows:
        sums[number, address << shift] += count
    numbers, addresses, counts = (np.array([row[part] for row in rows], dtype=np.uint64) for part in range(3))
    starts, found, totals = count_rows(
        numbers.astype(np.int64), (addresses << np.uint64(shift)).astype(kind), counts.astype(np.uint32), 4
    )
    owners = [owner for owner in range(4) for _ in range(starts[owner], starts[owner + 1])]
    assert found.dtype == kind
    assert list(zip(owners, found.tolist(), totals.tolist(), strict=True)) == [
        (*pair, min(total, 2**32 - 1)) for pair, total in sorted(sums.items())
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=20))
def test_rows_without_counts_count_once(rows: list[tuple[int, int]]) -> None:
    """Rows without counts are counted as with counts of 1."""
    numbers, addresses = (np.array([row[part] for row in rows], dtype=kind) for part, kind in ((0, "i8"), (1, "u4")))
    once = count_rows(numbers, addresses, None, 4)
    ones = count_rows(numbers, addresses, np.ones(len(rows), dtype=np.uint32), 4)
    assert [array.tolist() for array in once] == [array.tolist() for array in ones]


def test_parts_and_their_rest() -> None:
    """Parts stand one after another, and an entity is removed wherever it stands."""
    rows = (np.array([1, 2], dtype=np.uint64), np.array([5, 6], dtype=np.uint32), np.array([7, 8]))
    whole = concatenate([rows, rows])
    assert [array.tolist() for array in whole if array is not None] == [[1, 2, 1, 2], [5, 6, 5, 6], [7, 8, 7, 8]]
    assert [array.tolist() for array in without(whole, 1) if array is not None] == [[2, 2], [6, 6], [8, 8]]


def test_mixing_is_that_of_splitmix64() -> None:
    """Mixed numbers are the first three published outputs of SplitMix64.

    The state of the generator starts at 1234567 and increases by a constant.
    """
    state = np.array([1234567], dtype=np.uint64) + np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert hash_numbers(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
