"""The address encoder in NumPy: tables of octet products, and the sizes of its parameters.

The first fully connected layer sees nothing but octet embeddings, and sees each place for itself. So its product is
taken once per octet value (4 x 256 of them) instead of once per address, and an address costs four additions: at a
thousand addresses of 128 dimensions a quarter of the arithmetic. The function is that of
:class:`ipinsights.model.network.IPEncoder`, and so are the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "NUM_OCTET_ROWS", "AddressEncoder", "allocate_pair", "encoder_shapes", "octet_rows", "place_columns", "take_rows",
]  # fmt: skip

NUM_OCTET_ROWS = 4 * 256
"""Rows of the octet table: 256 values at each of the four places."""

# Row of the octet table where each place begins.
_PLACES = np.arange(0, NUM_OCTET_ROWS, 256, dtype=np.int32)
# Numbers in 64 bytes, a line of the cache.
_GAP = 16


def octet_rows(ips: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return the octet table's rows (n, 4) of addresses (n,), most significant octet first.

    >>> octet_rows(np.array([0x01020304], dtype=np.uint32)).tolist()
    [[1, 258, 515, 772]]
    """
    octets = ips.astype(">u4").view(np.uint8).reshape(-1, 4)
    return octets + _PLACES


def place_columns(vector_dim: int) -> list[slice]:
    """Return the columns of an embedding that each octet fills, as evenly as the width divides.

    >>> place_columns(6)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None), slice(5, 6, None)]
    """
    widths = [vector_dim // 4 + (place < vector_dim % 4) for place in range(4)]
    return [slice(sum(widths[:place]), sum(widths[: place + 1])) for place in range(4)]


def encoder_shapes(vector_dim: int, num_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter of the encoder by its name in the artifact.

    >>> encoder_shapes(6, 1)
    {'ip_octet_weight': (1024, 2), 'ip_layer0_weight': (6, 6), 'ip_layer0_bias': (6,)}
    """
    shapes: dict[str, tuple[int, ...]] = {"ip_octet_weight": (NUM_OCTET_ROWS, -(-vector_dim // 4))}
    for layer in range(num_layers):
        shapes[f"ip_layer{layer}_weight"] = (vector_dim, vector_dim)
        shapes[f"ip_layer{layer}_bias"] = (vector_dim,)
    return shapes


class AddressEncoder:
    """Encoder of addresses on the arrays of a model, which are read at every call.

    ``layers`` has weight (d, d) and bias (d,) of each layer behind the first.
    """

    def __init__(self, params: Mapping[str, NDArray[np.float32]], vector_dim: int, num_layers: int) -> None:
        layers = [(params[f"ip_layer{layer}_weight"], params[f"ip_layer{layer}_bias"]) for layer in range(num_layers)]
        self._octets = params["ip_octet_weight"]
        self._first, self.layers = layers[:1], layers[1:]
        self._columns = place_columns(vector_dim)

    def octet_tables(self) -> NDArray[np.float32]:
        """Return what each octet value adds to an embedding at each place, (4, 256, vector_dim)."""
        octets = self._octets.reshape(4, 256, -1)
        tables = np.zeros((4, 256, self._columns[-1].stop), dtype=np.float32)
        for place, columns in enumerate(self._columns):
            tables[place, :, columns] = octets[place, :, : columns.stop - columns.start]
        for weight, bias in self._first:
            # Place by place would be faster, but some builds of BLAS would round the last digit of a score differently.
            tables = np.maximum(tables, 0) @ weight.T
            tables[0] += bias
        return tables

    def embed(
        self, tables: NDArray[np.float32], ips: NDArray[np.uint32], x: NDArray[np.float32], y: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the embeddings (n, vector_dim) of addresses (n,), given :meth:`octet_tables`.

        ``x`` and ``y`` are memory to work on, see :func:`allocate_pair`. The result is in ``x``.
        """
        octets = ips.astype(">u4").view(np.uint8).reshape(-1, 4).T.astype(np.intp, order="C")
        take_rows(tables[0], octets[0], x)
        for place in (1, 2, 3):
            x += take_rows(tables[place], octets[place], y)
        return self._deepen(x, y)

    def embed_one(self, tables: NDArray[np.float32], ip: int) -> NDArray[np.float32]:
        """Return the embedding (vector_dim,) of one address, in half the time of :meth:`embed`."""
        x = tables[0, ip >> 24] + tables[1, ip >> 16 & 255]
        x += tables[2, ip >> 8 & 255]
        x += tables[3, ip & 255]
        embedded: NDArray[np.float32] = self._deepen(x[np.newaxis], np.empty((1, len(x)), dtype=np.float32))[0]
        return embedded

    def _deepen(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of the layers behind the first for sums `x`, (n, vector_dim)."""
        for weight, bias in self.layers:
            np.matmul(np.maximum(x, 0, out=y), weight.T, out=x)
            x += bias
        return x


def allocate_pair(num_rows: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return memory for two arrays of embeddings, (num_rows, width) each.

    The two do not begin at the same byte of a page. There a processor takes a read of one for a read of what was just
    written to the other, and waits: adding takes four times as long.
    """
    size = num_rows * width
    memory = np.empty(2 * size + _GAP, dtype=np.float32)
    return memory[:size].reshape(-1, width), memory[size + _GAP :].reshape(-1, width)


def take_rows(
    table: NDArray[np.float32], rows: NDArray[np.integer[Any]], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Copy rows of a table into `out`, and return `out`."""
    # No row is out of range. With another mode than "clip", take would fill a copy first.
    return table.take(rows, axis=0, out=out, mode="clip")
