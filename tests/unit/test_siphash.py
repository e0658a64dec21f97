"""Hashes of a column of texts: those of pandas, which another program computes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.siphash import hash_column

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=30)


def by_pandas(texts: list[str]) -> list[int]:
    """Return the hashes as pandas does."""
    hashes: list[int] = pd.util.hash_array(np.array(texts, dtype=object), categorize=False).tolist()
    return hashes


class TestHashColumn:
    """SipHash-2-4."""

    @given(TEXTS)
    def test_it_is_the_hash_of_pandas(self, texts: list[str]) -> None:
        """Texts of any lengths and characters have the hash of pandas."""
        assert hash_column(pa.array(texts, pa.string())).tolist() == (by_pandas(texts) if texts else [])

    def test_lengths_about_a_word(self) -> None:
        """A text of whole words of eight bytes has a last word with only its length."""
        texts = ["x" * length for length in range(40)]
        assert hash_column(pa.array(texts)).tolist() == by_pandas(texts)

    def test_more_texts_than_are_hashed_at_a_time(self) -> None:
        """No seam shows between pieces, and a part of a column has its own hashes only."""
        texts = [f"user_{number}" for number in range(20_000)]
        column = pa.array(texts)
        assert hash_column(column).tolist() == by_pandas(texts)
        assert hash_column(column[9_000:9_003]).tolist() == by_pandas(texts[9_000:9_003])
