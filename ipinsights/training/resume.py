"""What of a training job outlives its process, or ends it early: checkpoints, a first model, patience, a deadline."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ipinsights
from ipinsights.data.pairs import fingerprint
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.training.callbacks import Checkpointer, Deadline, EarlyStopping
from ipinsights.training.checkpoint import CheckpointDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.callbacks import Callback
    from ipinsights.training.checkpoint import Checkpoint
    from ipinsights.training.collectives import Team
    from ipinsights.training.trainer import Trainer

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

    def prepare(self, hyperparameters: Hyperparameters, *, has_validation: bool, is_first: bool = True) -> None:
        """Try what can be tried before data is read; checkpoints are the first host's business.

        Raises
        ------
        ClientError
            The directory of checkpoints cannot be written or is in use, the first model cannot be read or has another
            shape, or patience is given and nothing to measure it by.
        """
        if self._limits.early_stopping_patience is not None and not has_validation:
            raise ClientError(
                "--early-stopping-patience waits for a better validation AUC, and there is no validation data. Give "
                "the job some (--validation, or the channel 'validation'), or leave the option out."
            )
        if self._directory and is_first:
            self._directory.prepare()
        if self._initial_model:
            self.initial = artifact.load(self._initial_model)
            _check_shape(self._initial_model, self.initial.hyperparameters, hyperparameters)

    def close(self) -> None:
        """Leave the directory of checkpoints to other jobs."""
        if self._directory:
            self._directory.close()

    def check_store(self, store: str) -> None:
        """Refuse, or warn of, what hosts cannot do that run ahead of each other.

        Parameters
        ----------
        store
            Type of MXNet's kvstore.

        Raises
        ------
        ClientError
            Hosts do not keep step, and the best model was to be kept.
        """
        if "async" not in store:
            return
        if self._limits.early_stopping_patience is not None:
            raise ClientError(
                f"--early-stopping-patience is for hosts that keep step, and with _kvstore '{store}' they do not. Set "
                "it to 'dist_sync', or leave the option out."
            )
        if self._directory:
            _logger.warning(
                "With _kvstore '%s' hosts do not keep step, and there is no moment to save: no checkpoints.", store
            )
            self.close()
            self._directory = None

    def shared_terms(self) -> dict[str, str]:
        """Give what all hosts of a job must have alike, by its names in messages."""
        return {
            "the checkpoint directory": "given" if self._directory else "not given",
            "the initial model": fingerprint(*self.initial.params.values()) if self.initial else "not given",
        }

    def share(
        self, team: Team, identity: Mapping[str, str], rows: NDArray[np.int32], *, num_rows: int
    ) -> tuple[dict[str, str], NDArray[np.int32]]:
        """Give what the job's model follows from, and the rows of the entity table that its data has, of all hosts.

        Parameters
        ----------
        team
            The hosts.
        identity, rows
            Of this host.
        num_rows
            Rows of the entity table.
        """
        if team.size == 1 or not (self._directory or self._limits.early_stopping_patience is not None):
            return dict(identity), rows
        told = [facts["data"] for facts in team.gather({"data": identity["the training data"]})]
        data = {f"the training data of host {number}": words for number, words in enumerate(told, start=1)}
        bits = np.zeros(num_rows, dtype=bool)
        bits[rows] = True
        found = np.unpackbits(team.any_of(np.packbits(bits)), count=num_rows)
        own = {name: value for name, value in identity.items() if name != "the training data"}
        return {**own, **data}, np.flatnonzero(found).astype(np.int32)

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
            trainer.learner.set_parameters(self.initial.params)
        if self._directory is None:
            return
        found = self._directory.load_newest() if trainer.team.rank == 0 else None
        if found:
            found[1].refuse_unless(identity, found[0])
        newest = str(found[0]) if found else None
        path = trainer.team.gather({"newest": newest})[0]["newest"]
        if path:
            self._go_on_from(found[1] if found else None, trainer, rows)
            state, epochs = trainer.state, trainer.hyperparameters.epochs
            if (state.epoch, state.epoch_base_batches) > (epochs, 0):
                _logger.warning(
                    "The job asks for %d epochs, and its checkpoint has more: the model is that of %d epochs and %d "
                    "batches.",
                    epochs, state.epoch, state.batch + 1,
                )  # fmt: skip
            _logger.info('Resuming from checkpoint "%s": epoch %d, after batch %d.',
                         path, trainer.state.epoch, trainer.state.batch)  # fmt: skip

    def end(self, trainer: Trainer) -> None:
        """Make the model that is kept the one that is saved; every host calls this."""
        if self._early_stopping:
            self._early_stopping.keep_best(trainer)

    def _go_on_from(self, checkpoint: Checkpoint | None, trainer: Trainer, rows: NDArray[np.int32]) -> None:
        """Go on from the first host's checkpoint, which has a part for every host."""
        from ipinsights.training.trainer import TrainState

        parts: Sequence[Mapping[str, Any]] = [{} for _ in range(trainer.team.size)]
        if checkpoint:
            common = {"best": checkpoint.best}
            own = {"counters": checkpoint.counters, "metric_sums": checkpoint.metric_sums}
            parts = [{**part, **common} for part in (own, *checkpoint.others)]
        # a host can tell all others one thing at a time
        part = [trainer.team.gather(part)[0] for part in parts][trainer.team.rank]
        state = TrainState(**part["counters"])
        num_steps = state.num_base_batches * trainer.hyperparameters.records_per_row
        trainer.learner.load_state_dict(checkpoint.arrays if checkpoint else {}, rows, num_steps=num_steps)
        batches, records, correct, loss = part["metric_sums"]
        trainer.go_on_from(state, (batches, records, correct, loss))
        if self._early_stopping:
            best = tuple(part["best"]) if part["best"] else None
            self._early_stopping.go_on_from(best, checkpoint.best_parameters if checkpoint else {})


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
