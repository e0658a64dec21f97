"""Conversion of DataFrames, arrays, lists and paths to pairs.

Results keep their index.

Values mean what they mean in a CSV file: an entity is a text, and an integer is the text of its digits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.both_families import read_in_order
from ipinsights.data.column_texts import column_texts, is_invalid_entity
from ipinsights.data.entity_hash import hash_entity_column
from ipinsights.data.ipv4 import parse_ips
from ipinsights.data.pair_columns import is_pandas, pairs_of_columns, place_of, refuse, scalar, why_invalid_values
from ipinsights.data.pairs import Pairs, read_pairs
from ipinsights.data.remote import staged
from ipinsights.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Rows", "Values", "read_entities", "read_ips", "read_rows"]

_COLUMNS = ("entity", "ip")


@dataclass(frozen=True)
class Values:
    """One value for each row, (n,), and the index of their source."""

    # Hashed entities, or addresses as numbers.
    numbers: Any
    # Index of the DataFrame or Series that they come from, None for other sources.
    index: Any = None

    def like_source(self, results: NDArray[Any], name: str) -> Any:
        """Return results as an array, or as a Series or DataFrame with the index.

        There is one value or vector for each row. The columns of a DataFrame are ``name_0``, ``name_1`` and so on.
        """
        if self.index is None:
            return results
        import pandas as pd

        if results.ndim == 1:
            return pd.Series(results, index=self.index, name=name)
        return pd.DataFrame(results, index=self.index, columns=[f"{name}_{at}" for at in range(results.shape[1])])


@dataclass(frozen=True)
class Rows:
    """Pairs, and the index of their DataFrame or None."""

    pairs: Pairs
    index: Any = None

    def like_source(self, results: NDArray[Any], name: str) -> Any:
        """Return results as :meth:`Values.like_source` does."""
        return Values(None, self.index).like_source(results, name)


def read_rows(
    data: Any, *, name: str = "X", can_be_empty: bool = True, progress: bool = False, ipv6: bool = False
) -> Rows:
    """Return the pairs of a DataFrame, an array, a list or a path.

    Accepted are a DataFrame of pandas, polars or Arrow with two columns, or with columns ``entity`` and ``ip`` among
    others, an array of shape (n, 2), a list of pairs, a dictionary of columns, and the path of a CSV file or folder.
    Integers are taken as the text of their digits. With ``ipv6`` the pairs have ``addresses`` of both families. Other
    objects are an InvalidValueError, invalid rows a RowsError that names the first five.

    >>> rows = read_rows([("alice", "192.0.2.1"), ("bob", "192.0.2.2")])
    >>> rows.pairs.ips
    array([3221225985, 3221225986], dtype=uint32)
    """
    if isinstance(data, Rows):
        return data
    if isinstance(data, Pairs):
        return Rows(data)
    if isinstance(data, (str, os.PathLike)):
        with staged(data) as path:
            return Rows((read_in_order if ipv6 else read_pairs)(path, progress=progress))
    columns, index = _two_columns(data, name)
    if len(columns[0]) == 0 and not can_be_empty:
        raise InvalidValueError(f"{name} is empty: 0 sample(s), and at least one row of entity and ip is required.")
    return Rows(pairs_of_columns(columns, index, name, ipv6=ipv6), index)


def read_entities(data: Any, *, ipv6: bool = False) -> Values:
    """Return hashed entities of one column, or of what :func:`read_rows` takes."""
    values = _one_column(data)
    if values is None:
        rows = read_rows(data, ipv6=ipv6)
        return Values(rows.pairs.entities, rows.index)
    texts = column_texts(values, "entity")
    index = _refuse_any(is_invalid_entity(texts), values, lambda value: why_invalid_values(value, "192.0.2.1"))
    return Values(hash_entity_column(texts) if len(texts) else np.empty(0, dtype=np.uint64), index)


def read_ips(data: Any) -> Values:
    """Return addresses of one column, or of what :func:`read_rows` takes."""
    values = _one_column(data)
    if values is None:
        rows = read_rows(data)
        return Values(rows.pairs.ips, rows.index)
    ips, is_valid = parse_ips(pc.fill_null(column_texts(values, "ip"), ""))
    return Values(ips, _refuse_any(~is_valid, values, lambda value: why_invalid_values("entity", value)))


def _refuse_any(is_invalid: NDArray[np.bool_], values: Any, reason: Callable[[Any], str]) -> Any:
    """Return the index of a column without invalid values, None if it has no index."""
    index = getattr(values, "index", None)
    if is_invalid.any():
        refuse((place_of(at, index, "X"), reason(scalar(values, at))) for at in np.flatnonzero(is_invalid).tolist())
    return index


def _two_columns(data: Any, name: str) -> tuple[tuple[Any, Any], Any]:
    """Return entities, addresses, and the index of a pandas DataFrame or None."""
    if hasattr(data, "toarray"):
        raise InvalidValueError(f"{name} is a sparse matrix, and must be a dense array of entities and addresses.")
    if is_pandas(data, "DataFrame"):
        return _named_columns(data, list(data.columns), name), data.index
    if isinstance(data, pa.Table) or (hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")):
        table = pa.table(data)
        return _named_columns(table, table.column_names, name), None
    if isinstance(data, dict) or getattr(getattr(data, "dtype", None), "names", None):
        import pandas as pd

        try:
            table = pd.DataFrame(data)
        except ValueError as error:
            raise InvalidValueError(
                f"{name} must be a dictionary of columns, 'entity' and 'ip', of equal length: {error}."
            ) from None
        return _two_columns(table, name)[0], None
    return _array_columns(data, name), None


def _named_columns(table: Any, names: Sequence[Any], parameter: str) -> tuple[Any, Any]:
    names = list(names)
    if all(names.count(name) == 1 for name in _COLUMNS):
        return table[_COLUMNS[0]], table[_COLUMNS[1]]
    if len(names) == 2 and names[0] != names[1]:  # noqa: PLR2004
        return table[names[0]], table[names[1]]
    shown = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")  # noqa: PLR2004
    raise InvalidValueError(
        f"{parameter} has {len(names)} columns ({shown}): there must be two, the entity and the address, or columns "
        "'entity' and 'ip' among others. Select them, as in df[['user', 'address']]."
    )


def _array_columns(data: Any, name: str) -> tuple[Any, Any]:
    is_array = isinstance(data, np.ndarray) or hasattr(data, "__array__")
    if is_pandas(data, "Series") or isinstance(data, bytes) or not (is_array or hasattr(data, "__iter__")):
        raise InvalidValueError(f"{name} must be a DataFrame, an array, a list of pairs or a path. Got {type(data)}.")
    if not is_array:
        return _list_columns(list(data), name)
    array = _with_gaps(np.asanyarray(data))
    if array.ndim != 2:  # noqa: PLR2004
        raise InvalidValueError(
            f"{name} must have two dimensions, rows and the columns entity and ip. Got an array of shape {array.shape}."
            " Reshape your data: array.reshape(1, -1) is one row."
        )
    if array.dtype.kind == "c":
        raise InvalidValueError(f"Complex data not supported: {name} must hold entities and addresses.")
    if array.shape[1] != 2:  # noqa: PLR2004
        raise InvalidValueError(
            f"{name} must have 2 columns, entity and ip. Got an array"
            f" with {array.shape[1]} feature(s) (shape={array.shape}) while a minimum of 2 is required."
        )
    return array[:, 0], array[:, 1]


def _with_gaps(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in which masked values are missing."""
    if not isinstance(array, np.ma.MaskedArray):
        return np.asarray(array)
    values = np.array(array, dtype=object)
    values[np.broadcast_to(array.mask, array.shape)] = None
    return values


