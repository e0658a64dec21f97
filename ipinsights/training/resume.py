"""Resume: a run that continues from the newest checkpoint of its directory, to the bit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ipinsights.training.train_state import TrainState

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.callbacks import EarlyStopping
    from ipinsights.training.checkpoint import Checkpoint, CheckpointDirectory
    from ipinsights.training.collectives import ProcessGroup
    from ipinsights.training.run_identity import RunIdentity
    from ipinsights.training.trainer import Trainer

__all__ = ["resume"]

_logger = logging.getLogger(__name__)


def resume(
    trainer: Trainer,
    directory: CheckpointDirectory,
    identity: RunIdentity,
    *,
    early_stopping: EarlyStopping | None = None,
) -> None:
    """Restore a new trainer from the newest checkpoint that all hosts have, if there is one.

    Every host calls this.

    Parameters
    ----------
    trainer
        Trainer that has taken no step.
    directory
        Directory of this host's checkpoints, prepared.
    identity
        Identity of the job across its hosts.
    early_stopping
        Callback that is restored with the best model so far.

    Raises
    ------
    ClientError
        The checkpoint is of a run with another identity, or cannot be read at the moment.
    """
    path, checkpoint = _newest(directory, trainer.group)
    if path is None or checkpoint is None:
        return
    checkpoint.check_identity(identity.entries, path)
    _restore_trainer(trainer, checkpoint, identity)
    if early_stopping:
        early_stopping.resume_from(checkpoint.best, checkpoint.best_parameters)
    _warn_of_fewer_epochs(trainer)
    _logger.info('Resuming from checkpoint "%s": epoch %d, after batch %d.',
                 path, trainer.state.epoch, trainer.state.batch)  # fmt: skip


def _newest(directory: CheckpointDirectory, group: ProcessGroup) -> tuple[Path | None, Checkpoint | None]:
    """Return the newest checkpoint that is whole on every host."""
    if group.size == 1:
        return directory.load_newest() or (None, None)
    own = {checkpoint.counters["num_batches"]: (path, checkpoint) for path, checkpoint in directory.whole()}
    common = set.intersection(*(set(facts["whole"]) for facts in group.gather({"whole": list(own)})))
    return own[max(common)] if common else (None, None)


def _restore_trainer(trainer: Trainer, checkpoint: Checkpoint, identity: RunIdentity) -> None:
    state = TrainState(**checkpoint.counters)
    num_steps = state.num_base_batches * trainer.hyperparameters.records_per_row
    trainer.learner.load_state_dict(checkpoint.arrays, identity.rows, num_steps=num_steps)
    trainer.resume_from(state, checkpoint.metric_sums)


def _warn_of_fewer_epochs(trainer: Trainer) -> None:
    state, epochs = trainer.state, trainer.hyperparameters.epochs
    if (state.epoch, state.epoch_base_batches) > (epochs, 0):
        _logger.warning(
            "The job asks for %d epochs, and its checkpoint has more: the model is that of %d epochs and %d batches.",
            epochs, state.epoch, state.batch + 1,
        )  # fmt: skip
