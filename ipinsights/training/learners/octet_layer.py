"""The octet table and the first fully connected layer in a training step on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.ip_encoder import NUM_OCTET_ROWS, place_columns
from ipinsights.training.learners.compilation import load_kernels
from ipinsights.training.learners.learner import aligned_zeros

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["OctetLayer"]

_NAMES = ("ip_octet_weight", "ip_layer0_weight", "ip_layer0_bias")


class OctetLayer:
    """Contributions of a batch's octet values to embeddings, and the update from the gradient.

    Only octet values that occur in a batch are multiplied. The places are independent of each other, so that threads
    can share them. ``arrays`` are the parameters of the encoder with their moments, by name: octet table (3, 1024,
    widest octet), weight of the first layer (3, dim, dim) as input by output, and bias (3, 1, dim). The gradient of
    the table is summed from ``num_pieces`` arrays. ``index`` has the row of the ``table`` for each row of the octet
    table, -1 for octet values that do not occur.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]], *, num_pieces: int, dim: int) -> None:
        no_layer = np.empty((3, 0, dim), dtype=np.float32)
        states = [arrays.get(name, no_layer) for name in _NAMES]
        self._octets, self._weight, self._bias = states
        self._gradients = [aligned_zeros(state[0].shape) for state in states]
        self._kernels = load_kernels()
        columns = np.array([0, *(columns.stop for columns in place_columns(dim))], dtype=np.int32)
        self._used, self._bounds = np.empty(NUM_OCTET_ROWS, dtype=np.int32), np.empty(5, dtype=np.int32)
        self._places = columns, self._used, self._bounds
        self.index = np.empty(NUM_OCTET_ROWS, dtype=np.int32)
        self.table = aligned_zeros((NUM_OCTET_ROWS, dim))
        self.table_gradients = aligned_zeros((num_pieces, NUM_OCTET_ROWS, dim))

    def begin(self, ips: NDArray[np.uint32]) -> None:
        """Find the octet values of a batch of addresses (batch,)."""
        self._kernels.find_octets(ips, self.index, self._used, self._bounds)

    def num_rows(self) -> int:
        """Return the number of octet values that occur, which are the first rows of the table."""
        return int(self._bounds[4])

    def tabulate(self, first: int, last: int) -> None:
        """Compute the rows of the table that belong to some places."""
        self._kernels.tabulate(first, last, *self._places, self._octets, self._weight, self._bias, self.table)

    def update(self, first: int, last: int, rate: np.float32, decay: np.float32) -> None:
        """Take Adam's step on the parameters of some places, from the sum of the gradients."""
        self._kernels.update(
            first, last, *self._places, self._octets, self._weight, self._bias, self.table_gradients,
            *self._gradients, rate, decay,
        )  # fmt: skip

    def write_gradients(self, first: int, last: int, out: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the gradients of the parameters of some places, by their names."""
        gradients = (out.get(name, empty) for name, empty in zip(_NAMES, self._gradients, strict=True))
        self._kernels.differentiate(
            first, last, *self._places, self._octets, self._weight, self.table_gradients, *gradients
        )  # fmt: skip
