"""Rows from Python objects: all kinds result in the pairs and errors of the same CSV file."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.frames import read_entities, read_ips, read_rows
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import InvalidValueError, RowsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MASKED: Any = np.ma.masked_array

PAIRS = [("alice", "192.0.2.1"), ("7", " 192.0.2.2"), ("Zoë", "8.8.8.8")]
FRAME = pd.DataFrame(PAIRS, columns=["user", "address"], index=[5, 3, 9])
NAMED = FRAME.rename(columns={"user": "entity", "address": "ip"}).assign(time=0)[["time", "ip", "entity"]]
NO_IP = "is no IPv4 address: it must be four numbers from 0 to 255, separated by dots."


class ArrowOnly:
    """A DataFrame of another library, known by its Arrow stream only, such as one of polars."""

    columns = ("user", "address")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream of a table."""
        return pa.Table.from_pandas(FRAME, preserve_index=False).__arrow_c_stream__(requested_schema)


KINDS: dict[str, Any] = {
    "DataFrame": FRAME,
    "named columns among others": NAMED,
    "categories": FRAME.astype("category"),
    "string dtype": FRAME.astype("string"),
    "Arrow table": pa.Table.from_pandas(FRAME, preserve_index=False),
    "Arrow stream": ArrowOnly(),
    "array of objects": FRAME.to_numpy(),
    "array of texts": np.array(PAIRS),
    "structured array": np.array(PAIRS, dtype=[("entity", "U9"), ("ip", "U15")]),
    "list of tuples": PAIRS,
    "list of lists": [list(pair) for pair in PAIRS],
    "list of dictionaries": [{"entity": entity, "ip": ip} for entity, ip in PAIRS],
    "dictionary": {"entity": [entity for entity, _ in PAIRS], "ip": [ip for _, ip in PAIRS]},
    "zip": None,
    "mixed objects": [("alice", "192.0.2.1"), (7, ipaddress.ip_address("192.0.2.2")), ("Zoë".encode(), b"8.8.8.8")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_pairs_of_a_file(kind: str, tmp_path: Path) -> None:
    """Hashes and addresses are those that a CSV file of the same texts gives."""
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{entity},{ip}\n" for entity, ip in PAIRS), encoding="utf-8")
    expected = read_pairs(path)
    for data in (zip(*zip(*PAIRS, strict=True), strict=True) if kind == "zip" else KINDS[kind], str(path), path):
        found = read_rows(data).pairs
        assert np.array_equal(found.entities, expected.entities)
        assert np.array_equal(found.ips, expected.ips)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_are_the_text_of_their_digits(numbers: list[int]) -> None:
    """Integers in columns of integers and of objects are the text of their digits."""
    expected = read_entities([str(number) for number in numbers]).numbers
    for values in (np.array(numbers), pd.Series(numbers), numbers, pd.Series(numbers, dtype="Int64")):
        assert np.array_equal(read_entities(values).numbers, expected)


def test_results_keep_an_index() -> None:
    """A Series for one result each, a DataFrame for vectors, and arrays where there is no index."""
    rows = read_rows(FRAME)
    series = rows.like_source(np.arange(3), "score")
    assert (series.name, series.index.tolist(), series.tolist()) == ("score", [5, 3, 9], [0, 1, 2])
    assert rows.like_source(np.zeros((3, 2)), "dim").columns.tolist() == ["dim_0", "dim_1"]
    assert isinstance(read_rows(PAIRS).like_source(np.arange(3), "score"), np.ndarray)
    assert read_ips(FRAME["address"]).index.tolist() == [5, 3, 9]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([("a", "192.0.2")], f"row 0 of X: '192.0.2' {NO_IP}"),
        ([("a", "192.0.2.1"), ("", "192.0.2.1")], "row 1 of X: the entity is empty."),
        (MASKED([["a", "192.0.2.1"]], mask=[[1, 0]]), "row 0 of X: the entity is missing."),
        (MASKED([["a", "192.0.2.1"]], mask=[[0, 1]]), "row 0 of X: the address is missing."),
        ([("192.0.2.1", "a")], "row 0 of X: the address stands first: it must be the second column."),
        ([("a\udc80", "192.0.2.1")], "row 0 of X: it is not UTF-8 text."),
        ([("a" * 131_073, "192.0.2.1")], "row 0 of X: a field is longer than 131072 characters."),
        ([("a", "192.0.2.1", 1)], "row 0 of X: a row must have 2 columns (entity,ip), this one has 3."),
        (["a"], "row 0 of X: a row must have 2 columns (entity,ip), this one has 1."),
        (pd.DataFrame({"a": ["x"], "b": [None]}, index=["i"]), "row 0 of X (index 'i'): the address is missing."),
        (
            pd.DataFrame({"a": ["x", 1.5, pd.NA], "b": "192.0.2.1"}),
            "2 rows cannot be used:\n  - row 1 of X: the entity 1.5 is a floating-point number: convert it to text.\n"
            "  - row 2 of X: the entity is missing.",
        ),
        ([("a", "b")] * 7, "7 rows cannot be used; the first 5:"
         + "".join(f"\n  - row {at} of X: 'b' {NO_IP}" for at in range(5))),
    ],
)  # fmt: skip
def test_invalid_rows_are_named_with_rule_and_value(data: Any, message: str) -> None:
    """The first five in full, and the number of all."""
    with pytest.raises(RowsError) as caught:
        read_rows(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FRAME.assign(more=1), "X has 3 columns ('user', 'address', 'more'): there must be two, the entity and the "
         "address, or columns 'entity' and 'ip' among others. Select them, as in df[['user', 'address']]."),
        (np.zeros((2, 3)), "X must have 2 columns, entity and ip. Got an array with 3 feature(s) (shape=(2, 3)) "
         "while a minimum of 2 is required."),
        (np.zeros((2, 2)), "Column 'entity' holds floating-point numbers: convert them to text, or to integers, "
         "which a column with missing values loses."),
        ({"ann": "192.0.2.1"}, "X must be a dictionary of columns, 'entity' and 'ip', of equal length: If using all "
         "scalar values, you must pass an index."),
        ({"entity": ["a"], "ip": ["192.0.2.1"] * 2}, "X must be a dictionary of columns, 'entity' and 'ip', of equal "
         "length: All arrays must be of the same length."),
        (FRAME["user"], "X must be a DataFrame, an array, a list of pairs or a path. Got <class 'pandas.Series'>."),
        (None, "X must be a DataFrame, an array, a list of pairs or a path. Got <class 'NoneType'>."),
        ([], "X is empty: 0 sample(s), and at least one row of entity and ip is required."),
    ],
)  # fmt: skip
def test_what_has_no_two_columns_is_refused(data: Any, message: str) -> None:
    """The message says what there must be, what there is, and how to get there."""
    with pytest.raises(InvalidValueError) as caught:
        read_rows(data, can_be_empty=False)
    assert str(caught.value).replace("pandas.core.series.Series", "pandas.Series") == message


