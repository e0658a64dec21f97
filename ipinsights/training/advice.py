"""Advice on a training job, from its data and its validation AUC."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.reporting.plain_text import counted
from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.trainer import Trainer

__all__ = ["ValidationWatch", "advice_on_data", "advice_on_steps"]

# In every table of docs/explanation/automatic-sizes.md 900 steps are well behind 3,000, and 300 are far behind.
_FEWEST_STEPS = 900
_ENOUGH_STEPS = 3000
# Differences of a validation AUC that are more than noise.
_WORSE_BY = 0.005


def advice_on_steps(hyperparameters: Hyperparameters, num_rows: int) -> str | None:
    """Return a warning if a job has too few optimizer steps to learn, else None."""
    batch = hyperparameters.mini_batch_size
    per_epoch = math.ceil(num_rows / batch) * hyperparameters.records_per_row
    steps = per_epoch * hyperparameters.epochs
    if steps >= _FEWEST_STEPS:
        return None
    return (
        f"An epoch has {counted(per_epoch, 'optimizer step')} of mini_batch_size {batch:,}, and the job {steps:,} in "
        f"all: a model needs some {_ENOUGH_STEPS:,} to learn. Lower mini_batch_size or raise epochs, or set both to "
        "auto."
    )


def advice_on_data(train: Pairs) -> str | None:
    """Return a warning if most entities have a single training row, else None."""
    import pandas as pd  # counted by hashing, not by sorting

    counts = np.bincount(pd.factorize(train.entities)[0])
    num_single = int(np.count_nonzero(counts == 1))
    if 2 * num_single <= len(counts):
        return None
    return (
        f"{num_single:,} of {counted(len(counts), 'entity', 'entities')} have one training row: what is normal for "
        "them is hardly learned. Train on more days."
    )


class ValidationWatch(Callback):
    """Warn at the end of a run whose validation AUC has fallen, by a call of ``warn``."""

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._best: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Remember the best and the last AUC."""
        if (auc := trainer.state.validation_auc) is None:
            return
        self._last = auc, trainer.state.epoch
        if self._best is None or auc > self._best[0]:
            self._best = self._last

    def on_train_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Compare the last AUC with the best one."""
        if self._best is None or self._last is None or self._best[0] - self._last[0] < _WORSE_BY:
            return
        (best, epoch), (last, last_epoch) = self._best, self._last
        self._warn(
            f"Validation gets worse: its AUC was {best:.4f} after epoch {epoch + 1} and is {last:.4f} after epoch "
            f"{last_epoch + 1}. Train for {counted(epoch + 1, 'epoch')}, or keep the best model with "
            "`early_stopping_patience`."
        )
