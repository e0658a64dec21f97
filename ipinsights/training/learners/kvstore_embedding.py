"""The entity table in MXNet's kvstore: in blocks, of which rows are pulled to a device and gradients pushed back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model._mxnet import mx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["PulledPart", "PulledRows", "StoredTable"]

# Rows pulled at a time where many are read.
_TAKEN_ROWS = 2**16


class StoredTable:
    """The entity table in the store, as one or more row-sparse arrays of consecutive rows."""

    def __init__(self, hyperparameters: Hyperparameters, store: mx.kv.KVStore, rows_per_block: int) -> None:
        self.shape = (hyperparameters.num_entity_vectors, hyperparameters.vector_dim)
        self._store = store
        self._rows_per_block = min(rows_per_block, self.shape[0])
        self.num_blocks = -(-self.shape[0] // self._rows_per_block)

    def rows_of(self, block: int) -> range:
        """Return the rows of a block; the last block may be shorter."""
        start = block * self._rows_per_block
        return range(start, min(start + self._rows_per_block, self.shape[0]))

    def block_shape(self, block: int) -> tuple[int, int]:
        """Give rows and width of a block."""
        return len(self.rows_of(block)), self.shape[1]

    def fill(self, block: int, values: mx.nd.NDArray | None) -> None:
        """Put a block's first values into the store; the first host's count, and the others may have none."""
        if values is None:
            self._store.init(block, mx.nd.sparse.zeros("row_sparse", self.block_shape(block)))
        else:
            every_row = mx.nd.arange(len(values), dtype="int64")
            self._store.init(block, mx.nd.sparse.row_sparse_array((values, every_row), shape=values.shape))
        if self._store.type.startswith("dist"):
            self._store.push(block, self._nothing_for(block))

    def pull(self, rows: NDArray[np.int32], device: mx.Context) -> PulledRows:
        """Bring rows (n,) to a device; an order of the caller's, and repeats, are kept."""
        if self.num_blocks == 1:
            return PulledRows([self._pull_from(0, rows, device)], None)
        blocks = rows // self._rows_per_block
        order = np.argsort(blocks, kind="stable")
        parts = [
            self._pull_from(int(block), rows[blocks == block] - block * self._rows_per_block, device)
            for block in np.unique(blocks)
        ]
        return PulledRows(parts, mx.nd.array(np.argsort(order), dtype="int32", ctx=device))

    def push(self, pulled: Sequence[PulledRows]) -> None:
        """Hand the gradients of pulled rows to the optimizer; a block without any counts the step all the same."""
        for block in range(self.num_blocks):
            gradients = [part.values.grad for rows in pulled for part in rows.parts if part.block == block]
            self._store.push(block, gradients or self._nothing_for(block))

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Give a slice of rows, pulled from the store."""
        return self.take(np.arange(*part.indices(self.shape[0]), dtype=np.int32))

    def take(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Give rows (n,) as they are in the store, (n, width)."""
        taken = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), _TAKEN_ROWS):
            part = slice(start, start + _TAKEN_ROWS)
            taken[part] = self.pull(rows[part], mx.cpu()).embeddings().asnumpy()
        return taken

    def hand_over(self, rows: NDArray[np.int32], values: NDArray[np.float32] | None) -> None:
        """Push values (n, width) of ascending rows (n,) to whatever the store does with them; one push to each block.

        None pushes nothing to each block, as the hosts without values must.
        """
        blocks = rows // self._rows_per_block
        for block in range(self.num_blocks):
            nothing = self._nothing_for(block)
            inside = blocks == block
            if values is None or not inside.any():
                self._store.push(block, nothing)
                continue
            ids = mx.nd.array(rows[inside] - block * self._rows_per_block, dtype="int64")
            given = mx.nd.array(values[inside])
            self._store.push(block, mx.nd.sparse.row_sparse_array((given, ids), shape=self.block_shape(block)))

    def _pull_from(self, block: int, rows: NDArray[np.int32], device: mx.Context) -> PulledPart:
        """Bring rows of a block, numbered within it, to a device, with room for their gradients."""
        values = mx.nd.sparse.zeros("row_sparse", self.block_shape(block), ctx=device)
        values.attach_grad(stype="row_sparse")
        # Rows are whole numbers above 2^24 too: float32 would round them.
        ids = mx.nd.array(rows, dtype="int64", ctx=device)
        self._store.row_sparse_pull(block, out=values, row_ids=ids)
        return PulledPart(block, values, ids)

    def _nothing_for(self, block: int) -> mx.nd.NDArray:
        """Give an empty gradient, once the block's last one has arrived.

        MXNet sends pushes of a key in order only if something is pulled between them; a server that got two from one
        host and none from another would take both for its step.
        """
        self._pull_from(block, np.zeros(1, dtype=np.int32), mx.cpu()).values.wait_to_read()
        return mx.nd.sparse.zeros("row_sparse", self.block_shape(block))


@dataclass(frozen=True)
class PulledPart:
    """Rows of one block on a device: a row-sparse array (rows of the block, width) with the rows of ``ids`` (n,)."""

    block: int
    values: mx.nd.NDArray
    ids: mx.nd.NDArray

    def embeddings(self) -> mx.nd.NDArray:
        """Give a row for each id, (n, width)."""
        num_rows, width = self.values.shape
        return mx.nd.Embedding(self.ids, weight=self.values, input_dim=num_rows, output_dim=width, sparse_grad=True)


class PulledRows:
    """Rows on a device, from one or more blocks; ``places`` (n,) says where each one is once they are in a row."""

    def __init__(self, parts: list[PulledPart], places: mx.nd.NDArray | None) -> None:
        self.parts = parts
        self._places = places

    def embeddings(self) -> mx.nd.NDArray:
        """Give the rows (n, width) in the order they were asked for, repeats repeated."""
        rows = [part.embeddings() for part in self.parts]
        return rows[0] if self._places is None else mx.nd.take(mx.nd.concat(*rows, dim=0), self._places)
