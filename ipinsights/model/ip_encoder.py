"""The address encoder written out in NumPy, forward and backward, each octet value of a batch encoded once.

The first fully connected layer sees nothing but octet embeddings, and sees each place for itself. So its product is
taken once per octet value that occurs (at most 4 x 256) instead of once per address, and an address costs four
additions: at a thousand addresses of 128 dimensions a quarter of the arithmetic. The function is that of
:class:`ipinsights.model.network.IPEncoder`, and so are the parameters.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["NUM_OCTET_ROWS", "Encoder", "Spelling", "octet_rows", "place_columns"]

NUM_OCTET_ROWS = 4 * 256
"""Rows of the octet table: 256 values at each of the four places."""

# Row of the octet table where each place begins.
_PLACES = np.arange(0, NUM_OCTET_ROWS, 256, dtype=np.int32)


def octet_rows(ips: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Give the rows of the octet table that spell each address, most significant octet first.

    Parameters
    ----------
    ips
        Addresses, shape (batch,).

    Returns
    -------
    NDArray[np.int32]
        Shape (batch, 4); column k lies in ``[256 * k, 256 * (k + 1))``.
    """
    octets = ips.astype(">u4").view(np.uint8).reshape(-1, 4)
    return octets + _PLACES


def place_columns(vector_dim: int) -> list[slice]:
    """Give the part of an embedding that each of the four octets fills, as evenly as the width divides."""
    widths = [vector_dim // 4 + (place < vector_dim % 4) for place in range(4)]
    return [slice(sum(widths[:place]), sum(widths[: place + 1])) for place in range(4)]


@dataclass(frozen=True)
class Spelling:
    """Addresses of a batch, spelled with the octet values that occur among them.

    Attributes
    ----------
    octet_rows
        Rows of the octet table that occur, ascending, shape (num_used,).
    places
        The part of ``octet_rows`` that belongs to each of the four places.
    counts
        Sparse (batch, num_used): a one for each octet of an address.
    """

    octet_rows: NDArray[np.intp]
    places: list[slice]
    counts: sparse.csr_matrix

    @classmethod
    def of(cls, ips: NDArray[np.uint32]) -> Spelling:
        """Spell addresses, shape (batch,)."""
        # (4 * batch,)
        rows = octet_rows(ips).ravel()
        occurs = np.zeros(NUM_OCTET_ROWS, dtype=bool)
        occurs[rows] = True
        # (1025,): how many rows that occur lie below each row
        below = np.zeros(NUM_OCTET_ROWS + 1, dtype=np.int32)
        np.cumsum(occurs, out=below[1:])
        ends = below[::256].tolist()
        ones, starts = np.ones(len(rows), dtype=np.float32), np.arange(0, len(rows) + 1, 4, dtype=np.int32)
        counts = sparse.csr_matrix((ones, below[rows], starts), shape=(len(ips), ends[-1]))
        return cls(np.flatnonzero(occurs), [slice(*pair) for pair in itertools.pairwise(ends)], counts)


class Encoder:
    """Encoder of addresses on arrays that somebody else owns.

    Parameters
    ----------
    params
        Float32 parameters by their names in the artifact; read at every call.
    vector_dim
        Width d of an embedding.
    num_layers
        ``num_ip_encoder_layers``.
    """

    def __init__(self, params: Mapping[str, NDArray[np.float32]], vector_dim: int, num_layers: int) -> None:
        self._octets = params["ip_octet_weight"]
        self._weights = [params[f"ip_layer{layer}_weight"] for layer in range(num_layers)]
        self._biases = [params[f"ip_layer{layer}_bias"] for layer in range(num_layers)]
        self._columns = place_columns(vector_dim)

    def forward(self, spelling: Spelling) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Encode addresses.

        Returns
        -------
        embeddings, hidden
            (batch, vector_dim), and what :meth:`backward` wants: the inputs of each layer behind their relu.
        """
        octets = self._first_inputs(spelling.octet_rows)
        x: NDArray[np.float32] = spelling.counts @ self._table(octets, spelling.places)
        hidden = [octets]
        for weight, bias in zip(self._weights[1:], self._biases[1:], strict=True):
            hidden.append(np.maximum(x, 0, out=x))
            x = x @ weight.T
            x += bias
        return x, hidden

    def backward(
        self, spelling: Spelling, hidden: list[NDArray[np.float32]], gradient: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Give the gradient of every parameter, from the one of the embeddings (batch, vector_dim)."""
        found = {}
        for layer in range(len(self._weights) - 1, 0, -1):
            found[f"ip_layer{layer}_weight"] = gradient.T @ hidden[layer]
            found[f"ip_layer{layer}_bias"] = gradient.sum(axis=0)
            gradient = gradient @ self._weights[layer]
            gradient *= hidden[layer] > 0
        # (num_used, vector_dim): of each octet value, over all addresses that have it
        table_gradient: NDArray[np.float32] = spelling.counts.T @ gradient
        if self._weights:
            # Every address has one octet at the first place.
            found["ip_layer0_bias"] = table_gradient[spelling.places[0]].sum(axis=0)
        return {**found, **self._first_gradients(spelling, hidden[0], table_gradient)}

    def _first_inputs(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Give rows of the octet table, behind a relu if a layer follows; a copy."""
        octets = self._octets.take(rows, axis=0)
        return np.maximum(octets, 0, out=octets) if self._weights else octets

    def _table(self, octets: NDArray[np.float32], places: list[slice]) -> NDArray[np.float32]:
        """Give what each octet value adds to an embedding: (num_used, vector_dim), the bias at the first place."""
        dim = self._columns[-1].stop
        if not self._weights:
            table = np.zeros((len(octets), dim), dtype=np.float32)
            for place, columns in zip(places, self._columns, strict=True):
                table[place, columns] = octets[place, : columns.stop - columns.start]
            return table
        table = np.empty((len(octets), dim), dtype=np.float32)
        for place, columns in zip(places, self._columns, strict=True):
            width = columns.stop - columns.start
            np.dot(octets[place, :width], self._weights[0][:, columns].T, out=table[place])
        table[places[0]] += self._biases[0]
        return table

    def _first_gradients(
        self, spelling: Spelling, octets: NDArray[np.float32], table_gradient: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Give the gradients of octet table and first layer, from the one of the table between them."""
        octet_gradient = np.zeros_like(octets)
        weight_gradient = np.empty_like(self._weights[0]) if self._weights else None
        for place, columns in zip(spelling.places, self._columns, strict=True):
            width = columns.stop - columns.start
            if weight_gradient is None:
                octet_gradient[place, :width] = table_gradient[place, columns]
            else:
                weight_gradient[:, columns] = table_gradient[place].T @ octets[place, :width]
                octet_gradient[place, :width] = table_gradient[place] @ self._weights[0][:, columns]
        if weight_gradient is not None:
            octet_gradient *= octets > 0
        whole = np.zeros_like(self._octets)
        whole[spelling.octet_rows] = octet_gradient
        found = {"ip_octet_weight": whole}
        return found if weight_gradient is None else {**found, "ip_layer0_weight": weight_gradient}
