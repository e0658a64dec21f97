"""Columns of DataFrames and arrays as texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ipinsights.data.column_texts import column_texts, is_invalid_entity, is_missing, value_text
from ipinsights.data.csv_errors import LONGEST_FIELD
from ipinsights.errors import InvalidValueError


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["ann", "7"]),
        pd.Series(["ann", "7"], dtype="category"),
        np.array(["ann", "7"]),
        np.array(["ann", 7], dtype=object),
        pa.array(["ann", "7"]),
        pa.chunked_array([["ann"], ["7"]]),
        pa.array(["ann", "7"]).dictionary_encode(),
    ],
)
def test_a_column_of_any_kind_has_the_same_texts(values: Any) -> None:
    """Objects, categories, arrays and columns of Arrow."""
    assert column_texts(values, "user").to_pylist() == ["ann", "7"]


def test_integers_are_the_texts_of_their_digits() -> None:
    """An integer becomes the text of its digits, as in a CSV file."""
    assert column_texts(pd.Series([7, 12]), "user").to_pylist() == ["7", "12"]


def test_floating_point_numbers_are_refused() -> None:
    """7 and 7.0 would be two entities."""
    with pytest.raises(InvalidValueError) as caught:
        column_texts(pd.Series([7.0, np.nan]), "user")
    assert str(caught.value) == (
        "Column 'user' holds floating-point numbers: convert them to text, or to integers, which a column with missing "
        "values loses."
    )


@pytest.mark.parametrize("value", [7.0, np.float32(7), np.float16(7), 7 + 0j, np.complex64(7)])
def test_floating_point_numbers_among_objects_are_null(value: Any) -> None:
    """A floating-point number of NumPy is not taken for a text either."""
    assert column_texts(np.array(["ann", value], dtype=object), "user").to_pylist() == ["ann", None]
    assert column_texts(pd.Series(["ann", value]).astype("category"), "user").to_pylist() == ["ann", None]


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT])
def test_missing_values_are_null(value: Any) -> None:
    """None, NaN, NA and NaT become null."""
    assert is_missing(value)
    assert column_texts(np.array(["ann", value], dtype=object), "user").to_pylist() == ["ann", None]


def test_bytes_that_are_not_utf_8_keep_their_value() -> None:
    """Invalid UTF-8 becomes lone surrogates, which an error can show."""
    assert value_text(b"m\xfcller") == "m\udcfcller"


def test_entities_that_cannot_be_used() -> None:
    """Missing, empty, or longer than a field of CSV."""
    texts = pa.array(["ann", "", None, "x" * LONGEST_FIELD, "x" * (LONGEST_FIELD + 1)])
    assert is_invalid_entity(texts).tolist() == [False, True, True, False, True]


def test_columns_of_bytes_are_texts() -> None:
    """Bytes that are not UTF-8 are no text, and null is null."""
    column = pa.array([b"ann", b"caf\xe9", None])
    assert column_texts(column, "user").to_pylist() == ["ann", None, None]
    assert column_texts(pa.chunked_array([column]), "user").to_pylist() == ["ann", None, None]
    assert column_texts(pa.array([True, None]), "user").to_pylist() == ["True", None]
