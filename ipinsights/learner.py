"""A learner: the network with its optimizer on one device. It takes steps and scores; when, others decide.

This one leaves everything to the engine: on a GPU, and as the plain form of what :mod:`ipinsights.cpu_learner` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights._mxnet import mx
from ipinsights.model import IPInsightsNet, octet_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.sampling import Records

__all__ = ["SCORING_BATCH", "Learner"]

SCORING_BATCH = 10_000
"""Pairs scored at a time where the batch size is ours to choose."""


class Learner:
    """Learner of one model on one device, by lazy row-sparse Adam on the mean cross-entropy of a batch.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    seed
        Of the initial parameters.
    ctx
        MXNet device, the CPU when not given.

    Attributes
    ----------
    hyperparameters
        The ones given.
    net
        The network.
    """

    def __init__(self, hyperparameters: Hyperparameters, *, seed: int = 0, ctx: mx.Context | None = None) -> None:
        self.hyperparameters = hyperparameters
        self._ctx = ctx or mx.cpu()
        self.net = self._build_net(seed)
        self._optimizer = self._build_optimizer()
        self._loss = mx.gluon.loss.SigmoidBCELoss()
        self._loss.hybridize(static_alloc=True, static_shape=True)

    def learn(self, records: Records) -> Iterator[tuple[NDArray[np.float32], mx.nd.NDArray]]:
        """Take a step for each ``mini_batch_size`` of records.

        Yields
        ------
        labels, scores
            Of the step's batch, shape (mini_batch_size,) each; the scores are those before the step, and the engine may
            still be computing them.
        """
        size = self.hyperparameters.mini_batch_size
        for start in range(0, len(records), size):
            batch = records[start : start + size]
            yield batch.labels, self.step(batch)

    def step(self, batch: Records) -> mx.nd.NDArray:
        """Take one step on a batch of any size, and give the scores (batch,) before it."""
        labels = mx.nd.array(batch.labels, ctx=self._ctx)
        with mx.autograd.record():
            scores = self._forward(batch.entity_rows, batch.ips)
            loss = self._loss(scores, labels)
        loss.backward()
        self._optimizer.step(len(batch))
        return scores

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Score pairs with the network as it is now: rows of the entity table and addresses, both (n,), give (n,)."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
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

    def _build_net(self, seed: int) -> IPInsightsNet:
        values = self.hyperparameters
        net = IPInsightsNet(values.num_entity_vectors, values.vector_dim, values.num_ip_encoder_layers)
        net.initialize_from(seed, self._ctx)
        net.hybridize(static_alloc=True, static_shape=True)
        return net

    def _build_optimizer(self) -> mx.gluon.Trainer:
        options = {
            "learning_rate": self.hyperparameters.learning_rate,
            "wd": self.hyperparameters.weight_decay,
        }
        return mx.gluon.Trainer(self.net.collect_params(), "adam", options, kvstore=None)

    def _forward(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> mx.nd.NDArray:
        # Without a dtype MXNet would make float32 of the rows, which is wrong above 2^24.
        return self.net(
            mx.nd.array(rows, dtype="int32", ctx=self._ctx),
            mx.nd.array(octet_rows(ips), dtype="int32", ctx=self._ctx),
        )
