"""The roles of a distributed job: MXNet's scheduler, servers and workers (ps-lite), one process each.

The servers hold the parameters and run the optimizer. MXNet sends them that optimizer as a pickle; ours build it from
their own hyperparameters and unpickle nothing, whoever sends.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx
from ipinsights.training.collectives import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["ASSIGN", "COUNT", "FORGET", "OPTIMIZE", "ROTATE", "StoreTeam", "StoredAdam", "command_servers", "connect",
           "serve"]  # fmt: skip

_logger = logging.getLogger(__name__)

FORGET, OPTIMIZE = "forget", "optimize"
"""Commands to a store: ignore what is pushed, or hand it to the optimizer."""
ASSIGN = "assign"
"""Command to a store: what is pushed replaces what is there, row by row."""
ROTATE = "rotate"
"""Command to a store: a push puts a parameter's mean in its place, the variance in the mean's, it in the variance's."""
COUNT = "count "
"""Command to a store, with a number behind it: so many steps have been taken."""

# Keys from here on are not parameters: servers add up what is pushed to the first and the last ones for ever, and
# to the two between only what the hosts push together.
_VOTES = 2**20
_SAVES, _FACTS = _VOTES + 1, _VOTES + 2
_BITS = _VOTES + 3
# A number on the wire for each bit: 32 MB at a time.
_PART_BYTES = 2**20
# A number on the wire for each byte of what a host says at a time.
_FACT_BYTES = 1024
# Numbers from which on an array is sure to have pages of its own, fresh from the kernel: 64 MB.
_LARGE = 2**24
# MXNet gives us no number for a command but this one.
_CONTROL = 0


def build_adam(hyperparameters: Hyperparameters) -> mx.optimizer.Optimizer:
    """Give the optimizer of a job: lazy and without decay for row-sparse parameters; gradients come as means."""
    return _Adam(learning_rate=hyperparameters.learning_rate, wd=hyperparameters.weight_decay)


class _Adam(mx.optimizer.Adam):
    """Adam that lets no table decay, and keeps no memory for the moments of its rows before they are trained.

    What it updates has numbers here, and no names to tell a table by.
    """

    def create_state(self, index: int, weight: mx.nd.NDArray) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """Give the two moments of a parameter, zero."""
        if weight.stype == "default":
            moments: tuple[mx.nd.NDArray, mx.nd.NDArray] = super().create_state(index, weight)
            return moments
        return _zero_rows(weight), _zero_rows(weight)

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


def command_servers(store: mx.kv.KVStore, command: str) -> None:
    """Tell all servers something, once every worker has come here; all go on when they have heard it."""
    mx.nd.waitall()
    store._barrier()  # noqa: SLF001 - as Gluon's trainer does
    if store.rank == 0:
        store._send_command_to_servers(_CONTROL, command)  # noqa: SLF001 - as MXNet's own set_optimizer does
    store._barrier()  # noqa: SLF001


