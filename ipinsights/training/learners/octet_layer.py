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
        self._octets = arrays["ip_octet_weight"]
        self._weight, self._bias = (arrays.get(f"ip_layer0_{kind}", no_layer) for kind in ("weight", "bias"))
        self._gradients = {name: np.empty_like(state[0]) for name, state in arrays.items() if name in _NAMES}
        self._kernels = load_kernels()
        self._columns = [(columns.start, columns.stop) for columns in place_columns(dim)]
        self._used = np.empty(NUM_OCTET_ROWS, dtype=np.int32)
        self._bounds = np.empty(5, dtype=np.int32)
        self.index = np.empty(NUM_OCTET_ROWS, dtype=np.int32)
        self.table = np.empty((NUM_OCTET_ROWS, dim), dtype=np.float32)
        self.table_gradients = np.zeros((num_pieces, NUM_OCTET_ROWS, dim), dtype=np.float32)

    def begin(self, ips: NDArray[np.uint32]) -> None:
        """Find the octet values of a batch of addresses (batch,)."""
        self._kernels.find_octets(ips, self.index, self._used, self._bounds)

    def tabulate(self, place: int) -> None:
        """Compute the rows of the table that belong to a place."""
        octet_values = (*self._columns[place], self._used, self._bounds)
        self._kernels.tabulate(place, *octet_values, self._octets, self._weight, self._bias, self.table)

    def num_rows(self) -> int:
        """Return the number of octet values that occur, which are the first rows of the table."""
        return int(self._bounds[4])

    def update(self, place: int, rate: np.float32, decay: np.float32) -> None:
        """Take Adam's step on the parameters of a place, from the sum of the gradients."""
        self.write_gradients(place, self._gradients)
        octets, columns = (_VALUES * place, _VALUES * (place + 1)), self._columns[place]
        self._kernels.adam(self._octets, self._gradients["ip_octet_weight"], *octets, rate, decay)
        if self._weight.size:
            self._kernels.adam(self._weight, self._gradients["ip_layer0_weight"], *columns, rate, decay)
        if self._weight.size and place == 0:
            self._kernels.adam(self._bias, self._gradients["ip_layer0_bias"], 0, 1, rate, decay)

    def write_gradients(self, place: int, out: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the gradients of the parameters of a place, by their names."""
        of_layer = (out.get(name, self._bias[0]) for name in _NAMES[1:])
        self._kernels.differentiate(
            place, *self._columns[place], self._used, self._bounds, self._octets, self._weight, self.table_gradients,
            out[_NAMES[0]], *of_layer,
        )  # fmt: skip
