"""The entity table of a learner on a CPU, of which only rows with data are in memory."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.initial_parameters import BLOCK_ROWS, draw_rows
from ipinsights.training.learners.learner import aligned_zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Draw = Callable[[int, int], NDArray[np.float32]]

__all__ = ["EntityTable"]


class EntityTable:
    """Entity vectors with Adam's moments, of the rows that have data.

    The others keep their initial values. Those are drawn again when they are read, so they need no memory. A slice of
    the table is an array of rows.

    Parameters
    ----------
    num_rows, dim
        Size of the whole table.
    rows
        Ascending rows that are in memory, (num_used,). None for all of them.
    seed
        Seed of the initial values.
    first_row
        Row of the table of all hosts that is the first of this table.

    Attributes
    ----------
    shape
        That of the whole table.
    states
        Vectors and moments of the rows in memory, (num_used, 3, dim). A row with its moments is one piece of memory.

    >>> table = EntityTable(9000, 4, rows=np.array([3, 5000], np.int32), seed=0)
    >>> table.states[1, 0] = 1
    >>> table.index(np.array([5000])).tolist(), table[5000:5001].tolist()
    ([1], [[1.0, 1.0, 1.0, 1.0]])
    """

    def __init__(
        self, num_rows: int, dim: int, *, rows: NDArray[np.int32] | None, seed: int, first_row: int = 0
    ) -> None:
        self.shape = (num_rows, dim)
        self._rows = np.arange(num_rows, dtype=np.int32) if rows is None else rows
        self._index = np.full(num_rows, -1, dtype=np.int32)
        self._index[self._rows] = np.arange(len(self._rows), dtype=np.int32)
        self.states = aligned_zeros((len(self._rows), 3, dim))
        self._initial: Draw = partial(_drawn, dim, seed, first_row)
        starts = range(0, num_rows, BLOCK_ROWS)
        for start, (begin, end) in zip(starts, itertools.pairwise(self._places([*starts, num_rows])), strict=True):
            if begin < end:
                drawn = self._initial(start, min(start + BLOCK_ROWS, num_rows))
                self.states[begin:end, 0] = drawn[self._rows[begin:end] - start]

    def index(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """Return where rows (n,) of the table are in memory, (n,).

        It is a ValueError if one is not there.
        """
        found: NDArray[np.int32] = self._index[rows]
        if found.min(initial=0) < 0:
            raise ValueError(f"Row {int(rows[found < 0][0])} of the entity table is not in memory: it has no data.")
        return found

    def vectors(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the vectors (n, dim) of any rows of the table, (n,)."""
        found, vectors = self._index[rows], np.empty((len(rows), self.shape[1]), dtype=np.float32)
        vectors[found >= 0] = self.states[found[found >= 0], 0]
        others = np.flatnonzero(found < 0)
        blocks = rows[others] // BLOCK_ROWS
        for block in np.unique(blocks):
            own, start = others[blocks == block], int(block) * BLOCK_ROWS
            vectors[own] = self._initial(start, min(start + BLOCK_ROWS, self.shape[0]))[rows[own] - start]
        return vectors

    def parameter(self) -> Any:
        """Return the table as a parameter, an array where all rows are in memory."""
        return self.states[:, 0] if len(self._rows) == self.shape[0] else self

    def replace(self, values: Any) -> None:
        """Replace all rows by those of a table of the same shape, which must not change afterwards."""
        self.states[:, 0] = values[self._rows]
        self._initial = lambda start, stop: values[start:stop]

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Return a slice of rows of the table."""
        start, stop, _ = part.indices(self.shape[0])
        begin, end = self._places([start, stop])
        values = np.array(self._initial(start, stop))
        values[self._rows[begin:end] - start] = self.states[begin:end, 0]
        return values

    def _places(self, rows: Sequence[int]) -> list[int]:
        """Return how many rows in memory come before each of some rows."""
        # With numbers of another type NumPy would copy all rows to search them.
        places: list[int] = np.searchsorted(self._rows, np.array(rows, dtype=self._rows.dtype)).tolist()
        return places


def _drawn(dim: int, seed: int, first_row: int, start: int, stop: int) -> NDArray[np.float32]:
    return draw_rows("entity_weight", (dim,), first_row + start, first_row + stop, seed=seed)
