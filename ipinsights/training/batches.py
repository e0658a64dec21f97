"""Base batches: consecutive rows of training data, expanded with negative samples.

Every draw follows from the run's seed, the epoch and the batch's index, and from nothing that was drawn before: so a
run can resume from any batch, and batches can be made ahead of their use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.sampling import expand, mix

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records
    from ipinsights.training.entity_partition import EntityPartition

__all__ = ["BaseBatch", "BaseBatches", "PartitionedBatches"]


@dataclass(frozen=True)
class BaseBatch:
    """One base batch, ready to be cut into K optimizer batches."""

    records: Records  # the B rows and their negatives, mixed: K * B records
    num_rows: int  # Rows that are not padding. On several hosts they may be 0.
    num_all: int | None = None  # Rows of all hosts. None on one host, where each step has B records.


class BaseBatches:
    """All base batches of a data set. The last one is padded with the first rows if it is short.

    There is at least one row, of the entity table and an address each, (num_rows,).
    """

    def __init__(
        self, entity_rows: NDArray[np.int32], ips: NDArray[np.uint32], hyperparameters: Hyperparameters, *, seed: int
    ) -> None:
        self._entity_rows = entity_rows
        self._ips = ips
        self._hyperparameters = hyperparameters
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of base batches that have rows."""
        return math.ceil(len(self._ips) / self._hyperparameters.mini_batch_size)

    def epoch(self, epoch: int, *, first: int = 0) -> Generator[BaseBatch, None, None]:
        """Yield the base batches of an epoch, from 0, beginning with the one of index ``first``."""
        return (self._batch(epoch, index) for index in range(first, len(self)))

    def _batch(self, epoch: int, index: int) -> BaseBatch:
        size = self._hyperparameters.mini_batch_size
        # (size,)
        chosen = np.arange(index * size, (index + 1) * size) % len(self._ips)
        records = expand(
            self._entity_rows[chosen],
            self._ips[chosen],
            num_random=self._hyperparameters.random_negative_sampling_rate,
            num_shuffled=self._hyperparameters.shuffled_negative_sampling_rate,
            rng=np.random.default_rng([self._seed, epoch, index]),
        )
        return BaseBatch(records, min(size, len(self._ips) - index * size))


class PartitionedBatches(BaseBatches):
    """The part of each base batch that one of several hosts trains, given the rows of this host."""

    def __init__(self, partition: EntityPartition, *args: Any, seed: int) -> None:
        super().__init__(*args, seed=seed)
        self._partition = partition

    def __len__(self) -> int:
        """Return the number of base batches, which is the same on all hosts."""
        return len(self._partition.spans) - 1

    def _batch(self, epoch: int, index: int) -> BaseBatch:
        rank = self._partition.group.rank
        begin, end = self._partition.spans[index : index + 2, rank]
        draw = [self._seed, epoch, index]
        shuffled = self._partition.shuffled_ips(
            index, self._hyperparameters.shuffled_negative_sampling_rate, rng=np.random.default_rng(draw)
        )
        records = mix(
            self._entity_rows[begin:end], self._ips[begin:end], shuffled,
            num_random=self._hyperparameters.random_negative_sampling_rate,
            rng=np.random.default_rng([*draw, rank + 1]),
        )  # fmt: skip
        num_all = int(np.diff(self._partition.spans[index : index + 2].sum(axis=1))[0])
        return BaseBatch(records, int(end - begin), num_all)
