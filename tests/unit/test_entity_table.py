"""The entity table: rows without data keep their initial values and take no memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.initial_parameters import BLOCK_ROWS, draw_rows
from ipinsights.training.learners.entity_table import EntityTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_ROWS, DIM = BLOCK_ROWS + 50, 3
# Rows on both sides of the limit between two blocks.
ROWS = np.array([0, 7, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 40], np.int32)


def table(*, first_row: int = 0) -> EntityTable:
    """Return a table with five rows in memory, whose vectors are a thousand and the row."""
    found = EntityTable(NUM_ROWS, DIM, rows=ROWS, seed=4, first_row=first_row)
    found.states[:, 0] = 1000 + ROWS[:, np.newaxis]
    return found


def whole(*, first_row: int = 0) -> NDArray[np.float32]:
    """Return what all rows of that table are."""
    values = draw_rows("entity_weight", (DIM,), first_row, first_row + NUM_ROWS, seed=4)
    values[ROWS] = 1000 + ROWS[:, np.newaxis]
    return values


def test_a_table_begins_with_the_drawn_values() -> None:
    """In memory are only the rows with data, with moments of zero."""
    found = EntityTable(NUM_ROWS, DIM, rows=ROWS, seed=4, first_row=10)
    assert found.states.shape == (5, 3, DIM)
    drawn = draw_rows("entity_weight", (DIM,), 10, 10 + NUM_ROWS, seed=4)
    assert found.states[:, 0].tolist() == drawn[ROWS].tolist()
    assert not found.states[:, 1:].any()


@given(start=st.integers(0, NUM_ROWS), size=st.integers(0, NUM_ROWS), first_row=st.sampled_from([0, 5, BLOCK_ROWS]))
def test_a_slice_has_trained_and_initial_rows(start: int, size: int, first_row: int) -> None:
    """Any slice is that of the whole table."""
    part = slice(start, start + size)
    assert table(first_row=first_row)[part].tolist() == whole(first_row=first_row)[part].tolist()


def test_vectors_of_any_rows_are_found(rng: np.random.Generator) -> None:
    """With data or without, in any order and repeated."""
    rows = rng.permutation(np.concatenate([ROWS, ROWS, rng.integers(NUM_ROWS, size=30)])).astype(np.int32)
    assert table().vectors(rows).tolist() == whole()[rows].tolist()


def test_rows_in_memory_have_an_index_and_others_are_refused() -> None:
    """A row that was not given is an error, because a step would change another row."""
    assert table().index(ROWS[::-1]).tolist() == [4, 3, 2, 1, 0]
    expected = "Row 8 of the entity table is not in memory: it has no data."
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        table().index(np.array([7, 8], np.int32))


def test_replaced_rows_are_those_of_another_table(rng: np.random.Generator) -> None:
    """As for a warm start: also rows without data."""
    found, values = table(), rng.random((NUM_ROWS, DIM)).astype(np.float32)
    found.replace(values)
    assert found.states[:, 0].tolist() == values[ROWS].tolist()
    assert found[5:9].tolist() == values[5:9].tolist()


def test_a_table_in_memory_as_a_whole_is_an_array() -> None:
    """Without rows, and with all of them, the parameter is a view of the vectors."""
    for rows in (None, np.arange(6, dtype=np.int32)):
        found = EntityTable(6, DIM, rows=rows, seed=4)
        assert np.shares_memory(found.parameter(), found.states)
        assert found.parameter().tolist() == draw_rows("entity_weight", (DIM,), 0, 6, seed=4).tolist()
    assert isinstance(table().parameter(), EntityTable)


def test_a_table_may_have_no_data() -> None:
    """As on a host without pairs."""
    found = EntityTable(6, DIM, rows=np.empty(0, np.int32), seed=4)
    assert found[0:6].tolist() == found.vectors(np.arange(6, dtype=np.int32)).tolist()
