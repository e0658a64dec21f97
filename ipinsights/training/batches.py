"""Base batches: rows of training data in their order, each batch expanded with its negatives.

Every draw follows from the run's seed, the epoch and the batch's index, and from nothing that was drawn before: so a
run can go on from any batch, and batches can be made ahead of their use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.sampling import expand
from ipinsights.training.collectives import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records

__all__ = ["BaseBatch", "BaseBatches"]


@dataclass(frozen=True)
class BaseBatch:
    """One base batch, ready to be cut into K optimizer batches.

    Attributes
    ----------
    records
        The B rows and their negatives, mixed: K * B records.
    num_rows
        Rows that are not padding, 1 to B; 0, and no records, where other hosts still have rows and this one has not.
    """

    records: Records
    num_rows: int


class BaseBatches:
    """All base batches of a data set; the short last one is padded with the first rows again.

    Parameters
    ----------
    entity_rows
        Rows of the entity table, shape (num_rows,), at least one.
    ips
        Addresses, shape (num_rows,).
    hyperparameters
        Of them ``mini_batch_size`` B and the two negative sampling rates.
    seed
        Of every random draw.
    group
        The hosts that train together; each draws what no other one draws. A host alone when not given.
    """

    def __init__(
        self,
        entity_rows: NDArray[np.int32],
        ips: NDArray[np.uint32],
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        group: ProcessGroup | None = None,
    ) -> None:
        self._entity_rows = entity_rows
        self._ips = ips
        self._hyperparameters = hyperparameters
        self._seed = seed
        self._group = group or ProcessGroup()

    def __len__(self) -> int:
        """Give the number of base batches that have rows."""
        return math.ceil(len(self._ips) / self._hyperparameters.mini_batch_size)

    def epoch(self, epoch: int, *, first: int = 0) -> Generator[BaseBatch, None, None]:
        """Yield the base batches of an epoch, from 0, beginning with the one of index ``first``.

        Behind a host's own come empty ones, until the host of the group that has most has had all of its own.
        """
        end = self._group.num_base_batches or len(self)
        return (self._batch(epoch, index) for index in range(first, end))

    def _batch(self, epoch: int, index: int) -> BaseBatch:
        size = self._hyperparameters.mini_batch_size
        num_rows = max(0, min(size, len(self._ips) - index * size))
        # (size,)
        chosen = np.arange(index * size, (index + bool(num_rows)) * size) % len(self._ips)
        draw = index * self._group.size + self._group.rank
        records = expand(
            self._entity_rows[chosen],
            self._ips[chosen],
            num_random=self._hyperparameters.random_negative_sampling_rate,
            num_shuffled=self._hyperparameters.shuffled_negative_sampling_rate,
            rng=np.random.default_rng([self._seed, epoch, draw]),
        )
        return BaseBatch(records, num_rows)
