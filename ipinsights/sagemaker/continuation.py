"""What of a training job outlives its process, or ends it early: checkpoints, a first model, patience, a deadline."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import ipinsights
from ipinsights import artifact
from ipinsights.callbacks import Checkpointer, Deadline, EarlyStopping
from ipinsights.checkpoint import CheckpointDirectory
from ipinsights.data import fingerprint
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.artifact import Artifact
    from ipinsights.callbacks import Callback
    from ipinsights.checkpoint import Checkpoint
    from ipinsights.data import Pairs
    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.learner import Learner
    from ipinsights.parallel import ParallelLearner
    from ipinsights.trainer import Trainer

__all__ = ["Continuation", "Limits", "identity_of"]

# What the log shows and how long training lasts; everything else shapes the model.
_MAY_DIFFER = frozenset({"epochs", "batch_metrics_publish_interval"})

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """When a job saves checkpoints, and when it ends before its last epoch.

    Attributes
    ----------
    every_batches, every_seconds
        How often a checkpoint is written within an epoch; None for not at all. One is written at each epoch's end.
    keep_checkpoints
        How many are kept, at least 1.
    early_stopping_patience
        Epochs without a better validation AUC after which the job ends with its best model; None for never.
    max_seconds
        Seconds of training after which the job ends; None for never.
    """

    every_batches: int | None = None
    every_seconds: float | None = 600.0
    keep_checkpoints: int = 2
    early_stopping_patience: int | None = None
    max_seconds: float | None = None


class Continuation:
    """What a job begins with, and what is kept of it.

    Parameters
    ----------
    limits
        When it is saved and when it ends.
    checkpoint_dir, initial_model
        Where its checkpoints are, and the model it begins with; None for none.

    Attributes
    ----------
    initial
        The model it begins with, once :meth:`prepare` has read it.
    """

    def __init__(self, limits: Limits, *, checkpoint_dir: Path | None, initial_model: Path | None) -> None:
        self.initial: Artifact | None = None
        self._limits = limits
        self._directory = CheckpointDirectory(checkpoint_dir, keep=limits.keep_checkpoints) if checkpoint_dir else None
        self._initial_model = initial_model
        self._early_stopping: EarlyStopping | None = None

    def prepare(self, hyperparameters: Hyperparameters, *, has_validation: bool) -> None:
        """Try what can be tried before data is read.

        Raises
        ------
        ClientError
            The directory of checkpoints cannot be written, the first model cannot be read or has another shape, or
            patience is given and nothing to measure it by.
        """
        if self._limits.early_stopping_patience is not None and not has_validation:
            raise ClientError(
                "--early-stopping-patience waits for a better validation AUC, and there is no validation data. Give "
                "the job some (--validation, or the channel 'validation'), or leave the option out."
            )
        if self._directory:
            self._directory.prepare()
        if self._initial_model:
            self.initial = artifact.load(self._initial_model)
            _check_shape(self._initial_model, self.initial.hyperparameters, hyperparameters)

    def check_learner(self, learner: Learner | ParallelLearner) -> None:
        """Refuse, or warn of, what only a job on one device can do.

        Raises
        ------
        ClientError
            The learner uses several devices or hosts, and the job was to begin with a model, or to keep the best one.
        """
        from ipinsights.learner import Learner

        if isinstance(learner, Learner):
            return
        if self.initial or self._limits.early_stopping_patience is not None:
            option = "An initial model" if self.initial else "--early-stopping-patience"
            raise ClientError(f"{option} is for training on one device of one host. Use one, or leave it out.")
        if self._directory:
            _logger.warning("Checkpoints are written by jobs on one device of one host only: this job has none.")
            self._directory = None

    def callbacks(self, identity: Mapping[str, str], rows: NDArray[np.int32]) -> list[Callback]:
        """Give the callbacks that end the job and save it, in their order.

        Parameters
        ----------
        identity
            What the model follows from, see :func:`identity_of`.
        rows
            Rows of the entity table that the data has, (n,).
        """
        limits = self._limits
        found: list[Callback] = []
        if limits.max_seconds is not None:
            found.append(Deadline(limits.max_seconds))
        if limits.early_stopping_patience is not None:
            self._early_stopping = EarlyStopping(limits.early_stopping_patience, rows)
            found.append(self._early_stopping)
        if self._directory:
            checkpointer = Checkpointer(
                self._directory,
                identity,
                rows,
                every_batches=limits.every_batches,
                every_seconds=limits.every_seconds,
                early_stopping=self._early_stopping,
            )
            found.append(checkpointer)
        return found

    def begin(self, trainer: Trainer, identity: Mapping[str, str], rows: NDArray[np.int32]) -> None:
        """Let a new trainer begin with the first model, or go on from the newest checkpoint.

        Raises
        ------
        ClientError
            The checkpoint is of a run with another identity.
        """
        if self.initial:
            cast("Learner", trainer.learner).set_parameters(self.initial.params)
        found = self._directory.load_newest() if self._directory else None
        if found:
            path, checkpoint = found
            checkpoint.refuse_unless(identity, path)
            self._go_on_from(checkpoint, trainer, rows)
            _logger.info('Resuming from checkpoint "%s": epoch %d, after batch %d.',
                         path, trainer.state.epoch, trainer.state.batch)  # fmt: skip

    def end(self, trainer: Trainer) -> None:
        """Make the model that is kept the one that is saved."""
        if self._early_stopping:
            self._early_stopping.keep_best(trainer)

    def _go_on_from(self, checkpoint: Checkpoint, trainer: Trainer, rows: NDArray[np.int32]) -> None:
        from ipinsights.trainer import TrainState

        state = TrainState(**checkpoint.counters)
        cast("Learner", trainer.learner).restore(checkpoint.arrays, rows, num_steps=state.num_batches)
        trainer.go_on_from(state, checkpoint.metric_sums)
        if self._early_stopping:
            self._early_stopping.go_on_from(checkpoint.best, checkpoint.best_parameters)


def identity_of(
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    train: Pairs,
    validation: Pairs | None,
    initial: Artifact | None,
) -> dict[str, str]:
    """Give what a job's model follows from, by its names in messages; a run is gone on with only if all are equal."""
    values = {name: f"'{value}'" for name, value in hyperparameters.to_strings().items() if name not in _MAY_DIFFER}
    found = {
        **values,
        "the seed": str(seed),
        "the version of ipinsights": ipinsights.__version__,
        "the training data": _described(train),
    }
    if validation is not None:
        found["the validation data"] = _described(validation)
    if initial is not None:
        found["the initial model"] = fingerprint(*initial.params.values())
    return found


def _described(pairs: Pairs) -> str:
    return f"{len(pairs)} rows with fingerprint {fingerprint(pairs.entities, pairs.ips)}"


def _check_shape(path: Path, theirs: Hyperparameters, ours: Hyperparameters) -> None:
    differences = [
        f"{name} is {getattr(theirs, name)} there and {getattr(ours, name)} here"
        for name in ("num_entity_vectors", "vector_dim", "num_ip_encoder_layers")
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if differences:
        raise ClientError(
            f"The initial model {path} has another shape than the one to be trained: {'; '.join(differences)}. Set "
            "the hyperparameters to the model's."
        )
