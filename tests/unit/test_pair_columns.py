"""Columns of entities and addresses become pairs, and invalid rows are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data import pair_columns
from ipinsights.data.csv_errors import LONGEST_FIELD
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pair_columns import (
    entity_text,
    pair_blocks,
    pairs_of_columns,
    place_of,
    scalar,
    why_invalid_values,
)
from ipinsights.errors import InvalidValueError, RowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STRING_VIEW: Any = getattr(pa, "string_view", pa.string)  # PyArrow 15 has none
ENTITIES = ["ann", None, "", "bob", "x" * (LONGEST_FIELD + 1)]
IPS = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2", "192.0.2.1"]


def validity(entities: Any, ips: Any, *, ipv6: bool = False) -> list[bool]:
    """Return which rows are valid."""
    return [valid for block in pair_blocks(entities, ips, ipv6=ipv6) for valid in block.is_valid.tolist()]


@pytest.mark.parametrize(
    "as_column",
    [
        pa.array,
        lambda texts: pa.array(texts, pa.large_string()),
        lambda texts: pa.array(texts).dictionary_encode(),
        lambda texts: pa.chunked_array([texts[:2], [], texts[2:]], pa.string()),
        lambda texts: pa.chunked_array([pa.array(texts)]).dictionary_encode(),
        lambda texts: pa.array(texts).cast(pa.binary()),
        lambda texts: pa.array(texts, STRING_VIEW()),
        lambda texts: pa.array(["another", *texts])[1:],
        pd.Series,
        lambda texts: pd.Series(texts, index=range(7, 7 + len(texts))),
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: np.array(texts, dtype=object),
    ],
)
def test_columns_of_all_kinds_are_read(as_column: Callable[[Sequence[str | None]], Any]) -> None:
    """A row is invalid if its entity is null, empty or too long, or its address is not one."""
    assert validity(as_column(ENTITIES), as_column(IPS)) == [True, False, False, False, False]
    pairs = pairs_of_columns((as_column(["ann", "bob"]), as_column(["10.0.0.1", " 10.0.0.2"])), None, "X", ipv6=False)
    assert pairs.entities.tolist() == hash_entities(["ann", "bob"]).tolist()
    assert pairs.ips.tolist() == [0x0A000001, 0x0A000002]


def test_columns_without_values_are_read() -> None:
    """Columns of type null have no valid row, and empty ones no row."""
    assert validity(pa.nulls(2), pa.nulls(2)) == [False, False]
    assert validity(pa.array([], pa.string()), pa.chunked_array([], pa.string())) == []


def test_bytes_that_are_not_utf_8_are_invalid() -> None:
    """A value that is not UTF-8 is invalid and is not hashed."""
    assert validity(pa.array([b"ann", b"caf\xe9"]), pa.array(["10.0.0.1"] * 2)) == [True, False]


def test_ipv6_is_valid_where_it_is_accepted() -> None:
    """IPv6 is valid where accepted, IPv4-mapped addresses included and link-local ones excluded."""
    ips = pa.array(["2a00:1::2", "::ffff:10.0.0.1", "fe80::1", None])
    entities = pa.array(["ann"] * 4)
    assert validity(entities, ips) == [False] * 4
    assert validity(entities, ips, ipv6=True) == [True, True, False, False]


def test_columns_have_as_many_rows() -> None:
    """Columns of different lengths are refused."""
    with pytest.raises(InvalidValueError) as caught:
        validity(pa.array(["ann"]), pa.array(["10.0.0.1"] * 2))
    assert str(caught.value) == "entities and ips must have as many rows. Got 1 and 2."


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "", None]), st.sampled_from(["10.0.0.1", "1", "::1"])), max_size=9)
)
def test_blocks_change_nothing(rows: list[tuple[str | None, str]]) -> None:
    """Rows of small blocks are those of a large one."""
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in (0, 1)]
    expected = [bool(entity) and ip == "10.0.0.1" for entity, ip in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_columns, "_BLOCK_ROWS", 2)
        patch.setattr(pair_columns, "_PARSED_ROWS", 1)
        blocks = list(pair_blocks(*columns, ipv6=False))
    assert [valid for block in blocks for valid in block.is_valid.tolist()] == expected
    hashes = [number for block in blocks for number in block.pairs.entities[block.is_valid].tolist()]
    texts = [entity for (entity, _), valid in zip(rows, expected, strict=True) if valid]
    assert hashes == hash_entities(np.array(texts, dtype=object)).tolist()


def test_the_first_five_rows_are_named() -> None:
    """The message names the first five invalid rows and the number of all."""
    with pytest.raises(RowsError) as caught:
        pairs_of_columns((pa.array([None] * 7, pa.string()), pa.array(["10.0.0.1"] * 7)), None, "X", ipv6=False)
    assert str(caught.value).splitlines() == [
        "7 rows cannot be used; the first 5:",
        *(f"  - row {row} of X: the entity is missing." for row in range(5)),
    ]


@pytest.mark.parametrize(("value", "text"), [("ann", "ann"), (7, "7"), (b"ann", "ann"), (" ", " ")])
def test_an_entity_is_the_text_of_a_row(value: object, text: str) -> None:
    """One entity means what it means in a column."""
    assert entity_text(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "Entity '' is not valid: the entity is empty."),
        (None, "Entity None is not valid: the entity is missing."),
        ("\udcff", "Entity '\\udcff' is not valid: it is not UTF-8 text."),
        (1.5, "Entity 1.5 is not valid: the entity 1.5 is a floating-point number: convert it to text."),
        ("x" * 131_073, f"Entity '{'x' * 59}... is not valid: a field is longer than 131072 characters."),
    ],
)
def test_an_entity_that_no_row_has_is_refused(value: object, message: str) -> None:
    """One entity is refused as a column with it is."""
    with pytest.raises(InvalidValueError) as caught:
        entity_text(value)
    assert str(caught.value) == message


def test_a_row_has_a_place_and_a_reason() -> None:
    """The index of a DataFrame is named where it differs from the position."""
    assert place_of(1, None, "X") == place_of(1, pd.Index([0, 1]), "X") == "row 1 of X"
    assert place_of(1, pd.Index(["a", "b"]), "X") == "row 1 of X (index 'b')"
    assert why_invalid_values(None, "10.0.0.1") == "the entity is missing"
    assert why_invalid_values("ann", 1.5) == "the address 1.5 is a floating-point number: convert it to text"
    assert scalar(pa.array(["a"]), 0) == scalar(pd.Series(["a"], index=[9]), 0) == "a"
