"""The protocol of learners, which take training steps and score with the current model.

There are two. :class:`~ipinsights.training.learners.cpu.CPULearner` has compiled kernels for one CPU.
:class:`~ipinsights.training.learners.gluon.GluonLearner` leaves everything to MXNet, on GPUs or one CPU. From one seed
they begin with one model, and they take the same steps to rounding. On several hosts each has a learner of its own rows
of the entity table, and the learners sum the gradients of the address encoder in every step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.sampling import Records

__all__ = ["SCORING_BATCH", "Learner", "RowView", "aligned_zeros", "steps_of", "view_rows", "write_rows"]

SCORING_BATCH = 10_000
"""Pairs scored at a time where the batch size is ours to choose."""
# Bytes of a cache line, which a processor reads at once.
_LINE = 64


class Learner(Protocol):
    """What the trainer, its callbacks, and whatever saves a model need of a learner."""

    hyperparameters: Hyperparameters

    def learn(self, records: Records, *, num_all: int | None = None) -> Iterator[tuple[NDArray[np.float32], Any]]:
        """Take the steps of a base batch, and yield labels and scores of each step, (batch,).

        ``num_all`` is the number of records of a step on all hosts, which take K steps. None on one host, which takes
        a step for each ``mini_batch_size``. The scores are those before the step. They are a NumPy array, or one of
        MXNet, which may still be computing them.
        """

    def score(self, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the scores (n,) of rows of the entity table and addresses, (n,) each."""

    def parameters(self) -> Mapping[str, Any]:
        """Return every parameter by its name in the artifact.

        Each has a ``shape``, and a slice of it is an array of NumPy or MXNet. They are the learner's own, not copies.
        """

    def set_parameters(
        self, params: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32] | slice = slice(None)
    ) -> None:
        """Set all parameters by their names in the artifact.

        Of the entity table only the ascending ``rows`` are set, all rows by default.
        """

    def state_dict(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Return all but the number of steps that the next step depends on.

        These are parameters by their names in the artifact, and Adam's running means of their gradients,
        ``mean:NAME``, and of their squares, ``variance:NAME``. Each has a ``shape``, and a slice of it is a float32
        array. They are read before the next step. Of the entity table only the ascending ``rows`` that the data has
        are returned: no other row ever changes.
        """

    def load_state_dict(
        self, state: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32], *, num_steps: int
    ) -> None:
        """Continue from what :meth:`state_dict` returned for these rows after ``num_steps`` steps.

        The learner has taken no step itself.
        """


class RowView:
    """Rows of an array (n, width), copied slice by slice to avoid a copy of a large array.

    The ``shape`` is that of all the rows together.
    """

    def __init__(self, array: NDArray[np.float32], rows: NDArray[np.int32]) -> None:
        self.shape = (len(rows), *array.shape[1:])
        self._array = array
        self._rows = rows

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Return a slice of the rows."""
        taken: NDArray[np.float32] = self._array[self._rows[part]]
        return taken


def aligned_zeros(shape: Sequence[int]) -> NDArray[np.float32]:
    """Return zeros of a shape that begin at a cache line, float32.

    A vector of a whole line never lies across two then. All memory is written to, unlike that of ``np.zeros``: what is
    not there after all is missed now, and no step waits for it.

    >>> aligned_zeros((2, 3)).ctypes.data % 64
    0
    """
    size = math.prod(shape)
    memory = np.full(size + _LINE // 4, 0, dtype=np.float32)
    first = -memory.ctypes.data % _LINE // 4
    return memory[first : first + size].reshape(shape)


def steps_of(records: Records, hyperparameters: Hyperparameters, *, num_all: int | None) -> Iterator[Records]:
    """Yield the records of each step of a base batch, see :meth:`Learner.learn`."""
    size, length = hyperparameters.mini_batch_size, len(records)
    if num_all is not None:
        size = length // hyperparameters.records_per_row
        length = hyperparameters.records_per_row * max(1, size)
    for start in range(0, length, max(1, size)):
        yield records[start : start + size]


def view_rows(arrays: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int32]) -> dict[str, Any]:
    """Return a learner's arrays, of those that are as long as the entity table only these rows."""
    return {name: RowView(array, rows) if _is_table(name) else array for name, array in arrays.items()}


def write_rows(
    arrays: Mapping[str, NDArray[np.float32]],
    values: Mapping[str, NDArray[np.float32]],
    rows: NDArray[np.int32] | slice,
) -> None:
    """Write values into a learner's arrays.

    Of arrays with as many rows as the entity table only ``rows`` are written.
    """
    for name, array in arrays.items():
        array[rows if _is_table(name) else slice(None)] = values[name]


def _is_table(name: str) -> bool:
    return name.endswith("entity_weight")