def _list_columns(rows: list[Any], name: str) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    if rows and all(isinstance(row, dict) for row in rows):
        import pandas as pd

        return _two_columns(pd.DataFrame(rows), name)[0]
    faulty = [at for at, row in enumerate(rows) if isinstance(row, (str, bytes)) or _length(row) != 2]  # noqa: PLR2004
    if faulty:
        found = ((at, 1 if isinstance(rows[at], (str, bytes)) else _length(rows[at]) or 1) for at in faulty)
        refuse((f"row {at} of {name}", f"a row must have 2 columns (entity,ip), this one has {n}") for at, n in found)
    columns = np.empty((2, len(rows)), dtype=object)
    for at, row in enumerate(rows):
        columns[:, at] = list(row)
    return columns[0], columns[1]


def _length(row: Any) -> int | None:
    return len(row) if hasattr(row, "__len__") else None


def _one_column(data: Any) -> Any:
    """Return data of one dimension as a column, None for others."""
    if isinstance(data, str):
        raise InvalidValueError(f"X must be a list, an array or a Series. Got the text {data!r}.")
    if is_pandas(data, "Series") or isinstance(data, (pa.ChunkedArray, pa.Array)):
        return data
    if isinstance(data, np.ndarray):
        return _with_gaps(data) if data.ndim == 1 and data.dtype.names is None else None
    if not isinstance(data, (list, tuple, set)) or any(
        isinstance(value, dict) or (hasattr(value, "__len__") and not isinstance(value, (str, bytes))) for value in data
    ):
        return None
    column = np.empty(len(data), dtype=object)
    column[:] = list(data)
    return column
