"""Collectives through MXNet's KVStore.

A sum is one push and one pull of one array, spread over the servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.model._mxnet import mx
from ipinsights.training.collectives import ProcessGroup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KVStoreGroup"]


class KVStoreGroup(ProcessGroup):
    """The hosts of a distributed job, which sum through a connected store of type ``dist_sync``.

    A server without an optimizer keeps the sum of what all hosts have pushed. It adds in the order of arrival, so the
    sum of three hosts and more may differ in its last bit from run to run. All hosts pull the same bits.
    """

    def __init__(self, rank: int, size: int, store: mx.kv.KVStore) -> None:
        super().__init__(rank, size)
        self._store = store
        self._arrays: dict[int, mx.nd.NDArray] = {}

    def allreduce(self, values: NDArray[np.float32]) -> None:
        """Replace numbers (n,) by their sums over all hosts."""
        if len(values) not in self._arrays:
            self._arrays[len(values)] = mx.nd.zeros(len(values))
            self._store.init(len(values), self._arrays[len(values)])
        shared = self._arrays[len(values)]
        shared[:] = values
        self._store.push(len(values), shared)
        # The pull writes the array that the push reads: MXNet sends the next push of this length behind both.
        self._store.pull(len(values), out=shared)
        values[:] = shared.asnumpy()
