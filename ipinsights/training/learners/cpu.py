"""The learner on a CPU: the step in NumPy, several times as fast as MXNet's.

With MXNet it works on the memory of the Gluon network. Where MXNet is missing or cannot be loaded, the same steps, to
the bit, go into arrays of its own. At the sizes of a step MXNet's operators cost more than their arithmetic, its sparse
Adam more than all else. The steps are those of :class:`~ipinsights.training.learners.gluon.GluonLearner`, to rounding:
``tests/unit/test_learner.py`` holds both to one formula. They are fast because

- the entities of a base batch are taken out of the table once for all of its K steps, which find them in the cache;
- each octet value of a batch is encoded once, however many addresses have it (:mod:`ipinsights.model.ip_encoder`);
- lazy Adam needs neither sorting nor gathering (:mod:`ipinsights.training.learners.adam`);
- the entities' update runs beside the encoder's, whose thread then helps, and the spelling of the next addresses
  beside both;
- the memory of a step's arrays is kept for the next step's, and not given back to the system in between.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import expit
from threadpoolctl import ThreadpoolController

from ipinsights._system import into_large_pages, keep_freed_memory
from ipinsights.errors import ClientError
from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.initial_parameters import fill
from ipinsights.model.ip_encoder import Encoder, Spelling
from ipinsights.training.learners.adam import Adam
from ipinsights.training.learners.learner import SCORING_BATCH, view_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.network import IPInsightsNet
    from ipinsights.model.sampling import Records
    from ipinsights.training.learners.adam import Moments

__all__ = ["CPULearner"]

_TABLE = "entity_weight"


class CPULearner:
    """Learner of one model on the CPU, a :class:`~ipinsights.training.learners.learner.Learner`.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    seed
        Of the initial parameters.

    Attributes
    ----------
    hyperparameters
        The ones given.
    net
        The Gluon network whose parameters are trained; None without MXNet. Within a base batch its entity table is
        behind, until :meth:`parameters`, :meth:`score` or :meth:`embeddings` is called.
    """

    def __init__(self, hyperparameters: Hyperparameters, *, seed: int = 0) -> None:
        keep_freed_memory()
        self.hyperparameters = hyperparameters
        self.net, self._arrays = _allocate(hyperparameters)
        fill(self._arrays, seed=seed)
        # NumPy asks for large pages by itself, MXNet does not.
        into_large_pages(self._arrays[_TABLE])
        # Written to, unlike np.zeros: memory that is not there after all is missed now, and no step waits for pages.
        self._moments: dict[str, Moments] = {
            name: (np.full(array.shape, 0, np.float32), np.full(array.shape, 0, np.float32))
            for name, array in self._arrays.items()
        }
        self._adam = Adam(hyperparameters.learning_rate, hyperparameters.weight_decay)
        self._encoder = Encoder(self._arrays, hyperparameters.vector_dim, hyperparameters.num_ip_encoder_layers)
        self._taken: _Rows | None = None
        # Of each row of the table; what :meth:`_distinct` writes on.
        self._numbers = np.zeros(hyperparameters.num_entity_vectors, dtype=np.int32)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="learner")
        self._blas = ThreadpoolController().select(user_api="blas")

    def learn(self, records: Records) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Take a step for each ``mini_batch_size`` of records; yields labels and scores (mini_batch_size,) of each."""
        self._settle()
        size = self.hyperparameters.mini_batch_size
        batches = [records[start : start + size] for start in range(0, len(records), size)]
        # In the order in which they are wanted.
        spellings = [self._pool.submit(Spelling.of, batch.ips) for batch in batches[:1]]
        rows, places = self._distinct(records.entity_rows)
        self._taken = _Rows(rows, self._arrays[_TABLE], self._moments[_TABLE], self._pool)
        spellings += [self._pool.submit(Spelling.of, batch.ips) for batch in batches[1:]]
        # The products of a step are too small to be shared: threads would wait for each other longer than they work.
        try:
            with self._blas.limit(limits=1):
                for index, batch in enumerate(batches):
                    of_batch = places[index * size : (index + 1) * size]
                    yield batch.labels, self._step(self._taken, of_batch, spellings[index].result(), batch.labels)
        finally:
            self._settle()
            self._taken = None

    def step(self, batch: Records) -> NDArray[np.float32]:
        """Take one step on a batch of at most ``mini_batch_size``, and give the scores (batch,) before it."""
        ((_, scores),) = self.learn(batch)
        return scores

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Score pairs with the network as it is now: rows of the entity table and addresses, both (n,), give (n,)."""
        self._settle()
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            embeddings, _ = self._encoder.forward(Spelling.of(ips[part]))
            scores[part] = _dot(self._arrays[_TABLE][rows[part]], embeddings)
        return scores

    def embeddings(
        self, rows: NDArray[np.int32], ips: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the embeddings of rows of the entity table and of addresses, both (n,), as (n, vector_dim) each."""
        self._settle()
        addresses, _ = self._encoder.forward(Spelling.of(ips))
        return self._arrays[_TABLE][rows], addresses

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Return every parameter by its name in the artifact; the arrays are the learner's own, not copies."""
        self._settle()
        return dict(self._arrays)

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters, by their names in the artifact; of the entity table these rows, all when not given."""
        write_rows(self.parameters(), params, rows)

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on."""
        return view_rows(self._state(), rows)

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Continue from a state of these rows after ``num_steps`` steps; this learner has taken none."""
        write_rows(self._state(), state, rows)
        self._adam.num_steps = num_steps

    def symbol(self) -> str | None:
        """Return the network as MXNet symbol JSON, None without MXNet."""
        return None if self.net is None else self.net.symbol()

    def _state(self) -> dict[str, NDArray[np.float32]]:
        self._settle()
        moments: dict[str, NDArray[np.float32]] = {}
        for name, pair in self._moments.items():
            moments.update(zip((f"mean:{name}", f"variance:{name}"), pair, strict=True))
        return {**self._arrays, **moments}

    def _distinct(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give every row once, ascending, as the memory likes them, and the place of each given row among them."""
        numbers = np.arange(len(rows), dtype=np.int32)
        # Of equal rows the last one's number stays, and stands for all of them.
        self._numbers[rows] = numbers
        distinct = np.sort(rows[self._numbers[rows] == numbers])
        self._numbers[distinct] = numbers[: len(distinct)]
        return distinct, self._numbers[rows]

    def _settle(self) -> None:
        """Wait for what others do to the network through MXNet, and write back what steps have done to entities."""
        if self.net is not None:
            _wait_for_mxnet()
        if self._taken is not None:
            self._taken.give_back()

    def _step(
        self, taken: _Rows, places: NDArray[np.int32], spelling: Spelling, labels: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        self._adam.begin_step()
        with _silence():
            # (batch, vector_dim) each
            entities, (ips, hidden) = taken.values.take(places, axis=0), self._encoder.forward(spelling)
            scores = _dot(entities, ips)
            error = _error(scores, labels) / np.float32(len(labels))
            blocks: deque[Callable[[], None]] = deque()
            waiting = self._pool.submit(self._update_entities, taken, places, error, ips, blocks)
            entities *= error[:, np.newaxis]
            for name, gradient in self._encoder.backward(spelling, hidden, entities).items():
                self._adam.update(self._arrays[name], self._moments[name], gradient)
            _work_off(blocks)
            waiting.result()
        return scores

    def _update_entities(
        self,
        taken: _Rows,
        places: NDArray[np.int32],
        error: NDArray[np.float32],
        ips: NDArray[np.float32],
        blocks: deque[Callable[[], None]],
    ) -> None:
        """Update the entities of a batch, as much of it as nobody else works off."""
        touched = np.zeros(len(taken.values), dtype=bool)
        touched[places] = True
        # Column n has the error of record n in the row of its entity.
        starts = np.arange(len(places) + 1, dtype=np.int32)
        errors = sparse.csc_matrix((error, places, starts), shape=(len(taken.values), len(places)))
        with _silence():
            blocks.extend(self._adam.blocks(taken.values, taken.moments, errors @ ips, touched))
            _work_off(blocks)


def _allocate(hyperparameters: Hyperparameters) -> tuple[IPInsightsNet | None, dict[str, NDArray[np.float32]]]:
    """Return the Gluon network, None without MXNet, and the memory of all parameters by their names."""
    try:
        from ipinsights.model._mxnet import memory, mx
    except ClientError:
        shapes = parameter_shapes(hyperparameters)
        return None, {name: np.empty(shape, dtype=np.float32) for name, shape in shapes.items()}
    from ipinsights.model.network import IPInsightsNet

    net = IPInsightsNet.of(hyperparameters)
    net.initialize(mx.init.Zero(), ctx=mx.cpu())
    net.hybridize(static_alloc=True, static_shape=True)
    return net, {name: memory(parameter.data()) for name, parameter in net.collect_params().items()}


def _wait_for_mxnet() -> None:
    from ipinsights.model._mxnet import mx

    mx.nd.waitall()


class _Rows:
    """Rows taken out of a table, with their moments, (n, width) each; they lie side by side, and in the cache."""

    def __init__(
        self, rows: NDArray[np.int32], table: NDArray[np.float32], moments: Moments, pool: ThreadPoolExecutor
    ) -> None:
        self._rows, self._pool, self._tables = rows, pool, (table, *moments)
        waiting = [pool.submit(self._take, moment) for moment in moments]
        self.values = self._take(table)
        self.moments = waiting[0].result(), waiting[1].result()

    def give_back(self) -> None:
        """Write the rows to where they come from."""
        waiting = [self._pool.submit(self._put, *pair) for pair in zip(self._tables[1:], self.moments, strict=True)]
        self._put(self._tables[0], self.values)
        for each in waiting:
            each.result()

    def _take(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        return _whole_rows(table)[self._rows].view(np.float32).reshape(len(self._rows), -1)

    def _put(self, table: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        _whole_rows(table)[self._rows] = _whole_rows(values)


def _whole_rows(table: NDArray[np.float32]) -> NDArray[np.void]:
    """Show a table as one item a row (n,), which is copied in one piece, and not number by number."""
    return table.view(f"V{table.itemsize * table.shape[1]}").ravel()


def _work_off(blocks: deque[Callable[[], None]]) -> None:
    """Call what is there to be called, until threads that share it have taken all."""
    while True:
        try:
            block = blocks.popleft()
        except IndexError:
            return
        block()


def _silence() -> AbstractContextManager[object]:
    """Let a run that diverges compute its infinities: the metrics see them, and the trainer tells of them."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the dot products (n,) of rows (n, width)."""
    products: NDArray[np.float32] = np.einsum("nd,nd->n", left, right)
    return products


def _error(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the gradient of each cross-entropy with respect to its score: sigmoid(score) - label; shape (batch,).

    Not as the difference, which would lose what a well-fitted pair has left: its Adam step does not shrink with it.
    """
    signs = 1 - 2 * labels
    errors: NDArray[np.float32] = signs * expit(signs * scores)
    return errors
