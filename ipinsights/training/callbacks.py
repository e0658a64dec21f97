"""Training callbacks: hooks that are called at fixed points of a run.

A callback reads the trainer and may set ``state.stop``. It changes nothing else.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.training.checkpoint import BEST_PREFIX, Checkpoint
from ipinsights.training.collectives import SAVE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.checkpoint import CheckpointDirectory
    from ipinsights.training.run_identity import RunIdentity
    from ipinsights.training.train_state import TrainState
    from ipinsights.training.trainer import Trainer

__all__ = ["Callback", "Checkpointer", "Deadline", "EarlyStopping", "JobView", "Speedometer"]

_logger = logging.getLogger(__name__)


class Callback:
    """Base class of all callbacks. Every hook is a no-op.

    Examples
    --------
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         trainer.state.stop = True
    """

    def on_train_begin(self, trainer: Trainer) -> None:
        """Run before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Run before an epoch, after its metrics are reset, and before the rest of a resumed epoch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """Run after each optimizer step. ``trainer.state.batch`` is the step's index in its epoch."""

    def on_base_batch_end(self, trainer: Trainer) -> None:
        """Run after the steps of a base batch, where a run can stop and be resumed."""

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Run after the last batch of an epoch, before validation."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Run after an epoch and its validation, when ``trainer.state.validation_auc`` is set."""

    def on_train_end(self, trainer: Trainer) -> None:
        """Run after the last epoch."""


class JobView(Callback):
    """Callback with hooks before and after the training. Every hook is a no-op."""

    # Whether the original's log goes to standard output.
    shows_log = True

    def on_data_read(self, hyperparameters: Hyperparameters, train: Pairs) -> None:
        """Run when the training rows are read, before the network is built."""

    def on_model_saved(self, path: Path) -> None:
        """Run when the model is written."""


class Speedometer(Callback):
    """Log training speed and running metrics as MXNet 1.3's Speedometer did.

    ``Epoch[0] Batch [1000]<TAB>Speed: 139861.20 samples/sec<TAB>binary_classification_accuracy=0.927374<TAB>...``

    Samples count negatives too. Batch 0 starts the clock and prints nothing. MXNet's own later Speedometer resets the
    metrics it prints, prints another format, and divides by zero on a fast network.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._start = 0.0
        self._first = 0

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Start the clock, also in the middle of a resumed epoch."""
        self._start, self._first = time.perf_counter(), trainer.state.batch

    def on_batch_end(self, trainer: Trainer) -> None:
        """Start the clock at batch 0, and log at every multiple of the interval."""
        batch = trainer.state.batch
        if batch % self._interval:
            return
        # Asking for the metrics waits for the engine, so the clock is read after it.
        metrics = trainer.metrics.get()
        now = time.perf_counter()
        if batch > 0 and now > self._start:
            speed = (batch - self._first) * trainer.hyperparameters.mini_batch_size / (now - self._start)
            values = "".join(f"\t{name}={value:f}" for name, value in metrics.items())
            epoch = trainer.state.epoch
            _logger.info("Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec%s", epoch, batch, speed, values)
        self._start, self._first = now, batch


