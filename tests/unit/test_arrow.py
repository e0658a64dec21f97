"""Columns of texts as Arrow keeps them, made and read without asking Arrow about each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.arrow import float_column, mask, number_texts, packed, text_scalar

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=9)


class TestNumberTexts:
    """Numbers in the fewest digits."""

    @given(NUMBERS)
    def test_a_text_reads_back_to_the_number(self, numbers: list[float]) -> None:
        """A text reads back to the same bits, and Arrow accepts the column."""
        values = np.array(numbers, dtype=np.float32)
        texts = number_texts(values)
        texts.validate(full=True)
        assert np.array(texts.to_pylist(), dtype=np.float32).tobytes() == values.tobytes()

    def test_no_digit_too_many(self) -> None:
        """The text of a float32 has fewer digits than that of the same double."""
        values = np.array([0.1, -2.5, 12, 1e-7, 0], dtype=np.float32)
        assert number_texts(values).to_pylist() == ["0.1", "-2.5", "12.0", "1e-7", "0.0"]

    def test_what_is_no_number_is_null(self) -> None:
        """NaN becomes null, because JSON has no word for it."""
        assert number_texts(np.array([np.nan, 1, np.inf])).to_pylist() == ["null", "1.0", "null"]


def test_truths_and_numbers_become_columns() -> None:
    """Truths as they are, and numbers with nulls where they are not valid."""
    truths = np.array([True, False, True] * 5)
    assert packed(truths).equals(pa.array(truths))
    numbers = np.arange(15, dtype=np.float32)
    assert float_column(numbers, truths).equals(pa.array(numbers, mask=~truths))
    assert float_column(numbers, truths | True).null_count == 0
    assert float_column(numbers[:0], truths[:0]).equals(pa.array([], pa.float32()))


@given(st.lists(st.sampled_from([True, False, None]), max_size=40), st.integers(0, 9))
def test_a_column_of_truths_is_a_mask(values: list[bool | None], start: int) -> None:
    """Null is false, also in a part of a column."""
    assert mask(pa.array(values, pa.bool_())[start:]).tolist() == [bool(value) for value in values[start:]]


def test_a_text_is_a_scalar() -> None:
    """Any text, also an empty one, becomes a scalar."""
    assert [text_scalar("é"), text_scalar("")] == [pa.scalar("é"), pa.scalar("")]
