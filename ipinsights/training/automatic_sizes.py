"""Sizes of a model and of its training that are chosen from the data.

The numbers were found with ``benchmarks/benchmark_sizes.py``. What was measured stands in
``docs/explanation/automatic-sizes.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.data.entity_hash import entity_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sizes", "choose_sizes"]

VECTOR_DIM = 128
_ROWS_PER_ENTITY = 2
# Twice the entities leave 39 % of many entities with a row that another one has too. A small table costs nothing, so
# nearly each of few entities gets a row of its own. 1,024 rows of 128 numbers are half a megabyte.
_SMALL_TABLE = 1024
_MOST_COLLIDING_IN_SMALL_TABLE, _MOST_COLLIDING = 0.1, 0.5
_LARGEST_GROWTH = 8
_BATCHES_PER_EPOCH = 100
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 10_000
_STEPS = 3000
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 100
_LARGEST_TABLE = 250_000_000


@dataclass(frozen=True)
class Sizes:
    """Values of the four hyperparameters that can be chosen from the data."""

    num_entity_vectors: int
    vector_dim: int
    mini_batch_size: int
    epochs: int


def choose_sizes(
    entities: NDArray[np.uint64],
    *,
    records_per_row: int,
    num_entity_vectors: int | None = None,
    vector_dim: int | None = None,
    mini_batch_size: int | None = None,
    epochs: int | None = None,
) -> Sizes:
    """Return the given sizes, and for None sizes from the hashed training entities (n,).

    - ``num_entity_vectors``: twice the number of distinct entities. The table is doubled, up to three times, while the
      hash gives more than half of the entities a row that another entity has too. Up to 1,024 rows a tenth is enough.
    - ``vector_dim``: 128.
    - ``mini_batch_size``: a hundredth of the rows, from 32 to 10,000.
    - ``epochs``: as many as 3,000 optimizer steps need, from 10 to 100.

    >>> choose_sizes(np.arange(5, dtype=np.uint64), records_per_row=3)
    Sizes(num_entity_vectors=10, vector_dim=128, mini_batch_size=32, epochs=100)
    """
    num_rows = max(len(entities), 1)
    batch = mini_batch_size or min(max(num_rows // _BATCHES_PER_EPOCH, _SMALLEST_BATCH), _LARGEST_BATCH)
    steps_per_epoch = math.ceil(num_rows / batch) * records_per_row
    return Sizes(
        num_entity_vectors=num_entity_vectors or _table_rows(entities),
        vector_dim=vector_dim or VECTOR_DIM,
        mini_batch_size=batch,
        epochs=epochs or min(max(math.ceil(_STEPS / steps_per_epoch), _FEWEST_EPOCHS), _MOST_EPOCHS),
    )


def _table_rows(entities: NDArray[np.uint64]) -> int:
    """Return twice the number of entities, or more where they often collide."""
    import pandas as pd  # unique by hashing, not by sorting

    distinct = pd.unique(entities) if len(entities) else np.zeros(1, dtype=np.uint64)
    rows = _ROWS_PER_ENTITY * len(distinct)
    most_rows = _LARGEST_GROWTH * rows
    while 2 * rows <= most_rows and _share_colliding(distinct, rows) > _most_colliding(2 * rows):
        rows *= 2
    return min(rows, _LARGEST_TABLE)


def _most_colliding(num_rows: int) -> float:
    """Return the share of colliding entities above which a table grows."""
    return _MOST_COLLIDING_IN_SMALL_TABLE if num_rows <= _SMALL_TABLE else _MOST_COLLIDING


def _share_colliding(distinct: NDArray[np.uint64], num_rows: int) -> float:
    """Return the share of entities that share their row of a table."""
    counts = np.bincount(entity_rows(distinct, num_rows), minlength=num_rows)
    return 1 - np.count_nonzero(counts == 1) / len(distinct)
