"""Initial parameters: weights uniform in +-0.07 and zero biases, fixed by the seed.

The same seed results in the same parameters on every device and any number of hosts.

They are drawn by NumPy in blocks of ``BLOCK_ROWS`` consecutive rows. Each block has a generator of its own, seeded with
a child of the seed that the parameter's name and the block's number choose. So memory stays flat, nothing depends on
what was drawn before, and a host that holds some rows of the entity table can draw these rows alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["BLOCK_ROWS", "draw_rows", "fill"]

BLOCK_ROWS = 4096
"""Rows that one generator draws: 2 MB at 128 dimensions. Another number would lead to another model."""

# Gluon's own default. At 128 dimensions |score| is .003 to .008 before training, as with the original.
_SCALE = np.float32(0.07)


def fill(params: Mapping[str, Any], *, seed: int, first_row: int = 0) -> None:
    """Write the initial values of all parameters, arrays of NumPy or MXNet by artifact name.

    ``first_row`` is the row of the whole entity table that is the first of the given one.
    """
    for name, array in params.items():
        first = first_row if name == "entity_weight" else 0
        for start in range(0, len(array), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(array))
            array[start:stop] = draw_rows(name, array.shape[1:], first + start, first + stop, seed=seed)


def draw_rows(name: str, row_shape: tuple[int, ...], start: int, stop: int, *, seed: int) -> NDArray[np.float32]:
    """Return the initial values of rows ``start`` to ``stop`` of a parameter by its name.

    ``row_shape`` is ``(width,)`` for a weight and ``()`` for a bias.

    >>> whole = draw_rows("entity_weight", (2,), 0, 9000, seed=1)
    >>> part = draw_rows("entity_weight", (2,), 5000, 5003, seed=1)
    >>> bool((part == whole[5000:5003]).all())
    True
    """
    values = np.zeros((stop - start, *row_shape), dtype=np.float32)
    if name.endswith("_bias"):
        return values
    for block in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
        first = block * BLOCK_ROWS
        # The rows of a block before `start` are drawn and dropped: the first numbers of a generator are theirs.
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*name.encode(), block)))
        drawn = rng.random((min(BLOCK_ROWS, stop - first), *row_shape), dtype=np.float32)
        kept = drawn[max(start - first, 0) :]
        begin = max(first - start, 0)
        np.multiply(kept, _SCALE + _SCALE, out=values[begin : begin + len(kept)])
    values -= _SCALE
    return values
