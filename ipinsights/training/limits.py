"""Limits of a training job: checkpoint intervals and conditions for an early end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """When a job saves checkpoints, and when it ends before its last epoch. None sets no limit.

    >>> Limits(early_stopping_patience=2).max_seconds is None
    True
    """

    # Optimizer steps or seconds between two checkpoints of an epoch. One more is always written at its end.
    every_batches: int | None = None
    every_seconds: float | None = 600.0
    keep_checkpoints: int = 2
    # Epochs without a better validation AUC after which the job ends with its best model.
    early_stopping_patience: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.max_seconds is not None and math.isnan(self.max_seconds):
            raise ClientError("`max_seconds` must be a number of seconds. Got nan, which is never over.")

    def check_validation(self, validation: Path | None) -> None:
        """Check that early stopping has data to measure the AUC on."""
        if self.early_stopping_patience is not None and validation is None:
            raise ClientError(
                "`early_stopping_patience` waits for a better validation AUC, and there is no validation data. Give "
                "the job some (`validation`, or the channel 'validation'), or leave the option out."
            )
