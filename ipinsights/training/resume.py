"""Resume: a run that continues from the newest checkpoint of its directory, to the bit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ipinsights.training.train_state import TrainState

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    """Restore a new trainer from the newest checkpoint, if there is one. Every host calls this.

    Only the first host reads checkpoints. A checkpoint has the parameters of the whole job and the counters of each
    host.

    Parameters
    ----------
    trainer
        Trainer that has taken no step.
    directory
        Directory of checkpoints, prepared on the first host.
    identity
        Identity of the job across its hosts.
    early_stopping
        Callback that is restored with the best model so far.

    Raises
    ------
    ClientError
        The checkpoint is of a run with another identity, or cannot be read at the moment.
    """
    path, checkpoint = _newest(directory, identity) if trainer.group.rank == 0 else (None, None)
    # The other hosts have no checkpoint, and learn from the first one whether there is any.
    shared_path = trainer.group.gather({"path": str(path) if path else None})[0]["path"]
    if shared_path is None:
        return
    own = _own_part(checkpoint, trainer.group)
    _restore_trainer(trainer, own, checkpoint, identity)
    if early_stopping:
        best = (own["best"][0], own["best"][1]) if own["best"] else None
        early_stopping.resume_from(best, checkpoint.best_parameters if checkpoint else {})
    _warn_of_fewer_epochs(trainer)
    _logger.info('Resuming from checkpoint "%s": epoch %d, after batch %d.',
                 shared_path, trainer.state.epoch, trainer.state.batch)  # fmt: skip


def _newest(directory: CheckpointDirectory, identity: RunIdentity) -> tuple[Path | None, Checkpoint | None]:
    found = directory.load_newest()
    if found is None:
        return None, None
    path, checkpoint = found
    checkpoint.check_identity(identity.entries, path)
    return path, checkpoint


def _own_part(checkpoint: Checkpoint | None, group: ProcessGroup) -> Mapping[str, Any]:
    """Return this host's part of the first host's checkpoint: its counters, its metrics and the best AUC."""
    parts: list[Mapping[str, Any]] = [{} for _ in range(group.size)]
    if checkpoint:
        first = {"counters": checkpoint.counters, "metric_sums": checkpoint.metric_sums}
        parts = [{**part, "best": checkpoint.best} for part in (first, *checkpoint.others)]
    # `gather` is the only collective for facts, so the first host sends the parts one after another to everybody.
    return [group.gather(part)[0] for part in parts][group.rank]


def _restore_trainer(
    trainer: Trainer, own: Mapping[str, Any], checkpoint: Checkpoint | None, identity: RunIdentity
) -> None:
    state = TrainState(**own["counters"])
    num_steps = state.num_base_batches * trainer.hyperparameters.records_per_row
    arrays = checkpoint.arrays if checkpoint else {}
    trainer.learner.load_state_dict(arrays, identity.rows, num_steps=num_steps)
    batches, records, correct, loss = own["metric_sums"]
    trainer.resume_from(state, (batches, records, correct, loss))


def _warn_of_fewer_epochs(trainer: Trainer) -> None:
    state, epochs = trainer.state, trainer.hyperparameters.epochs
    if (state.epoch, state.epoch_base_batches) > (epochs, 0):
        _logger.warning(
            "The job asks for %d epochs, and its checkpoint has more: the model is that of %d epochs and %d batches.",
            epochs, state.epoch, state.batch + 1,
        )  # fmt: skip
