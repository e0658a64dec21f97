"""Resume from the newest checkpoint, to the bit, and warm start from another model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.training.train_state import TrainState

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.callbacks import EarlyStopping
    from ipinsights.training.checkpoint import Checkpoint, CheckpointDirectory
    from ipinsights.training.collectives import ProcessGroup
    from ipinsights.training.run_identity import RunIdentity
    from ipinsights.training.trainer import Trainer

__all__ = ["load_initial_model", "resume"]

_logger = logging.getLogger(__name__)

_SHAPE = ("num_entity_vectors", "vector_dim", "num_ip_encoder_layers")


def resume(
    trainer: Trainer,
    directory: CheckpointDirectory,
    identity: RunIdentity,
    *,
    early_stopping: EarlyStopping | None,
) -> None:
    """Restore a new trainer from the newest checkpoint that all hosts have, if there is one.

    Every host calls this with its prepared directory and the identity of the whole job. A run with another identity
    is a ClientError. ``early_stopping`` is restored with the best model so far.
    """
    path, checkpoint = _newest(directory, trainer.group)
    if path is None or checkpoint is None:
        return
    checkpoint.check_identity(identity.entries, path)
    state = TrainState(**checkpoint.counters)
    num_steps = state.num_base_batches * trainer.hyperparameters.records_per_row
    trainer.learner.load_state_dict(checkpoint.arrays, identity.rows, num_steps=num_steps)
    trainer.resume_from(state, checkpoint.metric_sums)
    if early_stopping:
        early_stopping.resume_from(checkpoint.best, checkpoint.best_parameters)
    epochs = trainer.hyperparameters.epochs
    if (state.epoch, state.epoch_base_batches) > (epochs, 0):
        _logger.warning(
            "The job asks for %d epochs, and its checkpoint has more: the model is that of %d epochs and %d batches.",
            epochs, state.epoch, state.batch + 1,
        )  # fmt: skip
    _logger.info('Resuming from checkpoint "%s": epoch %d, after batch %d.', path, state.epoch, state.batch)


def _newest(directory: CheckpointDirectory, group: ProcessGroup) -> tuple[Path | None, Checkpoint | None]:
    """Return the newest checkpoint that is whole on every host."""
    if group.size == 1:
        return directory.load_newest() or (None, None)
    own = {checkpoint.counters["num_batches"]: (path, checkpoint) for path, checkpoint in directory.whole()}
    common = set.intersection(*(set(facts["whole"]) for facts in group.gather({"whole": list(own)})))
    return own[max(common)] if common else (None, None)


def load_initial_model(path: Path, hyperparameters: Hyperparameters) -> Artifact:
    """Read the model that training begins with, whose arrays must have the shapes of the job's."""
    initial = artifact.load(path)
    differences = [
        f"{name} is {getattr(initial.hyperparameters, name)} there and {getattr(hyperparameters, name)} here"
        for name in _SHAPE
        if getattr(initial.hyperparameters, name) != getattr(hyperparameters, name)
    ]
    if differences:
        raise ClientError(
            f"The initial model {path} has another shape than the one to be trained: {'; '.join(differences)}. Set "
            "the hyperparameters to the model's."
        )
    return initial
