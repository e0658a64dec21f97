"""Negative sampling: the records that each row of training data is contrasted with.

A batch of B rows becomes ``(1 + R + S) * B`` labelled records. NumPy in, NumPy out, with the generator passed in, so
that a draw can be tested, repeated and resumed. MXNet's random state can be neither read nor stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Records", "expand", "mix", "random_ips"]


@dataclass(frozen=True)
class Records:
    """Labelled records, the unit the original counts (``Total Records Seen``), (num_records,)."""

    entity_rows: NDArray[np.int32]  # row of the entity table
    ips: NDArray[np.uint32]  # IPv4 address as an unsigned integer
    labels: NDArray[np.float32]  # 1 for an observed pair, 0 for a negative

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> Records:
        """Return the records of a slice without copying arrays."""
        return Records(self.entity_rows[part], self.ips[part], self.labels[part])


def expand(
    entity_rows: NDArray[np.int32],
    ips: NDArray[np.uint32],
    *,
    num_random: int,
    num_shuffled: int,
    rng: np.random.Generator,
) -> Records:
    """Return the rows (batch,) as positives together with their negatives, in random order.

    Every row keeps its entity in ``num_random`` negatives with a uniformly random address, and in ``num_shuffled``
    negatives with the address of another (or, as the original allows, the same) row of the batch. The mixing is what
    makes the original's first batch of an epoch look like the epoch's mean (see the fidelity table).
    """
    shuffled = [ips[rng.permutation(len(ips))] for _ in range(num_shuffled)]
    return mix(entity_rows, ips, shuffled, num_random=num_random, rng=rng)


def mix(
    entity_rows: NDArray[np.int32],
    ips: NDArray[np.uint32],
    shuffled: Sequence[NDArray[np.uint32]],
    *,
    num_random: int,
    rng: np.random.Generator,
) -> Records:
    """Return the rows as positives with random negatives and those of shuffled addresses, mixed."""
    batch = len(ips)
    # (records_per_row * batch,): positives, then random negatives, then shuffled ones
    all_ips = np.concatenate([ips, random_ips(num_random * batch, rng=rng), *shuffled])
    labels = np.zeros(len(all_ips), dtype=np.float32)
    labels[:batch] = 1
    order = rng.permutation(len(all_ips))
    return Records(np.tile(entity_rows, 1 + num_random + len(shuffled))[order], all_ips[order], labels[order])


def random_ips(size: int, *, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Return uniformly random IPv4 addresses, reserved addresses included.

    Every octet is uniform in 0..255.

    Source: the AWS tutorial's description of random negatives.
    """
    return rng.integers(0, 2**32, size=size, dtype=np.uint32)
