"""Several hosts, from their pairs to checkpoints and back.

Validation, early stopping and resumed runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.training.callbacks import Callback, Checkpointer, Deadline, EarlyStopping
from ipinsights.training.checkpoint import CheckpointDirectory
from ipinsights.training.entity_partition import EntityPartition
from ipinsights.training.learners.cpu import CPULearner
from ipinsights.training.resume import resume
from ipinsights.training.run_identity import RunIdentity
from ipinsights.training.trainer import Trainer

from .thread_group import on_hosts

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.collectives import ProcessGroup

VALUES: dict[str, Any] = {"num_entity_vectors": 50, "vector_dim": 8, "mini_batch_size": 20, "learning_rate": 0.01}


def rows(seed: int, size: int) -> Pairs:
    """Draw pairs of thirty users, each with a network of its own."""
    rng = np.random.default_rng(seed)
    users = rng.integers(30, size=size)
    ips = (users.astype(np.uint32) * np.uint32(7_654_321)) ^ rng.integers(256, size=size).astype(np.uint32)
    return Pairs(hash_entities([f"user_{user}" for user in users]), ips)


TRAIN, VALIDATION = rows(1, 500), rows(2, 100)


class Watch(Callback):
    """Notes of a run, which a host may stop after some base batches."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.aucs: list[float | None] = []
        self.num_base_batches = 0
        self._stop_after = stop_after

    def on_batch_end(self, trainer: Trainer) -> None:
        """Stop after the base batch in progress."""
        if self._stop_after is not None and trainer.state.num_base_batches + 1 >= self._stop_after:
            trainer.state.stop = True

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Note the AUC."""
        self.aucs.append(trainer.state.validation_auc)


def train(
    group: ProcessGroup, folder: Path | None, *, epochs: int = 3, stop_after: int | None = None, patience: int = 99,
    **changes: Any,
) -> tuple[Trainer, Watch]:  # fmt: skip
    """Train this host's part, and resume from the folder's checkpoints."""
    values = Hyperparameters(**{**VALUES, "epochs": epochs, **changes})
    partition, own = EntityPartition.divide(group, TRAIN, values, is_sharded=False)
    local = partition.local_hyperparameters(values)
    learner = CPULearner(local, seed=4, num_threads=1, group=group, first_row=partition.first)
    watch = Watch(stop_after)
    trainer = Trainer(values, seed=4, callbacks=[watch], learner=learner, partition=partition, num_threads=1)
    trained = np.unique(partition.local_rows(own.entities))
    identity = RunIdentity.of(values, seed=4, train=own, rows=trained, validation=VALIDATION).across(group)
    early_stopping = EarlyStopping(patience, identity.rows)
    trainer.callbacks += (early_stopping,)
    if folder:
        directory = CheckpointDirectory(folder, keep=2, rank=group.rank, num_hosts=group.size)
        directory.prepare()
        trainer.callbacks += (Checkpointer(directory, identity, every_batches=6, early_stopping=early_stopping),)
        resume(trainer, directory, identity, early_stopping=early_stopping)
        directory.close()
    trainer.fit(own, VALIDATION)
    if patience < 99:
        early_stopping.keep_best(trainer)
    return trainer, watch


def parameters(trainer: Trainer) -> dict[str, bytes]:
    """Return the parameters of a host, as bytes."""
    return {name: array.tobytes() for name, array in trainer.learner.parameters().items()}


@pytest.mark.parametrize("size", [2, 3])
def test_hosts_resume_to_the_bit(tmp_path: Path, size: int) -> None:
    """A run resumes to the bit from the newest checkpoint that all hosts have."""
    whole = on_hosts(size, lambda group: train(group, None))
    on_hosts(size, lambda group: train(group, tmp_path, stop_after=8 if group.rank == 1 else None))
    # A part that one host has lost, and one that is damaged
    newest = max(tmp_path.glob(f"checkpoint-*.{size}-of-{size}"))
    newest.unlink()
    resumed = on_hosts(size, lambda group: train(group, tmp_path))
    for (one, _), (other, _) in zip(whole, resumed, strict=True):
        assert parameters(one) == parameters(other)
        assert one.state == other.state
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2 * size


def test_all_stop_after_the_same_base_batch() -> None:
    """Whichever host wants to, and also for the time that a host has measured."""
    found = on_hosts(3, lambda group: train(group, None, stop_after=5 if group.rank == 2 else None))
    assert [trainer.state.num_base_batches for trainer, _ in found] == [5] * 3

    def hurry(group: ProcessGroup) -> int:
        partition, own = EntityPartition.divide(group, TRAIN, Hyperparameters(**VALUES), is_sharded=False)
        local = partition.local_hyperparameters(Hyperparameters(**VALUES))
        learner = CPULearner(local, num_threads=1, group=group, first_row=partition.first)
        trainer = Trainer(Hyperparameters(**VALUES), callbacks=[Deadline(1e-6)], learner=learner, partition=partition)
        trainer.fit(own)
        return trainer.state.num_base_batches

    assert on_hosts(2, hurry) == [1, 1]


def test_validation_is_on_the_first_host_with_all_scores() -> None:
    """The AUC of the model of all hosts together is the one that one host measures with it."""
    found = on_hosts(3, lambda group: train(group, None, epochs=1))
    assert [watch.aucs for _, watch in found[1:]] == [[None]] * 2
    alone = Trainer(Hyperparameters(**VALUES), seed=4)
    params = found[0][0].learner.parameters()
    table = np.concatenate([trainer.learner.parameters()["entity_weight"] for trainer, _ in found])
    alone.learner.set_parameters({**params, "entity_weight": table})
    assert found[0][1].aucs == [alone.evaluate(VALIDATION)]


def test_hosts_end_with_the_best_model() -> None:
    """All hosts stop with the first one, and keep their rows of the best epoch."""
    found = on_hosts(2, lambda group: train(group, None, epochs=40, learning_rate=0.5, patience=1))
    aucs = found[0][1].aucs
    best = aucs.index(max(aucs, key=float))
    assert len(aucs) == best + 2 < 40
    shorter = on_hosts(2, lambda group: train(group, None, epochs=best + 1, learning_rate=0.5))
    # Close, because a last digit grows at this learning rate: hosts that are threads share one BLAS.
    for (one, _), (other, _) in zip(found, shorter, strict=True):
        for name, expected in other.learner.parameters().items():
            np.testing.assert_allclose(one.learner.parameters()[name], expected, atol=1e-3)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (1, 2), (2, 1)])
def test_another_number_of_hosts_is_refused(tmp_path: Path, before: int, after: int) -> None:
    """The error names a file of the other number of hosts, and two cures."""
    on_hosts(before, lambda group: train(group, tmp_path, epochs=1))
    first = min(path.name for path in tmp_path.glob("checkpoint-*"))
    with pytest.raises(ClientError) as caught:
        on_hosts(after, lambda group: train(group, tmp_path, epochs=1))
    assert str(caught.value) == (
        f"The checkpoints in {tmp_path}, such as {first}, are of another number of hosts. Begin with the saved model, "
        "or give this run a checkpoint directory of its own."
    )


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """Other settings are refused with each difference, as on one host."""
    on_hosts(2, lambda group: train(group, tmp_path, epochs=1))
    with pytest.raises(ClientError, match=r"learning_rate was '0\.01' and is '0\.02'\. Go on with"):
        on_hosts(2, lambda group: train(group, tmp_path, epochs=1, learning_rate=0.02))
