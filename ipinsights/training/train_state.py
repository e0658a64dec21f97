"""The counters of a training run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrainState"]


@dataclass
class TrainState:
    """The counters of a run, and its request to stop.

    >>> state = TrainState()
    >>> state.count_batch()
    >>> state.count_base_batch(100)
    >>> state.batch, state.num_records
    (0, 100)
    """

    epoch: int = 0  # Index of the current epoch, from 0. After training, the number of finished epochs.
    batch: int = -1  # index of the last optimizer step in this epoch, -1 before the first one
    # Records since the beginning, with negatives and without padding: K * N after one epoch over N rows.
    num_records: int = 0
    num_batches: int = 0  # optimizer steps since the beginning: K * ceil(N / B) after one epoch
    num_base_batches: int = 0  # base batches since the beginning, also those in which only other hosts had rows
    # The same since this epoch's beginning.
    epoch_records: int = 0
    epoch_batches: int = 0
    epoch_base_batches: int = 0
    validation_auc: float | None = None  # Of the last validated epoch. None without a validation channel.
    # Request to stop, set by a callback or a signal at any time. Training ends after the current base batch. A
    # validation ends at once and is repeated by the resumed run.
    stop: bool = False

    def begin_epoch(self) -> None:
        """Reset the counters of the epoch."""
        self.batch = -1
        self.epoch_records = self.epoch_batches = self.epoch_base_batches = 0

    def count_batch(self) -> None:
        """Count an optimizer step."""
        self.batch += 1
        self.num_batches += 1
        self.epoch_batches += 1

    def count_base_batch(self, num_records: int) -> None:
        """Count a base batch and its records."""
        self.num_base_batches += 1
        self.epoch_base_batches += 1
        self.num_records += num_records
        self.epoch_records += num_records
