"""Collectives through MXNet's KVStore, and its scheduler, servers and workers.

A sum is one push and one pull of one array, spread over the servers, which add up what the workers push. MXNet's own
servers would unpickle an optimizer that anybody may send. Ours ignore every command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ipinsights.model._mxnet import mx
from ipinsights.training.collectives import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KVStoreGroup", "connect", "serve"]


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


def serve(environment: Mapping[str, str]) -> None:
    """Run the scheduler or a server, according to ``DMLC_ROLE``, until the last worker leaves.

    MXNet's ``DMLC_*`` variables must not be set when MXNet is imported: it would serve at once, with pickles.
    """
    os.environ.update(environment)
    _Server(mx.kv.create("dist")).run()


def connect(environment: Mapping[str, str]) -> mx.kv.KVStore:
    """Be a worker: return the store of the job once every process is there."""
    os.environ.update(environment)
    return mx.kv.create("dist_sync")


class _Server(mx.kv.kvstore_server.KVStoreServer):
    """MXNet's server without an optimizer."""

    def _controller(self) -> Callable[[int, bytes, Any], None]:
        """Return the handler of commands, in place of MXNet's own, which unpickles them."""
        return lambda *_: None
