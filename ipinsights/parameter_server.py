"""The roles of a distributed job: MXNet's scheduler, servers and workers (ps-lite), one process each.

The servers hold the parameters and run the optimizer. MXNet sends them that optimizer as a pickle; ours build it from
their own hyperparameters and unpickle nothing, whoever sends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ipinsights._mxnet import mx
from ipinsights.team import Team

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ipinsights.hyperparameters import Hyperparameters

__all__ = ["StoreTeam", "build_adam", "connect", "forget_pushes", "serve", "start_optimizer"]

# Keys from here on are sums, not parameters: servers add up what is pushed.
_VOTES = 2**20
_BITS = _VOTES + 1
# A number on the wire for each bit: 32 MB at a time.
_PART_BYTES = 2**20
# Our commands to a server: forget what is pushed, or hand it to the optimizer. MXNet gives us no number but this one.
_CONTROL = 0
_FORGET, _OPTIMIZE = "forget", "optimize"


def build_adam(hyperparameters: Hyperparameters) -> mx.optimizer.Optimizer:
    """Give the optimizer of a job: lazy and without decay for row-sparse parameters; gradients come as means."""
    return _Adam(learning_rate=hyperparameters.learning_rate, wd=hyperparameters.weight_decay)


class _Adam(mx.optimizer.Adam):
    """Adam that lets no table decay; what it updates has numbers here, and no names to tell it by."""

    def update(self, index: int, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: Any) -> None:
        self.wd_mult[index] = 0.0 if weight.stype == "row_sparse" else 1.0
        super().update(index, weight, grad, state)


def serve(environment: Mapping[str, str], hyperparameters: Hyperparameters) -> None:
    """Be the scheduler or a server, as the environment's ``DMLC_ROLE`` says, until the last worker leaves.

    Parameters
    ----------
    environment
        MXNet's ``DMLC_*`` variables. They must not be set when MXNet is imported: it would serve at once, with pickles.
    hyperparameters
        Of the job.
    """
    os.environ.update(environment)
    _Server(mx.kv.create("dist"), hyperparameters).run()


def connect(environment: Mapping[str, str], store: str) -> mx.kv.KVStore:
    """Be a worker: give the store of the job, of a type like ``dist_sync``, once every process is there."""
    os.environ.update(environment)
    return mx.kv.create(store)


def forget_pushes(store: mx.kv.KVStore) -> None:
    """Let the servers ignore what is pushed, until :func:`start_optimizer`; every worker calls this.

    MXNet keeps the array that a worker pushed last, and at first that is a whole block of the table. An empty one that
    is pushed behind it gives the memory back.
    """
    _command(store, _FORGET)


def start_optimizer(store: mx.kv.KVStore) -> None:
    """Let the servers update what is pushed, from now on; every worker calls this."""
    mx.nd.waitall()
    _command(store, _OPTIMIZE)


def _command(store: mx.kv.KVStore, command: str) -> None:
    """Tell all servers something, once every worker has come here; all go on when they have heard it."""
    store._barrier()  # noqa: SLF001 - as Gluon's trainer does
    if store.rank == 0:
        store._send_command_to_servers(_CONTROL, command)  # noqa: SLF001 - as MXNet's own set_optimizer does
    store._barrier()  # noqa: SLF001


class _Server(mx.kv.kvstore_server.KVStoreServer):
    """MXNet's server, with an optimizer of its own."""

    def __init__(self, store: mx.kv.KVStore, hyperparameters: Hyperparameters) -> None:
        super().__init__(store)
        self._adam = mx.optimizer.get_updater(build_adam(hyperparameters))
        self._optimizes = False

    def _controller(self) -> Callable[[int, bytes, Any], None]:
        def control(_command: int, body: bytes, _: Any) -> None:
            self._optimizes = body == _OPTIMIZE.encode()
            self.kvstore._set_updater(self._update)  # noqa: SLF001 - as MXNet's set_optimizer does on a server

        return control

    def _update(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        if key >= _VOTES:
            stored += pushed
        elif self._optimizes:
            self._adam(key, pushed, stored)


@dataclass(frozen=True)
class StoreTeam(Team):
    """The hosts of a distributed job, which agree through the store.

    Attributes
    ----------
    store
        The job's store, connected.
    """

    store: mx.kv.KVStore | None = None

    def __post_init__(self) -> None:
        self._store.init(_VOTES, mx.nd.zeros(1))

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to stop, or wanted to before."""
        votes = mx.nd.full(1, float(wanted))
        self._store.push(_VOTES, votes)
        self._store.pull(_VOTES, out=votes)
        return bool(votes.asscalar() > 0)

    def wait(self) -> None:
        """Wait until every host has come here."""
        mx.nd.waitall()
        self._store._barrier()  # noqa: SLF001 - as Gluon's trainer does

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give what any host has: the bits of all, eight in a byte (n,), or-ed. To be called once."""
        parts = np.array_split(bits, -(-len(bits) // _PART_BYTES))
        return np.concatenate([self._any_of(key, part) for key, part in enumerate(parts, start=_BITS)])

    def _any_of(self, key: int, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # the store can add, and nothing else
        counts = mx.nd.array(np.unpackbits(bits), dtype="float32")
        self._store.init(key, mx.nd.zeros(counts.shape))
        self._store.push(key, counts)
        self.wait()
        self._store.pull(key, out=counts)
        return np.packbits(counts.asnumpy() > 0)

    @property
    def _store(self) -> mx.kv.KVStore:
        return self.store
