"""A learner on several devices, of one host or of many: the parameters lie in a store that all of them share.

The store is MXNet's kvstore, and the optimizer runs in it. The entity table stays there as a row-sparse array: a step
pulls the rows of its records and pushes back their gradients, so that neither a device nor the wire ever sees the rest.
The address encoder is small and pulled whole.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx
from ipinsights.model.initial_parameters import draw_rows
from ipinsights.model.network import IPInsightsNet, pair_scores
from ipinsights.model.network import octet_rows as octet_rows_of
from ipinsights.training.learners.kvstore_adam import (
    ASSIGN,
    COUNT,
    FORGET,
    OPTIMIZE,
    ROTATE,
    StoredAdam,
    command_servers,
)
from ipinsights.training.learners.kvstore_embedding import StoredTable
from ipinsights.training.learners.learner import SCORING_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records
    from ipinsights.training.learners.kvstore_embedding import PulledRows

__all__ = ["MAX_BLOCK_ELEMENTS", "ParallelLearner"]

MAX_BLOCK_ELEMENTS = 2**27
"""Elements of the entity table in one array of the store, 512 MB: a worker makes one at a time and sends it whole."""

_KINDS = ("", "mean:", "variance:")
"""What the store has of each parameter, in the order in which it shows them."""


class ParallelLearner:
    """Learner of one model on several devices, a :class:`~ipinsights.training.learners.learner.Learner`.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    devices
        MXNet contexts; each takes an equal share of every batch, the first ones a record more where it does not divide.
    store
        MXNet kvstore that nothing has been put into.
    seed
        Of the initial parameters.
    max_block_elements
        See ``MAX_BLOCK_ELEMENTS``.
    is_first
        Whether this is the job's first host, which takes snapshots and gives values. MXNet's own ranks are others.

    Attributes
    ----------
    hyperparameters
        The ones given.
    net
        The network; its entity table has no values, since they are in the store.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        devices: Sequence[mx.Context],
        store: mx.kv.KVStore,
        seed: int = 0,
        max_block_elements: int = MAX_BLOCK_ELEMENTS,
        is_first: bool = True,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.net = IPInsightsNet.of(hyperparameters)
        self._devices = list(devices)
        self._store = store
        self._is_first = is_first
        self._is_distributed = store.type.startswith("dist")
        self._in_step = "sync" in store.type and "async" not in store.type
        self._table = StoredTable(hyperparameters, store, max(1, max_block_elements // hyperparameters.vector_dim))
        self._score = _PairScore(self.net)
        self._loss = mx.gluon.loss.SigmoidBCELoss()
        self._loss.hybridize(static_alloc=True)
        self._adam = StoredAdam(hyperparameters)
        if not self._is_distributed:
            store._set_updater(self._adam.update)  # noqa: SLF001 - as MXNet's set_optimizer does, with its own
        self._fill_store(seed)

    def learn(self, records: Records) -> Iterator[tuple[NDArray[np.float32], mx.nd.NDArray]]:
        """Take a step for each ``mini_batch_size`` of records; yields as the one-device learner does.

        Without records it takes the steps of other hosts' base batch with them, and adds nothing.
        """
        if len(records) == 0 and self._in_step:
            for _ in range(self.hyperparameters.records_per_row):
                self._step_idly()
        size = self.hyperparameters.mini_batch_size
        for start in range(0, len(records), size):
            batch = records[start : start + size]
            yield batch.labels, self.step(batch)

    def step(self, batch: Records) -> mx.nd.NDArray:
        """Take one step on a batch of any size, and give the scores (batch,) before it."""
        parts = _split(batch, len(self._devices))
        shares = [
            _Share(self._table.pull(part.entity_rows, device), part, device)
            # A batch smaller than the number of devices has fewer parts than devices.
            for part, device in zip(parts, self._devices, strict=False)
        ]
        with mx.autograd.record():
            scores = [self._score(share.pulled.embeddings(), share.octet_rows) for share in shares]
            losses = [self._loss(score, share.labels) for score, share in zip(scores, shares, strict=True)]
        # The loss is a mean over all records of the step, whichever device and host they are on.
        weight = 1 / (len(batch) * (self._store.num_workers if self._in_step else 1))
        mx.autograd.backward(losses, [mx.nd.full(loss.shape, weight, ctx=loss.context) for loss in losses])
        self._table.push([share.pulled for share in shares])
        for key, (_, parameter) in self._encoder_keys():
            self._exchange(key, parameter, [parameter.grad(share.device) for share in shares])
        return mx.nd.concat(*[score.as_in_context(mx.cpu()) for score in scores], dim=0)

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Score pairs with the network as it is now: rows of the entity table and addresses, both (n,), give (n,)."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            pulled = self._table.pull(rows[part], self._devices[0])
            octets = mx.nd.array(octet_rows_of(ips[part]), dtype="int32", ctx=self._devices[0])
            scores[part] = self._score(pulled.embeddings(), octets).asnumpy()
        return scores

    def embeddings(
        self, rows: NDArray[np.int32], ips: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the embeddings of rows of the entity table and of addresses, both (n,), as (n, vector_dim) each."""
        octets = mx.nd.array(octet_rows_of(ips), dtype="int32", ctx=self._devices[0])
        entities = self._table.pull(rows, self._devices[0]).embeddings()
        return entities.asnumpy(), self.net.ip_encoder(octets).asnumpy()

    def parameters(self) -> dict[str, Any]:
        """Give every parameter by its name in the artifact; the table is read slice by slice from the store."""
        encoder = {name: parameter.data(self._devices[0]) for name, parameter in self._encoder_params().items()}
        return {self.net.entities.weight.name: self._table, **encoder}

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on.

        Every host calls this at the same place, with the same ascending rows; the arrays are given to the first one.
        """
        taken = {}
        for kind in _KINDS:
            if self._is_first:
                encoder = {name: parameter.data(self._devices[0]) for name, parameter in self._encoder_params().items()}
                read = {name: array.asnumpy() for name, array in encoder.items()}
                read[self.net.entities.weight.name] = self._table.take(rows)
                taken.update({f"{kind}{name}": array for name, array in read.items()})
            self._do_to_all(ROTATE)
        return taken

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Continue from a state of these rows after ``num_steps`` steps; every host calls this, the first has it."""
        for kind in _KINDS:
            of_kind = {name.partition(kind)[2] if kind else name: array for name, array in state.items()
                       if name.startswith(kind)}  # fmt: skip
            self._do_to_all(ASSIGN, of_kind, rows)
            self._do_to_all(ROTATE)
        self._command(f"{COUNT}{num_steps}")

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set the parameters, of the table these ascending rows; every host calls this, the first one's count."""
        chosen = np.arange(self._table.shape[0], dtype=np.int32)[rows] if isinstance(rows, slice) else rows
        self._do_to_all(ASSIGN, params, chosen)

    def symbol(self) -> str:
        """Return the network as MXNet symbol JSON."""
        return self.net.symbol()

    def _do_to_all(
        self, command: str, values: Mapping[str, Any] | None = None, rows: NDArray[np.int32] | None = None
    ) -> None:
        """Let the store do something to every parameter, with the first host's values; then it optimizes again."""
        given = dict(values or {}) if self._is_first else {}
        self._command(command)
        if self._is_first or self._in_step:
            none = np.empty(0, dtype=np.int32)
            self._table.hand_over(none if rows is None else rows, given.get(self.net.entities.weight.name))
            for key, (name, parameter) in self._encoder_keys():
                array = given.get(name, np.zeros(parameter.shape, np.float32))
                self._store.push(key, mx.nd.array(array, ctx=self._devices[0]))
        mx.nd.waitall()
        self._command(OPTIMIZE)
        for key, (_, parameter) in self._encoder_keys():
            self._store.pull(key, out=parameter.list_data())
        mx.nd.waitall()

    def _command(self, command: str) -> None:
        if self._is_distributed:
            command_servers(self._store, command)
        else:
            self._adam.obey(command)

    def _encoder_params(self) -> dict[str, mx.gluon.Parameter]:
        return dict(self.net.ip_encoder.collect_params().items())

    def _fill_store(self, seed: int) -> None:
        """Put initial parameters into the store, block by block; the first host draws the table for all."""
        # What fills a block is its first push, and MXNet keeps the array that a worker pushed last: an empty one
        # that is pushed behind it, and forgotten, gives the memory back.
        self._command(FORGET)
        name, row_shape = self.net.entities.weight.name, self._table.shape[1:]
        for block in range(self._table.num_blocks):
            rows = self._table.rows_of(block)
            if self._store.rank == 0:
                self._table.fill(block, mx.nd.array(draw_rows(name, row_shape, rows.start, rows.stop, seed=seed)))
            else:
                self._table.fill(block, None)
        self._fill_encoder(seed)
        self._command(OPTIMIZE)

    def _fill_encoder(self, seed: int) -> None:
        self.net.ip_encoder.initialize(mx.init.Zero(), ctx=self._devices)
        self._score.hybridize(static_alloc=True)
        for key, (name, parameter) in self._encoder_keys():
            drawn = draw_rows(name, parameter.shape[1:], 0, parameter.shape[0], seed=seed)
            self._store.init(key, mx.nd.array(drawn))
            self._store.pull(key, out=parameter.list_data())

    def _encoder_keys(self) -> Iterator[tuple[int, tuple[str, mx.gluon.Parameter]]]:
        """Give the store's keys of the encoder's parameters, which follow those of the table's blocks."""
        return enumerate(self._encoder_params().items(), start=self._table.num_blocks)

    def _step_idly(self) -> None:
        """Take part in a step of the other hosts without a record: a server waits for a push of each."""
        self._table.push([])
        for key, (_, parameter) in self._encoder_keys():
            gradient = parameter.list_grad()[0]
            # The array that the last pull wrote to, so that this push comes behind it; see StoredTable._nothing_for.
            gradient[:] = 0
            self._exchange(key, parameter, [gradient])

    def _exchange(self, key: int, parameter: mx.gluon.Parameter, gradients: list[mx.nd.NDArray]) -> None:
        self._store.push(key, gradients, priority=-key)
        self._store.pull(key, out=parameter.list_data(), priority=-key)


class _PairScore(mx.gluon.HybridBlock):
    """Score of entity embeddings (batch, vector_dim) and octet rows (batch, 4), by the encoder of a network."""

    def __init__(self, net: IPInsightsNet) -> None:
        super().__init__(prefix="")
        self.ip_encoder = net.ip_encoder

    def hybrid_forward(self, F: Any, entities: Any, octet_rows: Any) -> Any:
        """Score a batch of pairs."""
        return pair_scores(F, entities, self.ip_encoder(octet_rows))


class _Share:
    """A device's part of a batch, on the device."""

    def __init__(self, pulled: PulledRows, part: Records, device: mx.Context) -> None:
        self.pulled = pulled
        self.device = device
        self.octet_rows = mx.nd.array(octet_rows_of(part.ips), dtype="int32", ctx=device)
        self.labels = mx.nd.array(part.labels, ctx=device)


def _split(batch: Records, num_parts: int) -> list[Records]:
    """Cut a batch into as many parts, or as many as it has records, as equal as can be."""
    num_parts = min(num_parts, len(batch))
    ends = [len(batch) * part // num_parts for part in range(num_parts + 1)]
    return [batch[start:end] for start, end in itertools.pairwise(ends)]
