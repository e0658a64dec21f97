"""Training: rows in, a trained network out, with callbacks looking on.

The semantics are the original's, as far as its logs prove them (``docs/explanation/fidelity.md``): rows are read in
their order in base batches of B; each becomes K = 1 + R + S optimizer batches of B mixed records; the short last base
batch is padded to B, and the padding counts in the metrics but not among the records seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.data.entity_hash import entity_rows
from ipinsights.errors import ClientError
from ipinsights.model.sampling import random_ips
from ipinsights.training.batches import BaseBatches
from ipinsights.training.collectives import Team
from ipinsights.training.learners.cpu import CPULearner
from ipinsights.training.learners.learner import SCORING_BATCH
from ipinsights.training.metrics import RunningClassification, discriminator_auc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.batches import BaseBatch
    from ipinsights.training.callbacks import Callback
    from ipinsights.training.learners.learner import Learner

__all__ = ["TrainState", "Trainer"]

# Pairs between two looks at whether the run is to stop: less than a second.
_VALIDATION_PIECE = 10 * SCORING_BATCH


@dataclass
class TrainState:
    """Everything a run counts.

    Attributes
    ----------
    epoch
        The current epoch, from 0; the number of finished epochs once training has ended.
    batch
        Index of the last optimizer step in this epoch, -1 before its first.
    num_records
        Records seen since the beginning, negatives counted, padding not: K * N after one epoch over N rows.
    num_batches
        Optimizer steps since the beginning: K * ceil(N / B) after one epoch.
    num_base_batches
        Base batches since the beginning, also those in which other hosts had rows and this one had none.
    epoch_records, epoch_batches, epoch_base_batches
        The same since this epoch's beginning.
    validation_auc
        Of the last validated epoch; None without a validation channel.
    stop
        Set by anybody, at any time (a signal, a callback): training ends after the current base batch; a validation is
        broken off, and done again by a run that goes on from there.
    """

    epoch: int = 0
    batch: int = -1
    num_records: int = 0
    num_batches: int = 0
    num_base_batches: int = 0
    epoch_records: int = 0
    epoch_batches: int = 0
    epoch_base_batches: int = 0
    validation_auc: float | None = None
    stop: bool = False

    def begin_epoch(self) -> None:
        """Reset what is counted within an epoch."""
        self.batch = -1
        self.epoch_records = self.epoch_batches = self.epoch_base_batches = 0

    def count_batch(self) -> None:
        """Count an optimizer step."""
        self.batch += 1
        self.num_batches += 1
        self.epoch_batches += 1

    def count_base_batch(self, num_records: int) -> None:
        """Count a base batch and its records."""
        self.num_base_batches += 1
        self.epoch_base_batches += 1
        self.num_records += num_records
        self.epoch_records += num_records


class Trainer:
    """Trainer of one model on one machine.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    seed
        Of every random draw. The same seed on the same machine gives the same model to the bit.
    callbacks
        Onlookers, told of each moment in this order.
    learner
        What takes the steps; one on the CPU when not given.
    team
        The hosts that train together; a host alone when not given.

    Attributes
    ----------
    learner
        The network and its optimizer, ready to be saved at any callback.
    team
        The one given, or of one.
    state
        Counters of the run.
    metrics
        Running metrics of the current epoch.
    batches_per_epoch
        Optimizer steps of one epoch, known once :meth:`fit` has begun.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        seed: int = 0,
        callbacks: Sequence[Callback] = (),
        learner: Learner | None = None,
        team: Team | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.callbacks = tuple(callbacks)
        self.learner: Learner = learner or CPULearner(hyperparameters, seed=seed)
        self.team = team or Team()
        self.state = TrainState()
        self.metrics = RunningClassification()
        self.batches_per_epoch = 0
        self._seed = seed
        self._is_within_epoch = False

    def go_on_from(self, state: TrainState, metric_sums: tuple[int, int, int, float]) -> None:
        """Let :meth:`fit` go on from the end of a base batch or of an epoch; the learner has been restored.

        Parameters
        ----------
        state
            As it was there.
        metric_sums
            What :meth:`ipinsights.training.metrics.RunningClassification.sums` gave there.
        """
        self.state = state
        self.metrics.go_on_from(metric_sums)
        self._is_within_epoch = True

    def fit(self, train: Pairs, validation: Pairs | None = None) -> None:
        """Train for all epochs, or until ``state.stop`` is set.

        Parameters
        ----------
        train
            Training rows; their order is kept in every epoch.
        validation
            Rows to measure ``validation_auc`` on after each epoch.

        Raises
        ------
        ClientError
            The loss is no longer finite: the run has diverged.
        """
        rows = entity_rows(train.entities, self.hyperparameters.num_entity_vectors)
        batches = BaseBatches(rows, train.ips, self.hyperparameters, seed=self._seed, team=self.team)
        self.batches_per_epoch = len(batches) * self.hyperparameters.records_per_row
        self._notify("on_train_begin")
        stopped = self._stops()
        while self.state.epoch < self.hyperparameters.epochs and not stopped:
            stopped = self._run_epoch(batches, validation)
        self._notify("on_train_end")

    def evaluate(self, pairs: Pairs) -> float:
        """Give the ``discriminator_auc``: every pair against its entity at one random address (R = 1, S = 0).

        The addresses are drawn from the run's seed and are the same at every call, so that epochs can be compared.
        """
        return discriminator_auc(*np.concatenate(list(self._validation_scores(pairs)), axis=1))

    def _run_epoch(self, batches: BaseBatches, validation: Pairs | None) -> bool:
        """Train for an epoch, and say whether the run stops here."""
        if not self._is_within_epoch:
            self.state.begin_epoch()
            self.metrics.reset()
        self._is_within_epoch = False
        self._notify("on_epoch_begin")
        for batch in batches.epoch(self.state.epoch, first=self.state.epoch_base_batches):
            self._train_on(batch)
            if self._stops():
                return True
        self.metrics.get()
        self._check_divergence()
        self._notify("on_epoch_trained")
        auc = None if validation is None else self._validate(validation)
        if self._stops():
            return True
        self.state.validation_auc = auc
        self._notify("on_epoch_end")
        self.state.epoch += 1
        return self._stops()

    def _validate(self, pairs: Pairs) -> float | None:
        """Evaluate, unless the run is to stop: a platform does not wait until millions of pairs are scored."""
        scores = []
        for piece in self._validation_scores(pairs):
            if self.state.stop:
                return None
            scores.append(piece)
        return discriminator_auc(*np.concatenate(scores, axis=1))

    def _validation_scores(self, pairs: Pairs) -> Iterator[NDArray[np.float32]]:
        """Give scores of pairs, and of their entities at random addresses, (2, n), piece by piece."""
        rng = np.random.default_rng([self._seed, len(pairs)])
        rows = entity_rows(pairs.entities, self.hyperparameters.num_entity_vectors)
        negatives = random_ips(len(pairs), rng=rng)
        for start in range(0, len(pairs), _VALIDATION_PIECE):
            part = slice(start, start + _VALIDATION_PIECE)
            yield np.stack([self.learner.score(rows[part], ips[part]) for ips in (pairs.ips, negatives)])

    def _stops(self) -> bool:
        """Say whether the run stops; ``state.stop`` itself may change at any time, on one host and not on another."""
        return self.team.agree_to_stop(self.state.stop)

    def _train_on(self, batch: BaseBatch) -> None:
        for labels, scores in self.learner.learn(batch.records):
            self.metrics.update(labels, scores)
            self.state.count_batch()
            self._notify("on_batch_end")
        self.state.count_base_batch(batch.num_rows * self.hyperparameters.records_per_row)
        self._check_divergence()
        self._notify("on_base_batch_end")

    def _check_divergence(self) -> None:
        """Fail once a loss that has been read is not finite, a few batches after it was."""
        if self.metrics.first_bad_batch is None:
            return
        raise ClientError(
            f"Training diverged: the loss of batch {self.metrics.first_bad_batch} in epoch {self.state.epoch} is not "
            f"a finite number, at learning_rate {self.hyperparameters.learning_rate:g}. Lower learning_rate "
            "(the default is 0.001)."
        )

    def _notify(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self)