@pytest.mark.parametrize("data", [[], FRAME[:0], FRAME[:0].to_numpy()], ids=["list", "DataFrame", "array"])
def test_no_rows_give_no_pairs(data: Any) -> None:
    """Where nothing is trained, an empty part of a stream is no fault."""
    assert len(read_rows(data).pairs) == 0


def test_columns_of_one_kind_are_read_alone_or_from_pairs() -> None:
    """Entities and addresses as lists, Series, arrays, or of rows that have both."""
    for data in (["alice", "7", "Zoë"], FRAME["user"], FRAME["user"].to_numpy(), FRAME, PAIRS):
        assert np.array_equal(read_entities(data).numbers, read_rows(FRAME).pairs.entities)
    for data in (FRAME["address"], FRAME["address"].tolist(), PAIRS):
        assert np.array_equal(read_ips(data).numbers, read_rows(FRAME).pairs.ips)
    refused: list[tuple[Callable[[Any], Any], Any, str]] = [
        (read_entities, "alice", "X must be a list, an array or a Series. Got the text 'alice'."),
        (read_entities, ["a", ""], "row 1 of X: the entity is empty."),
        (read_ips, ["x"], f"row 0 of X: 'x' {NO_IP}"),
    ]
    for read, value, message in refused:
        with pytest.raises(InvalidValueError) as caught:
            read(value)
        assert str(caught.value) == message
