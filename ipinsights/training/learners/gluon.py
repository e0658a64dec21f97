"""The learner on one device that leaves everything to MXNet: on a GPU, and on a CPU where it is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx
from ipinsights.model.initial_parameters import fill
from ipinsights.model.network import IPInsightsNet, octet_rows
from ipinsights.training.learners.learner import SCORING_BATCH, view_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records

__all__ = ["GluonLearner"]


class GluonLearner:
    """Learner of one model on one device, a :class:`~ipinsights.training.learners.learner.Learner`.

    A step is one of lazy row-sparse Adam on the mean cross-entropy of a batch.

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
        The network that is trained.
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
            Of the step's batch, shape (mini_batch_size,) each. The scores are those before the step, and MXNet may
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

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters, by their names in the artifact; of the entity table these rows, all when not given."""
        self._write(self.parameters(), params, rows)

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on."""
        return view_rows({name: array.asnumpy() for name, array in self._state().items()}, rows)

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Continue from a state of these rows after ``num_steps`` steps; this learner has taken none."""
        self._write(self._state(), state, rows)
        self._optimizer.optimizer.begin_num_update = num_steps

    def symbol(self) -> str:
        """Return the network as MXNet symbol JSON."""
        return self.net.symbol()

    def _state(self) -> dict[str, Any]:
        """Give parameters and moments, the learner's own arrays; the engine makes moments only when it needs them."""
        updater = self._optimizer._updaters[0]  # noqa: SLF001 - MXNet has no other way to them
        moments: dict[str, Any] = {}
        for index, parameter in enumerate(self._optimizer._params):  # noqa: SLF001
            if index not in updater.states:
                weight = parameter.data(self._ctx)
                updater.states[index] = updater.optimizer.create_state_multi_precision(index, weight)
                updater.states_synced[index] = True
            moments.update(
                zip((f"mean:{parameter.name}", f"variance:{parameter.name}"), updater.states[index], strict=True)
            )
        return {**self.parameters(), **moments}

    def _build_net(self, seed: int) -> IPInsightsNet:
        net = IPInsightsNet.of(self.hyperparameters)
        net.initialize(mx.init.Zero(), ctx=self._ctx)
        net.hybridize(static_alloc=True, static_shape=True)
        fill({name: parameter.data(self._ctx) for name, parameter in net.collect_params().items()}, seed=seed)
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

    @staticmethod
    def _write(
        arrays: Mapping[str, mx.nd.NDArray],
        values: Mapping[str, NDArray[np.float32]],
        rows: NDArray[np.int32] | slice,
    ) -> None:
        for name, array in arrays.items():
            whole = array.asnumpy()
            write_rows({name: whole}, values, rows)
            array[:] = whole
        mx.nd.waitall()
