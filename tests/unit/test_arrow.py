"""Columns of texts as Arrow keeps them, made and read without asking Arrow about each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.arrow import number_texts

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=9)


class TestNumberTexts:
    """Numbers in the fewest digits."""

    @given(NUMBERS)
    def test_a_text_reads_back_to_the_number(self, numbers: list[float]) -> None:
        """To the bit, at its own precision; and Arrow finds nothing wrong with the column."""
        values = np.array(numbers, dtype=np.float32)
        texts = number_texts(values)
        texts.validate(full=True)
        assert np.array(texts.to_pylist(), dtype=np.float32).tobytes() == values.tobytes()

    def test_no_digit_too_many(self) -> None:
        """Those of a float32 are fewer than those of the same number as a double."""
        values = np.array([0.1, -2.5, 12, 1e-7, 0], dtype=np.float32)
        assert number_texts(values).to_pylist() == ["0.1", "-2.5", "12.0", "1e-7", "0.0"]

    def test_what_is_no_number_is_null(self) -> None:
        """As in JSON, which has no word for it."""
        assert number_texts(np.array([np.nan, 1, np.inf])).to_pylist() == ["null", "1.0", "null"]
