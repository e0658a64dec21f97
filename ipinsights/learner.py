"""A learner: the network with its optimizer on one device. It takes steps and scores; when, others decide.

This one leaves everything to the engine: on a GPU, and as the plain form of what :mod:`ipinsights.cpu_learner` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights._mxnet import mx
from ipinsights.model import IPInsightsNet, octet_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.sampling import Records

__all__ = ["SCORING_BATCH", "Learner", "TakenRows"]

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

    def snapshot(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Give all that the next step depends on but the number of steps, to be read before the next step is taken.

        Parameters
        ----------
        rows
            Rows of the entity table that the data has, (n,); no other one ever changes.

        Returns
        -------
        dict
            Float32 arrays, or what gives one for a slice: parameters by their names in the artifact, and Adam's running
            means of their gradients, ``mean:NAME``, and of their squares, ``variance:NAME``.
        """
        return {name: TakenRows.of(name, array, rows) for name, array in self._state().items()}

    def restore(self, snapshot: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int) -> None:
        """Go back to a snapshot of these rows, taken after so many steps; the learner has taken none itself."""
        _write(self._state(), snapshot, rows)
        self._set_num_steps(num_steps)

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters, by their names in the artifact; of the entity table these rows, all when not given."""
        _write(self.parameters(), params, rows)

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

    def _set_num_steps(self, num_steps: int) -> None:
        self._optimizer.optimizer.begin_num_update = num_steps

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


class TakenRows:
    """Rows of an array (n, width), taken slice by slice, so that no second copy of a large one is made.

    Attributes
    ----------
    shape
        Of all the rows together.
    """

    def __init__(self, array: NDArray[np.float32], rows: NDArray[np.int32]) -> None:
        self.shape = (len(rows), *array.shape[1:])
        self._array = array
        self._rows = rows

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Give a slice of the rows."""
        taken: NDArray[np.float32] = self._array[self._rows[part]]
        return taken

    @classmethod
    def of(cls, name: str, array: Any, rows: NDArray[np.int32]) -> Any:
        """Give the rows of an array if it is as long as the entity table, else the whole of it."""
        return cls(_values(array), rows) if _is_table(name) else _values(array)


def _write(
    arrays: Mapping[str, Any], values: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice
) -> None:
    """Write values into a learner's own arrays, into these rows of the ones that are as long as the entity table."""
    for name, array in arrays.items():
        whole = _values(array)
        whole[rows if _is_table(name) else slice(None)] = values[name]
        if whole is not array:
            array[:] = whole
    mx.nd.waitall()


def _is_table(name: str) -> bool:
    return name.endswith("entity_weight")


def _values(array: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = array if isinstance(array, np.ndarray) else array.asnumpy()
    return values
