"""Callbacks: moments of a training run at which somebody may look on.

They are few and cheap, they read the trainer and never change it, and none of them stops a run by raising.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from ipinsights.trainer import Trainer

__all__ = ["Callback", "ProgressBar", "Speedometer"]

_logger = logging.getLogger(__name__)


class Callback:
    """Base of all callbacks: every moment passes unnoticed."""

    def on_train_begin(self, trainer: Trainer) -> None:
        """Look on before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Look on before an epoch; metrics are reset."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """Look on after each optimizer step; ``trainer.state.batch`` is the step's index in its epoch."""

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Look on after the last batch of an epoch, before it is validated."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Look on after an epoch and its validation; ``trainer.state.validation_auc`` is set."""

    def on_train_end(self, trainer: Trainer) -> None:
        """Look on after the last epoch."""


class Speedometer(Callback):
    """Log of training speed and running metrics, as MXNet 1.3's Speedometer printed it.

    ``Epoch[0] Batch [1000]<TAB>Speed: 139861.20 samples/sec<TAB>binary_classification_accuracy=0.927374<TAB>...``

    Samples count negatives too. Batch 0 starts the clock and prints nothing. MXNet's own later Speedometer resets the
    metrics it prints, prints another format, and divides by zero on a fast network.

    Parameters
    ----------
    interval
        ``batch_metrics_publish_interval``: a line every so many batches, at least 1.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._start = 0.0

    def on_batch_end(self, trainer: Trainer) -> None:
        """Start the clock at batch 0; log at every multiple of the interval."""
        batch = trainer.state.batch
        if batch % self._interval:
            return
        # Asking for the metrics waits for the engine, so the clock is read after it.
        metrics = trainer.metrics.get()
        now = time.perf_counter()
        if batch > 0 and now > self._start:
            self._log(trainer, metrics, now - self._start)
        self._start = now

    def _log(self, trainer: Trainer, metrics: dict[str, float], seconds: float) -> None:
        speed = self._interval * trainer.hyperparameters.mini_batch_size / seconds
        values = "".join(f"\t{name}={value:f}" for name, value in metrics.items())
        _logger.info("Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec%s",
                     trainer.state.epoch, trainer.state.batch, speed, values)  # fmt: skip


class ProgressBar(Callback):
    """Bar of an epoch's batches with its running metrics, on standard error, shown on a terminal only."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Draw an empty bar."""
        name = f"epoch {trainer.state.epoch + 1}/{trainer.hyperparameters.epochs}"
        self._bar = tqdm(total=trainer.batches_per_epoch, desc=name, unit="batch", disable=None)

    def on_batch_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Move the bar on."""
        self._bar.update()

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Leave the bar with the epoch's metrics beside it."""
        values = trainer.metrics.get().values()
        self._bar.set_postfix_str("accuracy {:.4f}, cross-entropy {:.4f}".format(*values))
        self._bar.close()
