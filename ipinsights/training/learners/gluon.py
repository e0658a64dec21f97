"""The learner that leaves everything to MXNet, on GPUs or on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx
from ipinsights.model.initial_parameters import fill
from ipinsights.model.network import IPInsightsNet, octet_rows
from ipinsights.training.learners.gradient_sum import GradientSum
from ipinsights.training.learners.hidden_layers import split
from ipinsights.training.learners.learner import SCORING_BATCH, steps_of, view_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["GluonLearner"]


class GluonLearner:
    """Learner of one model, a :class:`~ipinsights.training.learners.learner.Learner`.

    A step is one of lazy row-sparse Adam on the mean cross-entropy of a batch. Several devices, by default the CPU,
    take about equal parts of the batch, and each has the whole model. MXNet's KVStore of a type ``store`` sums their
    gradients.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        seed: int = 0,
        devices: Sequence[mx.Context] = (),
        store: str = "device",
        group: ProcessGroup | None = None,
        first_row: int = 0,
    ) -> None:
        self.hyperparameters = hyperparameters
        self._devices = list(devices) or [mx.cpu()]
        self.net = self._build_net(seed, first_row)
        self._optimizer = self._build_optimizer(store)
        self._loss = mx.gluon.loss.SigmoidBCELoss()
        self._loss.hybridize(static_alloc=True, static_shape=len(self._devices) == 1)
        self._encoder = dict(self.net.ip_encoder.collect_params().items())
        shapes = {name: parameter.shape for name, parameter in self._encoder.items()}
        self._sum = None if group is None else GradientSum(group, shapes)

    def learn(self, records: Records, *, num_all: int | None = None) -> Iterator[tuple[NDArray[np.float32], Any]]:
        """Take the steps of a base batch, and yield labels and scores (batch,) of each."""
        for batch in steps_of(records, self.hyperparameters, num_all=num_all):
            yield batch.labels, self.step(batch, num_all=num_all)

    def step(self, batch: Records, *, num_all: int | None = None) -> Any:
        """Take one step on a batch of any size, and return the scores (batch,) before it."""
        scores = self._backward(batch)
        self._optimizer.allreduce_grads()
        if self._sum is not None:
            self._sum_encoder(self._sum)
        self._optimizer.update(num_all or len(batch))
        return scores

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the scores (n,) of pairs of entity table rows and addresses, (n,) each."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            scores[part] = self._forward(rows[part], ips[part], self._devices[0]).asnumpy()
        return scores

    def parameters(self) -> dict[str, mx.nd.NDArray]:
        """Return every parameter by its name in the artifact: arrays of the first device."""
        return {name: parameter.data(self._devices[0]) for name, parameter in self.net.collect_params().items()}

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters by their artifact names, of the entity table only ``rows``."""
        self._write({name: parameter.list_data() for name, parameter in self._params()}, params, rows)

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on."""
        return view_rows({name: arrays[0].asnumpy() for name, arrays in self._state().items()}, rows)

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Load a state of these rows after ``num_steps`` steps into a learner without steps."""
        self._write(self._state(), state, rows)
        self._optimizer.optimizer.begin_num_update = num_steps

    def _params(self) -> list[tuple[str, mx.gluon.Parameter]]:
        return list(self.net.collect_params().items())

    def _backward(self, batch: Records) -> Any:
        """Compute the gradients of the summed loss on every device, and return the scores (batch,)."""
        rows = split(len(batch), len(self._devices))
        shares = [(batch[own], device) for own, device in zip(rows, self._devices, strict=True) if own.start < own.stop]
        for device in self._devices:
            if device not in [busy for _, busy in shares]:
                self._clear(device)
        if not shares:
            return np.empty(0, dtype=np.float32)
        with mx.autograd.record():
            scores = [self._forward(share.entity_rows, share.ips, device) for share, device in shares]
            losses = [
                self._loss(score, mx.nd.array(share.labels, ctx=device))
                for score, (share, device) in zip(scores, shares, strict=True)
            ]
        mx.autograd.backward(losses)
        return scores[0] if len(scores) == 1 else mx.nd.concat(*(s.as_in_context(mx.cpu()) for s in scores), dim=0)

    def _clear(self, device: mx.Context) -> None:
        """Set the gradients of a device without records to zero, as new ones."""
        for _, parameter in self._params():
            gradient = parameter.grad(device)
            mx.nd.zeros_like(gradient, out=gradient)
            parameter.data(device)._fresh_grad = True  # noqa: SLF001 - as MXNet's backward does

    def _sum_encoder(self, total: GradientSum) -> None:
        """Sum the gradients of the address encoder over all hosts."""
        for name, gradient in total.gradients.items():
            gradient[:] = self._encoder[name].grad(self._devices[0]).asnumpy()
        total.reduce()
        for name, gradient in total.gradients.items():
            for array in self._encoder[name].list_grad():
                array[:] = gradient

    def _state(self) -> dict[str, list[mx.nd.NDArray]]:
        """Return parameters and moments of every device, the learner's own arrays."""
        state = {name: parameter.list_data() for name, parameter in self._params()}
        updaters = self._optimizer._updaters  # noqa: SLF001 - MXNet has no other way to them
        for index, parameter in enumerate(self._optimizer._params):  # noqa: SLF001
            weights = parameter.list_data()
            moments = [self._moments(*each, index) for each in zip(updaters, weights, strict=True)]
            state[f"mean:{parameter.name}"] = [mean for mean, _ in moments]
            state[f"variance:{parameter.name}"] = [variance for _, variance in moments]
        names = [name for name, _ in self._params()]
        return {f"{kind}{name}": state[f"{kind}{name}"] for kind in ("", "mean:", "variance:") for name in names}

    @staticmethod
    def _moments(updater: Any, weight: mx.nd.NDArray, index: int) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        if index not in updater.states:
            updater.states[index] = updater.optimizer.create_state_multi_precision(index, weight)
            updater.states_synced[index] = True
        moments: tuple[mx.nd.NDArray, mx.nd.NDArray] = updater.states[index]
        return moments

    def _build_net(self, seed: int, first_row: int) -> IPInsightsNet:
        net = IPInsightsNet.of(self.hyperparameters)
        net.initialize(mx.init.Zero(), ctx=self._devices)
        net.hybridize(static_alloc=True, static_shape=len(self._devices) == 1)
        first = {name: parameter.data(self._devices[0]) for name, parameter in net.collect_params().items()}
        fill(first, seed=seed, first_row=first_row)
        for name, parameter in net.collect_params().items():
            for array in parameter.list_data()[1:]:
                first[name].copyto(array)
        return net

    def _build_optimizer(self, store: str) -> mx.gluon.Trainer:
        options = {
            "learning_rate": self.hyperparameters.learning_rate,
            "wd": self.hyperparameters.weight_decay,
        }
        kvstore = store if len(self._devices) > 1 else None
        return mx.gluon.Trainer(self.net.collect_params(), "adam", options, kvstore=kvstore, update_on_kvstore=False)

    def _forward(self, rows: NDArray[np.int32], ips: NDArray[np.uint32], device: mx.Context) -> mx.nd.NDArray:
        # Without a dtype MXNet would make float32 of the rows, which is wrong above 2^24.
        return self.net(
            mx.nd.array(rows, dtype="int32", ctx=device),
            mx.nd.array(octet_rows(ips), dtype="int32", ctx=device),
        )

    @staticmethod
    def _write(
        arrays: Mapping[str, Sequence[mx.nd.NDArray]],
        values: Mapping[str, NDArray[np.float32]],
        rows: NDArray[np.int32] | slice,
    ) -> None:
        for name, copies in arrays.items():
            whole = copies[0].asnumpy()
            write_rows({name: whole}, values, rows)
            for array in copies:
                array[:] = whole
        mx.nd.waitall()
