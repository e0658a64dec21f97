"""Adam as a store runs it on what is pushed to its parameters, and the commands that it obeys."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx

if TYPE_CHECKING:
    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["ASSIGN", "COUNT", "FORGET", "OPTIMIZE", "ROTATE", "StoredAdam", "command_servers"]

FORGET, OPTIMIZE = "forget", "optimize"
"""Commands to a store: ignore what is pushed, or hand it to the optimizer."""
ASSIGN = "assign"
"""Command to a store: what is pushed replaces what is there, row by row."""
ROTATE = "rotate"
"""Command to a store: a push puts a parameter's mean in its place, the variance in the mean's, it in the variance's."""
COUNT = "count "
"""Command to a store, with a number behind it: so many steps have been taken."""

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
