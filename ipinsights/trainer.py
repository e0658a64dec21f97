"""Training: rows in, a trained network out, with callbacks looking on.

The semantics are the original's, as far as its logs prove them (``docs/explanation/fidelity.md``): rows are read in
their order in base batches of B; each becomes K = 1 + R + S optimizer batches of B mixed records; the short last base
batch is padded to B, and the padding counts in the metrics but not among the records seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights._mxnet import mx
from ipinsights.data import entity_rows
from ipinsights.errors import ClientError
from ipinsights.metrics import RunningClassification, discriminator_auc
from ipinsights.model import IPInsightsNet, octet_rows
from ipinsights.sampling import expand, random_ips

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.callbacks import Callback
    from ipinsights.data import Pairs
    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.sampling import Records

__all__ = ["TrainState", "Trainer"]

# Pairs scored at a time where the batch size is ours to choose.
_SCORING_BATCH = 10_000


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
    epoch_records, epoch_batches
        The same since this epoch's beginning.
    validation_auc
        Of the last validated epoch; None without a validation channel.
    stop
        Set by anybody, at any time (a signal, a callback): training ends after the current base batch.
    """

    epoch: int = 0
    batch: int = -1
    num_records: int = 0
    num_batches: int = 0
    epoch_records: int = 0
    epoch_batches: int = 0
    validation_auc: float | None = None
    stop: bool = False

    def begin_epoch(self) -> None:
        """Reset what is counted within an epoch."""
        self.batch = -1
        self.epoch_records = self.epoch_batches = 0

    def count_batch(self) -> None:
        """Count an optimizer step."""
        self.batch += 1
        self.num_batches += 1
        self.epoch_batches += 1

    def count_records(self, num_records: int) -> None:
        """Count the records of a base batch."""
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
    ctx
        MXNet device, the CPU when not given.

    Attributes
    ----------
    net
        The network, ready to be saved at any callback.
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
        ctx: mx.Context | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.callbacks = tuple(callbacks)
        self.state = TrainState()
        self.metrics = RunningClassification()
        self.batches_per_epoch = 0
        self._ctx = ctx or mx.cpu()
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self.net = self._build_net()
        self._optimizer = self._build_optimizer()
        self._loss = mx.gluon.loss.SigmoidBCELoss()
        self._loss.hybridize(static_alloc=True, static_shape=True)

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
        num_base_batches = -(-len(rows) // self.hyperparameters.mini_batch_size)
        self.batches_per_epoch = num_base_batches * self.hyperparameters.records_per_row
        self._notify("on_train_begin")
        while self.state.epoch < self.hyperparameters.epochs and not self.state.stop:
            self._run_epoch(rows, train.ips, validation)
        self._notify("on_train_end")

    def evaluate(self, pairs: Pairs) -> float:
        """Give the ``discriminator_auc``: every pair against its entity at one random address (R = 1, S = 0).

        The addresses are drawn from the run's seed and are the same at every call, so that epochs can be compared.
        """
        rng = np.random.default_rng([self._seed, len(pairs)])
        rows = entity_rows(pairs.entities, self.hyperparameters.num_entity_vectors)
        negatives = random_ips(len(pairs), rng=rng)
        return discriminator_auc(self.score(rows, pairs.ips), self.score(rows, negatives))

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Score pairs with the network as it is now: rows of the entity table and addresses, both (n,), give (n,)."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _SCORING_BATCH):
            part = slice(start, start + _SCORING_BATCH)
            scores[part] = self._forward(rows[part], ips[part]).asnumpy()
        return scores

    def embeddings(
        self, rows: NDArray[np.int32], ips: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the embeddings of rows of the entity table and of addresses, both (n,), as (n, vector_dim) each."""
        entities = self.net.entities(mx.nd.array(rows, dtype="int32", ctx=self._ctx))
        addresses = self.net.ip_encoder(mx.nd.array(octet_rows(ips), dtype="int32", ctx=self._ctx))
        return entities.asnumpy(), addresses.asnumpy()

    def parameters(self) -> dict[str, mx.nd.NDArray]:
        """Give every parameter by its name in the artifact; the arrays are the network's own, not copies."""
        return {name: parameter.data(self._ctx) for name, parameter in self.net.collect_params().items()}

    def _build_net(self) -> IPInsightsNet:
        values = self.hyperparameters
        net = IPInsightsNet(values.num_entity_vectors, values.vector_dim, values.num_ip_encoder_layers)
        net.initialize_from(self._seed, self._ctx)
        net.hybridize(static_alloc=True, static_shape=True)
        return net

    def _build_optimizer(self) -> mx.gluon.Trainer:
        options = {
            "learning_rate": self.hyperparameters.learning_rate,
            "wd": self.hyperparameters.weight_decay,
        }
        return mx.gluon.Trainer(self.net.collect_params(), "adam", options, kvstore=None)

    def _run_epoch(self, rows: NDArray[np.int32], ips: NDArray[np.uint32], validation: Pairs | None) -> None:
        self.state.begin_epoch()
        self.metrics.reset()
        self._notify("on_epoch_begin")
        for records, num_rows in self._base_batches(rows, ips):
            self._train_on(records)
            self.state.count_records(num_rows * self.hyperparameters.records_per_row)
            self._check_divergence()
            if self.state.stop:
                return
        self.metrics.get()
        self._check_divergence()
        self._notify("on_epoch_trained")
        if validation is not None:
            self.state.validation_auc = self.evaluate(validation)
        self._notify("on_epoch_end")
        self.state.epoch += 1

    def _base_batches(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> Iterator[tuple[Records, int]]:
        """Give each base batch expanded, with the number of its rows that are not padding."""
        size = self.hyperparameters.mini_batch_size
        for start in range(0, len(rows), size):
            # The short last batch is padded with the first rows again.
            batch = np.arange(start, start + size) % len(rows)
            records = expand(
                rows[batch],
                ips[batch],
                num_random=self.hyperparameters.random_negative_sampling_rate,
                num_shuffled=self.hyperparameters.shuffled_negative_sampling_rate,
                rng=self._rng,
            )
            yield records, min(size, len(rows) - start)

    def _train_on(self, records: Records) -> None:
        size = self.hyperparameters.mini_batch_size
        for start in range(0, len(records), size):
            self._step(records[start : start + size])
            self._notify("on_batch_end")

    def _step(self, batch: Records) -> None:
        labels = mx.nd.array(batch.labels, ctx=self._ctx)
        with mx.autograd.record():
            scores = self._forward(batch.entity_rows, batch.ips)
            loss = self._loss(scores, labels)
        loss.backward()
        self._optimizer.step(len(batch))
        self.metrics.update(batch.labels, scores)
        self.state.count_batch()

    def _forward(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> mx.nd.NDArray:
        # Without a dtype MXNet would make float32 of the rows, which is wrong above 2^24.
        return self.net(
            mx.nd.array(rows, dtype="int32", ctx=self._ctx),
            mx.nd.array(octet_rows(ips), dtype="int32", ctx=self._ctx),
        )

    def _check_divergence(self) -> None:
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
