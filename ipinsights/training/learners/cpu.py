"""The learner on a CPU: compiled kernels, with products by BLAS in them.

The steps are those of :class:`~ipinsights.training.learners.gluon.GluonLearner`, to rounding:
``tests/unit/test_learner.py`` holds both to one formula. They are fast because

- records are grouped by entity: an entity is scored and updated while it is in the cache, together with its moments,
- each octet value of a batch is encoded once, however many addresses have it (:mod:`.octet_layer`),
- threads share what takes long enough, in pieces whose number depends on the sizes alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.initial_parameters import fill
from ipinsights.model.ip_encoder import AddressEncoder, allocate_pair
from ipinsights.training.learners.compilation import load_kernels
from ipinsights.training.learners.entity_table import EntityTable
from ipinsights.training.learners.gradient_sum import GradientSum
from ipinsights.training.learners.hidden_layers import HiddenLayers, split
from ipinsights.training.learners.learner import SCORING_BATCH, aligned_zeros, steps_of, view_rows, write_rows
from ipinsights.training.learners.octet_layer import OctetLayer
from ipinsights.training.learners.task_threads import TaskThreads, one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["CPULearner", "num_pieces"]

_TABLE, _FIRST = "entity_weight", "ip_layer0_weight"
# A parameter and Adam's running means of its gradient and of the square.
_KINDS = ("", "mean:", "variance:")
# MXNet's defaults, which are those of Kingma and Ba.
_BETA1, _BETA2 = 0.9, 0.999
# Numbers of a batch's embeddings in a piece, some 2 milliseconds of work, and the most pieces.
_PIECE_NUMBERS, _MAX_PIECES = 2**19, 8
# Numbers of a batch's layers from which a step is long enough, a millisecond, to wake up a thread for it.
_SHARED_NUMBERS = 2**17


class CPULearner:
    """Learner of one model on the CPU, a :class:`~ipinsights.training.learners.learner.Learner`.

    The same seed and records give the same parameters to the bit, whatever the number of threads.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    seed
        Seed of the initial parameters.
    num_threads
        Threads of a step, the cores available to this process when not given.
    group
        Hosts with which the gradients of the address encoder are summed. None for one host.
    first_row
        Row of the whole entity table that is this learner's first.
    rows
        Ascending rows of the entity table that are trained and often scored, (num_used,). The others take no memory.
        None for all.

    Raises
    ------
    ClientError
        Numba cannot be imported.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        seed: int = 0,
        num_threads: int | None = None,
        group: ProcessGroup | None = None,
        first_row: int = 0,
        rows: NDArray[np.int32] | None = None,
    ) -> None:
        self._kernels = load_kernels()
        self.hyperparameters = hyperparameters
        self._arrays = _allocate(hyperparameters)
        fill(self._views(""), seed=seed)
        shape = hyperparameters.num_entity_vectors, hyperparameters.vector_dim
        self._table = EntityTable(*shape, rows=rows, seed=seed, first_row=first_row)
        self._num_steps = 0
        self._threads = TaskThreads(num_threads)
        size, dim = hyperparameters.mini_batch_size, hyperparameters.vector_dim
        num_layers = hyperparameters.num_ip_encoder_layers
        self._is_shared = size * dim * max(1, num_layers) >= _SHARED_NUMBERS
        # First and last octet of each task: a call takes some microseconds, so one takes all where it is not shared.
        self._places = [(n, n + 1) for n in range(4)] if self._is_shared else [(0, 4)]
        self._encoder = AddressEncoder(self.parameters(), dim, num_layers)
        self._octet_layer = OctetLayer(self._arrays, num_pieces=num_pieces(size, dim), dim=dim)
        layers = [
            (self._arrays[f"ip_layer{n}_weight"], self._arrays[f"ip_layer{n}_bias"]) for n in range(1, num_layers)
        ]
        self._hidden_layers = HiddenLayers(layers, num_pieces=num_pieces(size, dim), share=self._share)
        encoder = {name: array.shape[1:] for name, array in self._arrays.items()}
        self._sum = None if group is None else GradientSum(group, encoder)
        # Records of a step by entity, see kernels.group
        self._numbers = np.full(len(self._table.states), -1, dtype=np.int32)
        self._order, self._distinct = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
        self._starts, self._bounds = np.empty(size + 1, dtype=np.int32), np.empty(num_pieces(size, dim) + 1, np.int32)

    def learn(
        self, records: Records, *, num_all: int | None = None
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Take the steps of a base batch, and yield labels and scores of each, (batch,)."""
        records = replace(records, entity_rows=self._table.index(records.entity_rows))
        # The products of a step are too small to be shared: threads would wait for each other longer than they work.
        with one_blas_thread():
            for batch in steps_of(records, self.hyperparameters, num_all=num_all):
                yield batch.labels, self._step(batch, _padded(batch.labels, num_all))

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the scores (n,) of rows of the entity table and addresses, (n,) each."""
        tables, scores = self._encoder.octet_tables(), np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            x, y = allocate_pair(len(rows[part]), self.hyperparameters.vector_dim)
            embedded_ips = self._encoder.embed(tables, ips[part], x, y)
            scores[part] = np.einsum("nd,nd->n", self._table.vectors(rows[part]), embedded_ips)
        return scores

    def parameters(self) -> dict[str, Any]:
        """Return every parameter by its artifact name, as views of the learner's arrays.

        The entity table has a ``shape`` and slices like an array where some of its rows are not in memory.
        """
        return {_TABLE: self._table.parameter(), **self._views("")}

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters by their artifact names.

        Of the entity table only ``rows`` are set, all rows by default.
        """
        if isinstance(rows, slice):
            self._table.replace(params[_TABLE])
            write_rows(self._views(""), params, rows)
        else:
            write_rows(self._trained(""), params, self._table.index(rows))

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on."""
        return view_rows(self._state(), self._table.index(rows))

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Load a state of these rows after ``num_steps`` steps into a learner without steps."""
        write_rows(self._state(), state, self._table.index(rows))
        self._num_steps = num_steps

    def _state(self) -> dict[str, NDArray[np.float32]]:
        return {name: view for kind in _KINDS for name, view in self._trained(kind).items()}

    def _trained(self, kind: str) -> dict[str, NDArray[np.float32]]:
        """Return parameters or moments by their names in a checkpoint.

        Of the entity table these are the rows in memory.
        """
        return {f"{kind}{_TABLE}": self._table.states[:, _KINDS.index(kind)], **self._views(kind)}

    def _views(self, kind: str) -> dict[str, NDArray[np.float32]]:
        """Return the encoder's parameters or moments by their names in a checkpoint."""
        own = {name: array[_KINDS.index(kind)] for name, array in self._arrays.items()}
        own |= {name: view[0] for name, view in own.items() if name.endswith("_bias")}
        return {f"{kind}{name}": view.T if name == _FIRST else view for name, view in own.items()}

    def _step(self, batch: Records, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a step. The kernels divide by the number of labels, that of all hosts' records."""
        self._num_steps += 1
        correction = math.sqrt(1 - _BETA2**self._num_steps) / (1 - _BETA1**self._num_steps)
        rate = np.float32(self.hyperparameters.learning_rate * correction)
        decay = np.float32(self.hyperparameters.weight_decay)
        scores, layer = np.empty(len(batch), dtype=np.float32), self._octet_layer
        layer.begin(batch.ips)
        self._share([self._group(batch), *(partial(layer.tabulate, *places) for places in self._places)])
        if self.hyperparameters.num_ip_encoder_layers > 1:
            # The trainer reports numbers that are not finite, and NumPy 2.5 would warn of them in products.
            with np.errstate(invalid="ignore", over="ignore"):
                self._learn_embeddings(batch, labels, rate, decay, scores)
        else:
            self._learn_sums(batch, labels, rate, scores)
        if self._sum is None:
            self._share([partial(layer.update, *places, rate, decay) for places in self._places])
        else:
            self._update_encoder(self._sum, rate, decay)
        return scores

    def _update_encoder(self, total: GradientSum, rate: np.float32, decay: np.float32) -> None:
        """Sum the gradients of the encoder over all hosts, and take Adam's step on the encoder."""
        self._share([partial(self._octet_layer.write_gradients, *part, total.gradients) for part in self._places])
        total.reduce()
        for name, gradient in total.gradients.items():
            self._kernels.adam(self._arrays[name], gradient, 0, len(gradient), rate, decay)

    def _write_layer(self, index: int, *of_layer: NDArray[np.float32]) -> None:
        """Write the gradients of weight and bias of a layer behind the first."""
        assert self._sum is not None
        for kind, gradient in zip(("weight", "bias"), of_layer, strict=True):
            self._sum.gradients[f"ip_layer{index + 1}_{kind}"][:] = gradient

    def _group(self, batch: Records) -> Callable[[], object]:
        """Return the task that orders the records of a batch by entity."""
        return partial(
            self._kernels.group,
            batch.entity_rows, self._numbers, self._order, self._distinct, self._starts, self._bounds,
        )  # fmt: skip

    def _learn_sums(
        self, batch: Records, labels: NDArray[np.float32], rate: np.float32, scores: NDArray[np.float32]
    ) -> None:
        """Update the entities, where embeddings of addresses are sums of rows of the table."""
        layer, groups = self._octet_layer, (self._order, self._distinct, self._starts)
        num_rows = layer.num_rows()
        self._share([
            partial(
                self._kernels.learn, first, last, *groups, batch.ips, labels, layer.index, layer.table,
                self._table.states, rate, gradient[:num_rows], scores,
            )
            for first, last, gradient in zip(self._bounds[:-1], self._bounds[1:], layer.table_gradients, strict=True)
        ])  # fmt: skip

    def _learn_embeddings(
        self, batch: Records, labels: NDArray[np.float32], rate: np.float32, decay: np.float32, scores: Any
    ) -> None:
        """Update the entities and the layers behind the first, on several hosts only the entities."""
        layer, groups, kernels = self._octet_layer, (self._order, self._distinct, self._starts), self._kernels
        num_rows = layer.num_rows()
        x = np.empty((len(batch), self.hyperparameters.vector_dim), dtype=np.float32)
        rows = split(len(batch), len(layer.table_gradients))
        self._share([partial(kernels.embed, batch.ips[part], layer.index, layer.table, x[part]) for part in rows])
        x = self._hidden_layers.forward(x)
        self._share([
            partial(
                kernels.learn_embedded, first, last, *groups, labels, x, self._table.states, rate, scores
            )
            for first, last in zip(self._bounds[:-1], self._bounds[1:], strict=True)
        ])  # fmt: skip
        update = partial(self._hidden_layers.update, rate, decay)
        x = self._hidden_layers.backward(x, self._write_layer if self._sum else update)
        self._share([
            partial(kernels.spread, batch.ips[part], layer.index, x[part], gradient[:num_rows])
            for part, gradient in zip(rows, layer.table_gradients, strict=True)
        ])  # fmt: skip

    def _share(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Call tasks, on threads if a step is long enough to wake them up."""
        if self._is_shared:
            self._threads.run(tasks)
            return
        for task in tasks:
            task()


def _padded(labels: NDArray[np.float32], num_all: int | None) -> NDArray[np.float32]:
    """Return labels padded to ``num_all`` numbers, of which the further ones are never read."""
    if num_all is None:
        return labels
    padded = np.empty(num_all, dtype=np.float32)
    padded[: len(labels)] = labels
    return padded


def num_pieces(mini_batch_size: int, vector_dim: int) -> int:
    """Return the number of pieces of a batch. It depends on the sizes alone, so that sums do.

    >>> num_pieces(1000, 128), num_pieces(10_000, 128), num_pieces(500_000, 128)
    (1, 2, 8)
    """
    return min(max(1, mini_batch_size * vector_dim // _PIECE_NUMBERS), _MAX_PIECES)


def _allocate(hyperparameters: Hyperparameters) -> dict[str, NDArray[np.float32]]:
    """Return memory for every parameter of the encoder and its moments, which are zero.

    They are (3, rows, columns), where a bias is one row, and the weight of the first layer is input by output.
    """
    shapes = {name: shape for name, shape in parameter_shapes(hyperparameters).items() if name != _TABLE}
    return {name: aligned_zeros((3, *[1] * (2 - len(shape)), *shape)) for name, shape in shapes.items()}
