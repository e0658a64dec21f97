"""The octet table and the first fully connected layer in a training step on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.ip_encoder import NUM_OCTET_ROWS, place_columns
from ipinsights.training.learners.compilation import load_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["OctetLayer"]

_VALUES = 256


class OctetLayer:
    """Contributions of a batch's octet values to embeddings, and the update from the gradient.

    Only octet values that occur in a batch are multiplied. The places are independent of each other, so that threads
    can share them. Parameters come with their two moments: the octet table (3, 1024, widest octet), and the first
    layer's weight (3, dim, dim) as input by output and bias (3, 1, dim), or None. The gradient is summed from
    ``num_pieces`` arrays.
    """

    def __init__(
        self,
        octets: NDArray[np.float32],
        weight: NDArray[np.float32] | None,
        bias: NDArray[np.float32] | None,
        *,
        num_pieces: int,
        dim: int,
    ) -> None:
        self._octets, self._weight, self._bias = octets, weight, bias
        self._kernels = load_kernels()
        self._columns = place_columns(dim)
        self._used = np.empty(NUM_OCTET_ROWS, dtype=np.int32)
        self._bounds = np.empty(5, dtype=np.int32)
        self._inputs = np.empty(octets.shape[1:], dtype=np.float32)
        # Row of the table for each row of the octet table, -1 for octet values that do not occur.
        self.index = np.empty(NUM_OCTET_ROWS, dtype=np.int32)
        # What octet values add to an embedding, in as many rows as occur. Without a layer, each place writes its own
        # columns only.
        self.table = np.zeros((NUM_OCTET_ROWS, dim), dtype=np.float32)
        self.gradients = np.zeros((num_pieces, NUM_OCTET_ROWS, dim), dtype=np.float32)

    def begin(self, ips: NDArray[np.uint32]) -> None:
        """Find the octet values of a batch of addresses (batch,)."""
        has_layer = self._weight is not None
        self._kernels.find_octets(ips, self._octets[0], has_layer, self.index, self._used, self._bounds, self._inputs)
        if not has_layer:
            self.table[:] = 0

    def tabulate(self, place: int) -> None:
        """Compute the rows of the table that belong to a place."""
        rows, columns = self._rows(place), self._columns[place]
        inputs = self._inputs[rows, : columns.stop - columns.start]
        if self._weight is None or self._bias is None:
            self.table[rows, columns] = inputs
            return
        np.dot(inputs, self._weight[0, columns], out=self.table[rows])
        if place == 0:
            self.table[rows] += self._bias[0]

    def num_rows(self) -> int:
        """Return the number of octet values that occur, which are the first rows of the table."""
        return int(self._bounds[4])

    def update(self, place: int, rate: np.float32, decay: np.float32) -> None:
        """Take Adam's step on the parameters of a place, from the sum of the gradients."""
        of_octets, of_weight, of_bias = self._gradients(place)
        if of_weight is not None and self._weight is not None:
            self._adam(self._weight[:, self._columns[place]], of_weight, rate, decay)
        self._update_octets(place, of_octets, rate, decay)
        if of_bias is not None and self._bias is not None:
            self._adam(self._bias, of_bias, rate, decay)

    def write_gradients(self, place: int, out: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the gradients of the parameters of a place, by their names."""
        of_octets, of_weight, of_bias = self._gradients(place)
        rows, width, begin = self._rows(place), of_octets.shape[1], _VALUES * place
        if of_weight is not None:
            of_octets[self._inputs[rows, :width] <= 0] = 0
            out["ip_layer0_weight"][self._columns[place]] = of_weight
        out["ip_octet_weight"][begin : begin + _VALUES] = 0
        out["ip_octet_weight"][self._used[rows], :width] = of_octets
        if of_bias is not None:
            out["ip_layer0_bias"][:] = of_bias

    def _gradients(
        self, place: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Return the gradients of a place: octet embeddings, weights, and at the first the bias."""
        rows, columns = self._rows(place), self._columns[place]
        gradient = self.gradients[0, rows]
        for other in self.gradients[1:]:
            gradient += other[rows]
        if self._weight is None:
            return np.ascontiguousarray(gradient[:, columns]), None, None
        inputs = self._inputs[rows, : columns.stop - columns.start]
        # Every address has one octet at the first place.
        of_bias = gradient.sum(axis=0) if place == 0 else None
        return np.dot(gradient, self._weight[0, columns].T), np.dot(inputs.T, gradient), of_bias

    def _rows(self, place: int) -> slice:
        return slice(int(self._bounds[place]), int(self._bounds[place + 1]))

    def _update_octets(self, place: int, products: NDArray[np.float32], rate: np.float32, decay: np.float32) -> None:
        rows, begin = self._rows(place), _VALUES * place
        parts = self._octets[:, begin : begin + _VALUES]
        self._kernels.update_octets(
            products, self._used[rows], self._inputs[rows], self._weight is not None, *parts, rate, decay, begin
        )

    def _adam(
        self, state: NDArray[np.float32], gradient: NDArray[np.float32], rate: np.float32, decay: np.float32
    ) -> None:
        self._kernels.adam(*(part.ravel() for part in state), gradient.ravel(), rate, decay)
