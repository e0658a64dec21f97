"""Fully connected layers after the first in a training step on a CPU, on several threads."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.training.learners.compilation import load_kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Share = Callable[[Sequence[Callable[[], object]]], None]
    UseGradients = Callable[[int, NDArray[np.float32], NDArray[np.float32]], None]

__all__ = ["HiddenLayers", "split"]

# Columns in a product of a gradient: a product of fewer takes as long for each, so narrow layers have one.
_COLUMNS = 512


class HiddenLayers:
    """Fully connected layers, each behind a relu: forward, and backward with Adam's step.

    A layer is its weight and moments, (3, dim, dim) as output by input, and its bias and moments, (3, 1, dim). The rows
    of a batch are cut into ``num_pieces``. ``share`` calls tasks, on threads or one after the other.
    """

    def __init__(
        self, layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], *, num_pieces: int, share: Share
    ) -> None:
        self._layers = layers
        self._num_pieces = num_pieces
        self._share = share
        self._kernels = load_kernels()
        self._inputs: list[NDArray[np.float32]] = []

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return outputs (batch, dim) of the last layer for inputs (batch, dim) of the first one.

        The inputs are overwritten.
        """
        self._inputs = []
        for weight, bias in self._layers:
            outputs = np.empty_like(x)
            self._share([partial(_forward, x[rows], weight[0], bias[0], outputs[rows]) for rows in self._rows(x)])
            self._inputs.append(x)
            x = outputs
        return x

    def backward(self, gradient: NDArray[np.float32], use: UseGradients) -> NDArray[np.float32]:
        """Call a function for each layer backward, and return the gradient of the first inputs.

        ``gradient`` is that of the outputs, (batch, dim). ``use`` is called with the layer's index and the gradients
        of its weight and bias, as :meth:`update` is.
        """
        for index in reversed(range(len(self._layers))):
            (weight, _), inputs = self._layers[index], self._inputs[index]
            weight_gradient, before = np.empty_like(weight[0]), np.empty_like(gradient)
            self._share(
                [
                    *(partial(_backward, gradient[rows], weight[0], inputs[rows], before[rows])
                      for rows in self._rows(gradient)),
                    *(partial(np.dot, gradient[:, columns].T, inputs, weight_gradient[columns])
                      for columns in split(len(weight_gradient), max(1, len(weight_gradient) // _COLUMNS))),
                ]
            )  # fmt: skip
            use(index, weight_gradient, gradient.sum(axis=0, keepdims=True))
            gradient = before
        self._inputs = []
        return gradient

    def update(self, rate: np.float32, decay: np.float32, index: int, *gradients: NDArray[np.float32]) -> None:
        """Take Adam's step on weight and bias of a layer."""
        for state, gradient in zip(self._layers[index], gradients, strict=True):
            self._kernels.adam(state, gradient, 0, len(gradient), rate, decay)

    def _rows(self, x: NDArray[np.float32]) -> list[slice]:
        return split(len(x), self._num_pieces)


def split(size: int, num_pieces: int) -> list[slice]:
    """Return slices of about equal length that cover a range.

    >>> split(5, 2)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    ends = [size * piece // num_pieces for piece in range(num_pieces + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


def _forward(
    x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    np.maximum(x, 0, out=x)
    np.dot(x, weight.T, out=out)
    out += bias


def _backward(
    gradient: NDArray[np.float32], weight: NDArray[np.float32], inputs: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    np.dot(gradient, weight, out=out)
    out *= inputs > 0
