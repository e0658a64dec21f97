"""Columns of DataFrames and arrays as texts with the same meaning as in a CSV file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.csv_errors import LONGEST_FIELD
from ipinsights.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["column_texts", "is_fractional", "is_invalid_entity", "is_missing", "value_text"]


def column_texts(values: Any, name: str) -> pa.StringArray:
    """Return a column as texts (n,), with null for what is no text.

    ``values`` is a Series, an array of NumPy or a column of Arrow. Floating-point numbers are an InvalidValueError.
    """
    kind = getattr(getattr(values, "dtype", None), "kind", "O")
    if kind in "fc" or (isinstance(values, (pa.ChunkedArray, pa.Array)) and pa.types.is_floating(values.type)):
        raise InvalidValueError(
            f"Column '{name}' holds floating-point numbers: convert them to text, or to integers, which a column with "
            "missing values loses."
        )
    try:
        column = values if isinstance(values, (pa.ChunkedArray, pa.Array)) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError, TypeError):
        return _object_texts(values)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(column, pa.ChunkedArray):  # no rows, in old versions of Arrow
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if is_text or pa.types.is_integer(column.type) or str(column.type) == "string_view":
        return column.cast(pa.string())
    return _object_texts(values)


def _object_texts(values: Any) -> pa.StringArray:
    values = values.to_pylist() if isinstance(values, (pa.ChunkedArray, pa.Array)) else values
    return pa.array([value_text(value) if _is_text(value) else None for value in values], pa.string())


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or NA."""
    # NaN and NaT differ from themselves, and pandas.NA is neither true nor false.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124


def is_fractional(value: Any) -> bool:
    """Return whether a value is a floating-point or complex number, of Python or of NumPy."""
    return isinstance(value, (float, complex, np.inexact))


def _is_text(value: Any) -> bool:
    if is_missing(value) or is_fractional(value):
        return False
    try:
        value_text(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def value_text(value: Any) -> str:
    """Return a value as text, with lone surrogates for invalid UTF-8."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(value)


def is_invalid_entity(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Return which texts (n,) are missing, empty, or longer than a field."""
    counted = pc.binary_length(texts)
    # Without copies of the offsets, and without `fill_null`, whose scalar would load pandas.
    lengths = np.frombuffer(counted.buffers()[1], dtype=np.int32)[counted.offset : counted.offset + len(counted)]
    unfit: NDArray[np.bool_] = (lengths == 0) | (lengths > 4 * LONGEST_FIELD) | ~mask(texts.is_valid())
    if (lengths > LONGEST_FIELD).any():
        unfit |= pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False) > LONGEST_FIELD
    return unfit
