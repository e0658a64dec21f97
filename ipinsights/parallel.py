"""A learner on several devices, of one host or of many: the parameters lie in a store that all of them share.

The store is MXNet's kvstore, and the optimizer runs in it. The entity table stays there as a row-sparse array: a step
pulls the rows of its records and pushes back their gradients, so that neither a device nor the wire ever sees the rest.
The address encoder is small and pulled whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights._mxnet import mx
from ipinsights.learner import SCORING_BATCH
from ipinsights.model import IPInsightsNet, pair_scores
from ipinsights.model import octet_rows as octet_rows_of
from ipinsights.parameter_server import build_adam, forget_pushes, start_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.sampling import Records

__all__ = ["MAX_BLOCK_ELEMENTS", "ParallelLearner"]

MAX_BLOCK_ELEMENTS = 2**27
"""Elements of the entity table in one array of the store, 512 MB: a worker makes one at a time and sends it whole."""


class ParallelLearner:
    """Learner of one model on several devices; the same steps as :class:`~ipinsights.learner.Learner` to rounding.

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
    ) -> None:
        self.hyperparameters = hyperparameters
        self.net = _net_of(hyperparameters, hyperparameters.num_entity_vectors)
        self._devices = list(devices)
        self._store = store
        self._is_distributed = store.type.startswith("dist")
        self._in_step = "sync" in store.type and "async" not in store.type
        self._table = _Table(hyperparameters, store, max(1, max_block_elements // hyperparameters.vector_dim))
        self._score = _PairScore(self.net)
        self._loss = mx.gluon.loss.SigmoidBCELoss()
        self._loss.hybridize(static_alloc=True)
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
        shares = [
            _Share(self._table.pull(part.entity_rows, device), part, device)
            for part, device in zip(_split(batch, len(self._devices)), self._devices)
        ]
        with mx.autograd.record():
            scores = [self._score(share.pulled.embeddings(), share.octet_rows) for share in shares]
            losses = [self._loss(score, share.labels) for score, share in zip(scores, shares)]
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

    def _encoder_params(self) -> dict[str, mx.gluon.Parameter]:
        return dict(self.net.ip_encoder.collect_params().items())

    def _fill_store(self, seed: int) -> None:
        """Put initial parameters into the store: block by block, each drawn as the table of a network of its own."""
        if self._is_distributed:
            forget_pushes(self._store)
        for block in range(self._table.num_blocks):
            drawn = _net_of(self.hyperparameters, self._table.block_shape(block)[0])
            if self._store.rank == 0 or block == 0:
                drawn.initialize_from(seed + block, mx.cpu())
            self._table.fill(block, drawn.entities.weight.data() if self._store.rank == 0 else None)
            if block == 0:
                self._fill_encoder(drawn)
        if self._is_distributed:
            start_optimizer(self._store)
        else:
            self._store.set_optimizer(build_adam(self.hyperparameters))

    def _fill_encoder(self, drawn: IPInsightsNet) -> None:
        self.net.ip_encoder.initialize(mx.init.Zero(), ctx=self._devices)
        self._score.hybridize(static_alloc=True)
        values = drawn.ip_encoder.collect_params()
        for key, (name, parameter) in self._encoder_keys():
            self._store.init(key, values[name].data())
            self._store.pull(key, out=parameter.list_data())

    def _encoder_keys(self) -> Iterator[tuple[int, tuple[str, mx.gluon.Parameter]]]:
        """Give the store's keys of the encoder's parameters, which follow those of the table's blocks."""
        return enumerate(self._encoder_params().items(), start=self._table.num_blocks)

    def _step_idly(self) -> None:
        self._table.push([])
        for key, (_, parameter) in self._encoder_keys():
            gradient = parameter.list_grad()[0]
            # The array that the last pull wrote to, so that this push comes behind it; see _Table._nothing_for.
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

    def __init__(self, pulled: _PulledRows, part: Records, device: mx.Context) -> None:
        self.pulled = pulled
        self.device = device
        self.octet_rows = mx.nd.array(octet_rows_of(part.ips), dtype="int32", ctx=device)
        self.labels = mx.nd.array(part.labels, ctx=device)


class _Table:
    """The entity table in the store, as one or more row-sparse arrays of consecutive rows."""

    def __init__(self, hyperparameters: Hyperparameters, store: mx.kv.KVStore, rows_per_block: int) -> None:
        self.shape = (hyperparameters.num_entity_vectors, hyperparameters.vector_dim)
        self._store = store
        self._rows_per_block = min(rows_per_block, self.shape[0])
        self.num_blocks = -(-self.shape[0] // self._rows_per_block)

    def block_shape(self, block: int) -> tuple[int, int]:
        """Give rows and width of a block; the last one may be shorter."""
        return min(self._rows_per_block, self.shape[0] - block * self._rows_per_block), self.shape[1]

    def fill(self, block: int, values: mx.nd.NDArray | None) -> None:
        """Put a block's first values into the store; the first host's count, and the others may have none."""
        if values is None:
            self._store.init(block, mx.nd.sparse.zeros("row_sparse", self.block_shape(block)))
        else:
            every_row = mx.nd.arange(len(values), dtype="int64")
            self._store.init(block, mx.nd.sparse.row_sparse_array((values, every_row), shape=values.shape))
        if self._store.type.startswith("dist"):
            self._store.push(block, self._nothing_for(block))

    def pull(self, rows: NDArray[np.int32], device: mx.Context) -> _PulledRows:
        """Bring rows (n,) to a device; an order of the caller's, and repeats, are kept."""
        if self.num_blocks == 1:
            return _PulledRows([self._pull_from(0, rows, device)], None)
        blocks = rows // self._rows_per_block
        order = np.argsort(blocks, kind="stable")
        parts = [
            self._pull_from(int(block), rows[blocks == block] - block * self._rows_per_block, device)
            for block in np.unique(blocks)
        ]
        return _PulledRows(parts, mx.nd.array(np.argsort(order), dtype="int32", ctx=device))

    def push(self, pulled: Sequence[_PulledRows]) -> None:
        """Hand the gradients of pulled rows to the optimizer; a block without any counts the step all the same."""
        for block in range(self.num_blocks):
            gradients = [part.values.grad for rows in pulled for part in rows.parts if part.block == block]
            self._store.push(block, gradients or self._nothing_for(block))

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Give a slice of rows, pulled from the store."""
        rows = np.arange(*part.indices(self.shape[0]), dtype=np.int32)
        values: NDArray[np.float32] = self.pull(rows, mx.cpu()).embeddings().asnumpy()
        return values

    def _pull_from(self, block: int, rows: NDArray[np.int32], device: mx.Context) -> _Part:
        values = mx.nd.sparse.zeros("row_sparse", self.block_shape(block), ctx=device)
        values.attach_grad(stype="row_sparse")
        # Rows are whole numbers above 2^24 too: float32 would round them.
        ids = mx.nd.array(rows, dtype="int64", ctx=device)
        self._store.row_sparse_pull(block, out=values, row_ids=ids)
        return _Part(block, values, ids)

    def _nothing_for(self, block: int) -> mx.nd.NDArray:
        """Give an empty gradient, once the block's last one has arrived.

        MXNet sends pushes of a key in order only if something is pulled between them; a server that got two from one
        host and none from another would take both for its step.
        """
        self._pull_from(block, np.zeros(1, dtype=np.int32), mx.cpu()).values.wait_to_read()
        return mx.nd.sparse.zeros("row_sparse", self.block_shape(block))


@dataclass(frozen=True)
class _Part:
    """Rows of one block on a device: a row-sparse array (rows of the block, width) with the rows of ``ids`` (n,)."""

    block: int
    values: mx.nd.NDArray
    ids: mx.nd.NDArray

    def embeddings(self) -> mx.nd.NDArray:
        """Give a row for each id, (n, width)."""
        num_rows, width = self.values.shape
        return mx.nd.Embedding(self.ids, weight=self.values, input_dim=num_rows, output_dim=width, sparse_grad=True)


class _PulledRows:
    """Rows on a device, from one or more blocks; ``places`` (n,) says where each one is once they are in a row."""

    def __init__(self, parts: list[_Part], places: mx.nd.NDArray | None) -> None:
        self.parts = parts
        self._places = places

    def embeddings(self) -> mx.nd.NDArray:
        """Give the rows (n, width) in the order they were asked for, repeats repeated."""
        rows = [part.embeddings() for part in self.parts]
        return rows[0] if self._places is None else mx.nd.take(mx.nd.concat(*rows, dim=0), self._places)


def _net_of(hyperparameters: Hyperparameters, num_rows: int) -> IPInsightsNet:
    return IPInsightsNet(num_rows, hyperparameters.vector_dim, hyperparameters.num_ip_encoder_layers)


def _split(batch: Records, num_parts: int) -> list[Records]:
    """Cut a batch into as many parts, or as many as it has records, as equal as can be."""
    num_parts = min(num_parts, len(batch))
    ends = [len(batch) * part // num_parts for part in range(num_parts + 1)]
    return [batch[start:end] for start, end in zip(ends, ends[1:])]
