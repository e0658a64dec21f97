"""Adam as MXNet has it, in place on NumPy arrays, a few rows at a time so that they stay in the processor's cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Adam", "Moments"]

Moments = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Running means of a parameter's gradient and of its square, each of the parameter's shape."""

# MXNet's defaults, which are those of Kingma and Ba.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Bytes of one array that are worked on at a time: gradient, parameter, both moments and a temporary fit a core's cache.
_BLOCK_BYTES = 512 * 2**10


class Adam:
    """Kingma and Ba's algorithm 1 with the bias correction in the step size, and weight decay as L2 but for tables.

    Source: MXNet 1.9.1, ``mx.optimizer.Adam`` and ``adam_update`` (``src/operator/optimizer_op-inl.h``).

    Parameters
    ----------
    learning_rate, weight_decay
        The hyperparameters.

    Attributes
    ----------
    num_steps
        Steps taken, for the bias correction.
    """

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.num_steps = 0
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay

    def begin_step(self) -> None:
        """Count a step; updates of all parameters follow."""
        self.num_steps += 1
        correction = math.sqrt(1 - _BETA2**self.num_steps) / (1 - _BETA1**self.num_steps)
        self._rate = self._learning_rate * correction

    def update(
        self,
        values: NDArray[np.float32],
        moments: Moments,
        gradient: NDArray[np.float32],
        touched: NDArray[np.bool_] | None = None,
    ) -> None:
        """Update a parameter and its two moments in place; the gradient is used up.

        Parameters
        ----------
        values, moments, gradient
            Of one shape, (rows, width) or (width,).
        touched
            Rows of a table to update, shape (rows,), as lazy Adam does, and without decay; the others, whose gradient
            must be zero, keep value and moments to the bit. All rows, with decay, when not given.
        """
        for block in self.blocks(values, moments, gradient, touched):
            block()

    def blocks(
        self,
        values: NDArray[np.float32],
        moments: Moments,
        gradient: NDArray[np.float32],
        touched: NDArray[np.bool_] | None = None,
    ) -> Iterator[Callable[[], None]]:
        """Give the pieces of an :meth:`update`, for threads to share: in any order, each is to be called once."""
        decay = self._weight_decay if touched is None else 0.0
        factors = _Factors.of(touched, self._rate)
        size = max(1, _BLOCK_BYTES // (4 * math.prod(values.shape[1:])))
        for start in range(0, len(values), size):
            rows = slice(start, start + size)
            parts = values[rows], moments[0][rows], moments[1][rows], gradient[rows]
            yield partial(self._update, *parts, factors[rows], decay)

    def _update(
        self,
        values: NDArray[np.float32],
        mean: NDArray[np.float32],
        variance: NDArray[np.float32],
        gradient: NDArray[np.float32],
        factors: _Factors,
        decay: float,
    ) -> None:
        spare = np.empty_like(values)
        if decay:
            np.multiply(values, decay, out=spare)
            gradient += spare
        mean *= factors.mean
        np.multiply(gradient, 1 - _BETA1, out=spare)
        mean += spare
        variance *= factors.variance
        np.multiply(gradient, gradient, out=spare)
        spare *= 1 - _BETA2
        variance += spare
        np.sqrt(variance, out=spare)
        spare += _EPSILON
        np.divide(mean, spare, out=spare)
        spare *= factors.rate
        values -= spare


@dataclass(frozen=True)
class _Factors:
    """What moments and steps are multiplied by: a number, or a column (rows, 1) in which rows left alone differ."""

    mean: NDArray[np.float32] | float
    variance: NDArray[np.float32] | float
    rate: NDArray[np.float32] | float

    @classmethod
    def of(cls, touched: NDArray[np.bool_] | None, rate: float) -> _Factors:
        if touched is None or touched.all():
            return cls(_BETA1, _BETA2, rate)
        column = touched[:, np.newaxis].astype(np.float32)
        # Where a row is left alone 1 - column is 1, which makes these factors exactly 1.
        return cls(
            column * np.float32(_BETA1) + (1 - column),
            column * np.float32(_BETA2) + (1 - column),
            column * np.float32(rate),
        )

    def __getitem__(self, rows: slice) -> _Factors:
        if not isinstance(self.mean, np.ndarray):
            return self
        return _Factors(*(getattr(self, factor.name)[rows] for factor in fields(self)))
