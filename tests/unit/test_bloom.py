"""A set of hashes in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model import bloom
from ipinsights.model.bloom import BloomFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=50).map(lambda numbers: np.array(numbers, dtype=np.uint64))
SIZES = st.integers(1, 100)


class TestBloomFilter:
    """What is in it, what seems to be, and how much."""

    def test_four_bits_are_set_as_worked_out_by_hand(self) -> None:
        """The hash 5 * 2**32 + 3 has step 5 and sets the bits 3, 8, 13 and 18 - 16 of 16.

        2**32 is a multiple of 16.
        """
        found = BloomFilter.of(np.array([5 * 2**32 + 3], dtype=np.uint64), 2)
        assert found.bits.tolist() == [2**3 + 2**2, 2**0 + 2**5]

    @given(HASHES, SIZES)
    def test_what_is_in_it_is_found(self, hashes: NDArray[np.uint64], size: int) -> None:
        """Every member is found, however small the filter is."""
        assert BloomFilter.of(hashes, size).contain(hashes).all()

    @given(HASHES, HASHES, SIZES)
    def test_the_filter_of_both_is_that_of_either_and_the_other(
        self, some: NDArray[np.uint64], others: NDArray[np.uint64], size: int
    ) -> None:
        """The union has the same bits as the filter of all hashes, whichever occur twice."""
        together = BloomFilter.of(np.concatenate([some, others, some]), size)
        assert (BloomFilter.of(some, size) | BloomFilter.of(others, size)).bits.tolist() == together.bits.tolist()

    def test_many_hashes_are_taken_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pieces of 99 hashes make the same filter as all at once."""
        hashes = np.random.default_rng(3).integers(2**64, size=1000, dtype=np.uint64)
        whole = BloomFilter.of(hashes, 500).bits.tolist()
        monkeypatch.setattr(bloom, "_HASHES_AT_A_TIME", 99)
        assert BloomFilter.of(hashes, 500).bits.tolist() == whole

    def test_nothing_is_in_an_empty_one(self) -> None:
        """A filter without hashes contains none, not even zero."""
        empty = BloomFilter.of(np.array([], dtype=np.uint64), 3)
        assert not empty.contain(np.array([0, 1, 2**64 - 1], dtype=np.uint64)).any()

    @pytest.mark.parametrize(("bytes_per_hash", "share"), [(1, 0.0240), (2, 0.0024), (4, 0.00019)])
    def test_few_of_the_others_seem_to_be_in_it(
        self, bytes_per_hash: int, share: float, rng: np.random.Generator
    ) -> None:
        """The share of false positives is (1 - exp(-n / 2b)) ** 4."""
        hashes = rng.integers(2**64, size=50_000, dtype=np.uint64)
        strangers = rng.integers(2**64, size=1_000_000, dtype=np.uint64)
        found = BloomFilter.of(hashes, bytes_per_hash * len(hashes)).contain(strangers).mean()
        # five standard deviations of this number of draws
        assert found == pytest.approx(share, rel=0.03, abs=5 * (share / len(strangers)) ** 0.5)

    @pytest.mark.parametrize(("number", "size"), [(0, 10), (1, 10), (4, 1000), (100_000, 100_000)])
    def test_how_many_are_in_it_is_estimated(self, number: int, size: int, rng: np.random.Generator) -> None:
        """Within a per cent; repeats count once."""
        hashes = rng.integers(2**64, size=number, dtype=np.uint64)
        assert BloomFilter.of(np.repeat(hashes, 2), size).estimate_count() == pytest.approx(number, rel=0.01)