class StoredAdam:
    """What a store does with what is pushed to its parameters: Adam, unless it is told otherwise.

    Parameters
    ----------
    hyperparameters
        Of the job.
    """

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        self._updater = mx.optimizer.get_updater(build_adam(hyperparameters))
        self._command = FORGET

    def obey(self, command: str) -> None:
        """Do this from now on; what is no command is done nothing for."""
        if command.startswith(COUNT):
            self._updater.optimizer.begin_num_update = int(command[len(COUNT) :])
        else:
            self._command = command

    def update(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        """Act on a push."""
        if self._command == OPTIMIZE:
            self._updater(key, pushed, stored)
        elif self._command == ASSIGN and stored.stype == "row_sparse":
            # A step of gradient descent that takes of each pushed row all that it was, and adds what is pushed: MXNet
            # has nothing else that writes into some rows.
            mx.nd.sgd_update(stored, pushed, lr=-1, wd=-1, lazy_update=True, out=stored)
        elif self._command == ASSIGN:
            stored[:] = pushed
        elif self._command == ROTATE:
            self._rotate(key, stored)

    def _rotate(self, key: int, stored: mx.nd.NDArray) -> None:
        """Put the mean in the parameter's place, the variance in the mean's, the parameter in the variance's."""
        states = self._updater.states
        mean, variance = states[key] if key in states else self._updater.optimizer.create_state(key, stored)
        kept = stored.copy()
        mean.copyto(stored)
        states[key], self._updater.states_synced[key] = (variance, kept), True


def _zero_rows(table: mx.nd.NDArray) -> mx.nd.NDArray:
    """Give zeros for every row of a row-sparse array, in memory that is taken where it is written to.

    MXNet's own functions write zeros to all of it. But what is large comes from the kernel, zero already, and takes no
    memory before it is written to: so it is asked for and left as it is, after a look at it.
    """
    every_row = mx.nd.arange(table.shape[0], dtype="int64", ctx=table.context)
    if math.prod(table.shape) >= _LARGE:
        zeros = _as_allocated(table, every_row)
        if mx.nd.norm(zeros).asscalar() == 0:
            return zeros
    whole = mx.nd.zeros(table.shape, ctx=table.context)
    return mx.nd.sparse.row_sparse_array((whole, every_row), shape=table.shape)


def _as_allocated(table: mx.nd.NDArray, rows: mx.nd.NDArray) -> mx.nd.NDArray:
    """Give a row-sparse array of the shape of another with these rows, in memory that nobody has written to."""
    sparse, base = mx.nd.sparse, mx.base
    # MXNet has no public way to it
    handle = sparse._new_alloc_handle(  # noqa: SLF001
        "row_sparse", table.shape, table.context, False, np.float32, [np.int64], [rows.shape]
    )
    base.check_call(base._LIB.MXNDArraySyncCopyFromNDArray(handle, rows.handle, ctypes.c_int(0)))  # noqa: SLF001
    return sparse.RowSparseNDArray(handle)


class _Server(mx.kv.kvstore_server.KVStoreServer):
    """MXNet's server, with an optimizer of its own."""

    def __init__(self, store: mx.kv.KVStore, hyperparameters: Hyperparameters) -> None:
        super().__init__(store)
        self._adam = StoredAdam(hyperparameters)

    def _controller(self) -> Callable[[int, bytes, Any], None]:
        """Give what hears a command, in place of MXNet's own, which unpickles it."""

        def control(_command: int, body: bytes, _: Any) -> None:
            self._adam.obey(body.decode(errors="replace"))
            self.kvstore._set_updater(self._update)  # noqa: SLF001 - as MXNet's set_optimizer does on a server

        return control

    def _update(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        """Act on a push to any key, or end: without it training would go wrong unnoticed."""
        try:
            self._act_on(key, pushed, stored)
        except Exception:
            # MXNet would print it and go on, as if the update had been made.
            _logger.exception("The server failed")
            os._exit(1)

    def _act_on(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        if key in (_SAVES, _FACTS):
            stored[:] = pushed
        elif key >= _VOTES:
            stored += pushed
        else:
            self._adam.update(key, pushed, stored)


@dataclass(frozen=True)
class StoreTeam(Team):
    """The hosts of a distributed job, which agree through the store.

    Attributes
    ----------
    store
        The job's store, connected.
    """

    store: mx.kv.KVStore | None = None
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(_BITS))

    def __post_init__(self) -> None:
        for key, shape in ((_VOTES, 1), (_SAVES, 1), (_FACTS, (self.size, _FACT_BYTES))):
            self._store.init(key, mx.nd.zeros(shape))

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to stop, or wanted to before."""
        return bool(self._sum(_VOTES, np.full(1, wanted))[0] > 0)

    def agree_to_save(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to save now; the hosts keep step, and each asks at the same places."""
        return bool(self._sum(_SAVES, np.full(1, wanted))[0] > 0)

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Give what each host says, in their order; the hosts keep step, and each speaks at the same places."""
        words = json.dumps(facts).encode().ljust(_FACT_BYTES)
        sheet = np.zeros((self.size, _FACT_BYTES))
        sheet[self.rank] = np.frombuffer(words, dtype=np.uint8)
        return [json.loads(row.tobytes()) for row in self._sum(_FACTS, sheet).astype(np.uint8)]

    def wait(self) -> None:
        """Wait until every host has come here."""
        mx.nd.waitall()
        self._store._barrier()  # noqa: SLF001 - as Gluon's trainer does

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give what any host has: the bits of all, eight in a byte (n,), or-ed."""
        parts = np.array_split(bits, -(-len(bits) // _PART_BYTES))
        return np.concatenate(
            [self._any_of(key, part) for part, key in zip(parts, self._keys, strict=False)]
        )  # keys never end

    def _any_of(self, key: int, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Or the bits of all hosts under a key that nobody has used before."""
        # the store can add, and nothing else
        counts = mx.nd.array(np.unpackbits(bits), dtype="float32")
        self._store.init(key, mx.nd.zeros(counts.shape))
        self._store.push(key, counts)
        self.wait()
        self._store.pull(key, out=counts)
        return np.packbits(counts.asnumpy() > 0)

    def _sum(self, key: int, numbers: NDArray[Any]) -> NDArray[np.float32]:
        shared = mx.nd.array(numbers, dtype="float32")
        self._store.push(key, shared)
        self._store.pull(key, out=shared)
        summed: NDArray[np.float32] = shared.asnumpy()
        return summed

    @property
    def _store(self) -> mx.kv.KVStore:
        return self.store
