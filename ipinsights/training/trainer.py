"""The training loop: epochs over base batches, with validation and callbacks.

The semantics are the original's, as far as its logs prove them (``docs/explanation/fidelity.md``): rows are read in
their order in base batches of B. Each becomes K = 1 + R + S optimizer batches of B mixed records. The short last base
batch is padded to B, and the padding counts in the metrics but not among the records seen.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ipinsights._system import available_cpus, one_ahead
from ipinsights.data.entity_hash import entity_rows
from ipinsights.errors import ClientError
from ipinsights.model.sampling import random_ips
from ipinsights.training.batches import BaseBatches, PartitionedBatches
from ipinsights.training.collectives import STOP, ProcessGroup
from ipinsights.training.learners.devices import build_learner
from ipinsights.training.learners.learner import SCORING_BATCH
from ipinsights.training.metrics import RunningClassification, discriminator_auc
from ipinsights.training.train_state import TrainState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.batches import BaseBatch
    from ipinsights.training.callbacks import Callback
    from ipinsights.training.entity_partition import EntityPartition
    from ipinsights.training.learners.learner import Learner

__all__ = ["Trainer"]

# Pairs that are scored between two checks of `state.stop`: less than a second.
_VALIDATION_PIECE = 10 * SCORING_BATCH


class Trainer:
    """Trainer of one model on this host.

    The same seed on the same machine gives the same model to the bit. Without a ``learner`` it is one on the CPU. A
    ``partition`` has the ranges of the entity table that several hosts own. With more than one thread, by default the
    cores available, each base batch is made while the one before is learned. Callbacks are called in their order.

    A callback finds the ``learner``, ready to be saved at any time, the ``group`` of hosts, the counters ``state``,
    the running ``metrics`` of the epoch, and ``batches_per_epoch``, the optimizer steps of one, once :meth:`fit` has
    begun.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        learner: Learner | None = None,
        partition: EntityPartition | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.callbacks = tuple(callbacks)
        self.learner: Learner = learner or build_learner(
            hyperparameters, gpus=[], store="local", seed=seed, num_threads=num_threads
        )
        self.partition = partition
        self.group = partition.group if partition else ProcessGroup()
        self.state = TrainState()
        self.metrics = RunningClassification()
        self.batches_per_epoch = 0
        self._seed = seed
        self._num_threads = num_threads or available_cpus()
        self._is_within_epoch = False

    def resume_from(self, state: TrainState, metric_sums: tuple[int, int, int, float]) -> None:
        """Restore the counters at the end of a base batch or epoch, where :meth:`fit` continues.

        The learner is restored separately. ``metric_sums`` is the result of
        :meth:`ipinsights.training.metrics.RunningClassification.sums` at that step.
        """
        self.state = state
        self.metrics.resume_from(metric_sums)
        self._is_within_epoch = True

    def fit(self, train: Pairs, validation: Pairs | None = None) -> None:
        """Train for all epochs, or until ``state.stop`` is set.

        The order of the rows of this host is kept in every epoch. ``validation`` is the same on all hosts. A loss
        that is not finite any more is a ClientError: the run has diverged.
        """
        batches = self._batches(train)
        self.batches_per_epoch = len(batches) * self.hyperparameters.records_per_row
        self._notify("on_train_begin")
        stopped = self._stops()
        while self.state.epoch < self.hyperparameters.epochs and not stopped:
            stopped = self._run_epoch(batches, validation)
        self._notify("on_train_end")
        self.group.wait()

    def evaluate(self, pairs: Pairs) -> float | None:
        """Return the ``discriminator_auc`` of the pairs on the first host, None on others.

        Each pair is compared with its entity at one random address (R = 1, S = 0). The addresses are drawn from the
        run's seed. They are the same at every call, so that epochs can be compared. A run that is to stop ends this at
        once, and None is returned.
        """
        scores = []
        for piece in self._validation_scores(pairs):
            if self._stops():
                return None
            scores.append(piece)
        return discriminator_auc(*np.concatenate(scores, axis=1)) if self.group.rank == 0 else None

    def _batches(self, train: Pairs) -> BaseBatches:
        if self.partition:
            rows = self.partition.local_rows(train.entities)
            return PartitionedBatches(self.partition, rows, train.ips, self.hyperparameters, seed=self._seed)
        rows = entity_rows(train.entities, self.hyperparameters.num_entity_vectors)
        return BaseBatches(rows, train.ips, self.hyperparameters, seed=self._seed)

    def _run_epoch(self, batches: BaseBatches, validation: Pairs | None) -> bool:
        """Train for an epoch. Return whether the run stops after it."""
        if not self._is_within_epoch:
            self.state.begin_epoch()
            self.metrics.reset()
        self._is_within_epoch = False
        if self.partition:
            num_steps = self.state.num_base_batches * self.hyperparameters.records_per_row
            self.partition.align_encoders(self.learner, num_steps=num_steps)
        self._notify("on_epoch_begin")
        own = batches.epoch(self.state.epoch, first=self.state.epoch_base_batches)
        with closing(one_ahead(own) if self._num_threads > 1 else own) as made:
            for batch in made:
                self._train_on(batch)
                if self.group.has_agreed(STOP):
                    return True
        self.metrics.get()
        self._check_divergence()
        self._notify("on_epoch_trained")
        auc = None if validation is None else self.evaluate(validation)
        if self._stops():
            return True
        self.state.validation_auc = auc
        self._notify("on_epoch_end")
        self.state.epoch += 1
        return self._stops()

    def _validation_scores(self, pairs: Pairs) -> Iterator[NDArray[np.float32]]:
        """Yield scores of pairs and of their entities at random addresses, (2, n), piece by piece."""
        rng = np.random.default_rng([self._seed, len(pairs)])
        rows = entity_rows(pairs.entities, self.hyperparameters.num_entity_vectors)
        negatives = random_ips(len(pairs), rng=rng)
        score = partial(self.partition.score, self.learner) if self.partition else self.learner.score
        for start in range(0, len(pairs), _VALIDATION_PIECE):
            part = slice(start, start + _VALIDATION_PIECE)
            yield np.stack([score(rows[part], ips[part]) for ips in (pairs.ips, negatives)])

    def _stops(self) -> bool:
        """Return whether the run stops on all hosts. ``state.stop`` can change at any time on one."""
        return self.group.agree_to_stop(self.state.stop)

    def _train_on(self, batch: BaseBatch) -> None:
        for labels, scores in self.learner.learn(batch.records, num_all=batch.num_all):
            self.metrics.update(labels, scores)
            self.state.count_batch()
            self._notify("on_batch_end")
            self.group.votes[STOP] = self.state.stop
        self.state.count_base_batch(batch.num_rows * self.hyperparameters.records_per_row)
        self.metrics.read_computed()
        self._check_divergence()
        self._notify("on_base_batch_end")
        self.group.votes[STOP] = self.state.stop

    def _check_divergence(self) -> None:
        """Raise an error if a loss was not finite. The metrics read losses a few batches late."""
        if self.metrics.first_bad_batch is None:
            return
        raise ClientError(
            f"Training diverged: the loss of batch {self.metrics.first_bad_batch} in epoch {self.state.epoch} is not "
            f"a finite number, at learning_rate {self.hyperparameters.learning_rate:g}. Lower learning_rate "
            "(the default is 0.001)."
        )

    def _notify(self, hook: str) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self)