class Deadline(Callback):
    """Stop a run a number of seconds after this callback is made. What is trained is kept.

    The base batch in progress is the last one.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._end = time.monotonic() + max_seconds

    def on_batch_end(self, trainer: Trainer) -> None:
        """Stop the run after the base batch in progress if its time is up."""
        if time.monotonic() >= self._end and not trainer.state.stop:
            _logger.warning("%g seconds are over: stopping.", self._max_seconds)
            trainer.state.stop = True


class EarlyStopping(Callback):
    """Stop a run whose validation AUC has no new best in some epochs, and keep its best model.

    ``rows`` are those of the entity table that occur in the data, (n,): no other row ever changes. ``best`` has epoch
    and validation AUC of the best model so far, ``best_parameters`` its parameters by their names in the artifact, of
    the entity table only ``rows``.
    """

    def __init__(self, patience: int, rows: NDArray[np.int32]) -> None:
        self._patience = patience
        self._rows = rows
        self.best: tuple[int, float] | None = None
        self.best_parameters: dict[str, NDArray[np.float32]] = {}

    def resume_from(self, best: tuple[int, float] | None, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        """Restore the best model of a resumed run."""
        self.best, self.best_parameters = best, dict(parameters)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Stop a resumed run that had stopped already."""
        self._stop_if_out_of_patience(trainer.state, last_epoch=trainer.state.epoch - 1)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Copy the model if it is the best, and stop if the best one is too old."""
        state = trainer.state
        # Only the first host has validated.
        auc = trainer.group.gather({"validation_auc": state.validation_auc})[0]["validation_auc"]
        if self.best is None or auc > self.best[1]:
            self.best = state.epoch, auc
            learner = trainer.learner.state_dict(self._rows)
            names = [name for name in trainer.learner.parameters() if name in learner]
            self.best_parameters = {name: np.array(learner[name][0 : learner[name].shape[0]]) for name in names}
        self._stop_if_out_of_patience(state, last_epoch=state.epoch)

    def keep_best(self, trainer: Trainer) -> None:
        """Restore the best model, if an epoch was validated, so that it is the one that is saved."""
        if self.best is None:
            return
        epoch, trainer.state.validation_auc = self.best
        _logger.info("Keeping the model of epoch %d, the best: validation discriminator_auc %r.", epoch, self.best[1])
        trainer.learner.set_parameters(self.best_parameters, self._rows)

    def _stop_if_out_of_patience(self, state: TrainState, *, last_epoch: int) -> None:
        if self.best is not None and last_epoch - self.best[0] >= self._patience:
            _logger.info("No better validation discriminator_auc in %d epochs: stopping.", self._patience)
            state.stop = True


class Checkpointer(Callback):
    """Write checkpoints within an epoch, at the end of each epoch and at the end of the run.

    Each of several hosts writes its own part: its rows of the entity table, its counters and the address encoder.
    Without optimizer steps or seconds between two checkpoints, none is written within an epoch. The best model of
    ``early_stopping`` becomes a part of each checkpoint.
    """

    def __init__(
        self,
        directory: CheckpointDirectory,
        identity: RunIdentity,
        *,
        every_batches: int | None = None,
        every_seconds: float | None = None,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        self._directory = directory
        self._identity = identity
        self._every_batches = every_batches
        self._every_seconds = every_seconds
        self._early_stopping = early_stopping
        self._saved = (-1, -1)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start the clock. The state at the beginning is saved already, or has no step yet."""
        self._remember(trainer.state)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Vote for a checkpoint after enough seconds, which the next step carries to all hosts."""
        self._vote(trainer)

    def on_base_batch_end(self, trainer: Trainer) -> None:
        """Save if a checkpoint is due."""
        base_batches = trainer.state.num_base_batches - self._saved[1]
        batches = base_batches * trainer.hyperparameters.records_per_row
        is_due = bool(self._every_batches and batches >= self._every_batches)
        if is_due or trainer.group.has_agreed(SAVE):
            self._save(trainer, trainer.state, trainer.metrics.sums())
            self._vote(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Save the run in its state before the next epoch."""
        state = replace(trainer.state, epoch=trainer.state.epoch + 1)
        state.begin_epoch()
        self._save(trainer, state, (0, 0, 0, 0.0))

    def on_train_end(self, trainer: Trainer) -> None:
        """Save the last state of the run, unless it is saved already."""
        if (trainer.state.epoch, trainer.state.num_base_batches) != self._saved:
            self._save(trainer, trainer.state, trainer.metrics.sums())

    def _save(self, trainer: Trainer, state: TrainState, metric_sums: tuple[int, int, int, float]) -> None:
        """Write this host's part of a checkpoint. Every host calls this at the same step."""
        start = time.monotonic()
        if trainer.group.agree_to_stop(trainer.metrics.first_bad_batch is not None):
            return  # The trainer is about to report that the run has diverged.
        arrays = trainer.learner.state_dict(self._identity.rows)
        path = self._directory.save(self._checkpoint(state, metric_sums, arrays))
        # Older checkpoints are removed once all hosts have written this one.
        trainer.group.wait()
        self._directory.prune(path)
        _logger.info('Wrote checkpoint "%s" in %.3f seconds.', path, time.monotonic() - start)
        self._remember(state)

    def _vote(self, trainer: Trainer) -> None:
        is_time = self._every_seconds is not None and time.monotonic() - self._time >= self._every_seconds
        trainer.group.votes[SAVE] = is_time

    def _checkpoint(
        self, state: TrainState, metric_sums: tuple[int, int, int, float], arrays: Mapping[str, Any]
    ) -> Checkpoint:
        best = self._early_stopping.best_parameters if self._early_stopping else {}
        return Checkpoint(
            identity=self._identity.entries,
            counters={name: value for name, value in asdict(state).items() if name != "stop"},
            metric_sums=metric_sums,
            best=self._early_stopping.best if self._early_stopping else None,
            arrays={**arrays, **{f"{BEST_PREFIX}{name}": best[name] for name in best}},
        )

    def _remember(self, state: TrainState) -> None:
        self._saved = state.epoch, state.num_base_batches
        self._time = time.monotonic()
