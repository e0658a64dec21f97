"""Sizes of a model and of its training that are chosen from the data.

The numbers were found with ``benchmarks/benchmark_sizes.py``. What was measured stands in
``docs/explanation/automatic-sizes.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import entity_rows
from ipinsights.errors import ClientError, MissingSizesError
from ipinsights.reporting.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs

__all__ = ["AUTO", "SIZES", "SizeChoice", "Sizes", "choose_sizes"]

AUTO = "auto"
"""Value of a size that is chosen from the data."""

_REQUIRED = ("num_entity_vectors", "vector_dim")
SIZES = (*_REQUIRED, "mini_batch_size", "epochs")
"""Hyperparameters that can be chosen from the data."""

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
    while 2 * rows <= most_rows:
        counts = np.bincount(entity_rows(distinct, rows), minlength=rows)
        share_colliding = 1 - np.count_nonzero(counts == 1) / len(distinct)
        if share_colliding <= (_MOST_COLLIDING_IN_SMALL_TABLE if 2 * rows <= _SMALL_TABLE else _MOST_COLLIDING):
            break
        rows *= 2
    return min(rows, _LARGEST_TABLE)


@dataclass(frozen=True)
class SizeChoice:
    """Values of hyperparameters by name, and the names of sizes that follow from training data."""

    given: Mapping[str, Any]
    chosen: tuple[str, ...]

    @classmethod
    def of(cls, assignments: Mapping[str, str], hyperparameter_map: Mapping[str, Any] | None = None) -> SizeChoice:
        """Return what is given and what is left to the data.

        Without a map and without both required sizes, all omitted sizes are chosen. Otherwise only those whose
        assignment is ``auto`` are. Assignments take precedence over SageMaker's map, in which ``auto`` has no
        meaning.

        >>> SizeChoice.of({"epochs": "5"})
        SizeChoice(given={'epochs': '5'}, chosen=('num_entity_vectors', 'vector_dim', 'mini_batch_size'))
        >>> SizeChoice.of({"num_entity_vectors": "20", "vector_dim": "8", "epochs": "auto"}).chosen
        ('epochs',)
        """
        asked = {name for name in SIZES if assignments.get(name, "").strip() == AUTO}
        given = {name: value for name, value in assignments.items() if name not in asked}
        if hyperparameter_map is None and not any(name in given for name in _REQUIRED):
            asked = set(SIZES) - set(given)
        others = {name: value for name, value in (hyperparameter_map or {}).items() if name not in asked}
        return cls({**others, **given}, tuple(name for name in SIZES if name in asked))

    def check(self, *, any_size: bool = False) -> Hyperparameters:
        """Return the hyperparameters with the smallest sizes for those that are to be chosen.

        This check runs before any data is read. If a required size is neither given nor chosen, invalid values are in
        the message of the MissingSizesError, too.
        """
        smallest = {"num_entity_vectors": 1, "vector_dim": 4, "mini_batch_size": 1, "epochs": 1}
        values = {**self.given, **{name: smallest[name] for name in self.chosen}}
        try:
            return Hyperparameters.parse(values, any_size=any_size)
        except ClientError as error:
            missing = tuple(name for name in _REQUIRED if name not in values)
            raise (MissingSizesError(str(error), missing) if missing else error) from None

    def complete(self, train: Pairs) -> dict[str, Any]:
        """Return all values by name, the chosen ones as texts, given at least one training row."""
        checked = self.check(any_size=True)
        sizes = choose_sizes(
            train.entities,
            records_per_row=checked.records_per_row,
            **{name: None if name in self.chosen else getattr(checked, name) for name in SIZES},
        )
        return {**self.given, **{name: str(getattr(sizes, name)) for name in self.chosen}}

    def describe(self, provided: Mapping[str, Any], num_rows: int) -> str:
        """Return the chosen sizes as options to paste, for a person."""
        options = " ".join(f"-H {name}={provided[name]}" for name in self.chosen)
        return f"Sizes chosen from {counted(num_rows, 'row')}: {options}"
