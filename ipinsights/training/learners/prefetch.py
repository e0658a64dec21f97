"""Prefetching of rows in compiled loops."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

__all__ = ["prefetch"]

# Numbers in a cache line of 64 bytes.
_LINE = 16
_BYTES, _INT = ir.IntType(8).as_pointer(), ir.IntType(32)
# For reading, and to be kept in all caches, as data.
_SETTINGS = [ir.Constant(_INT, setting) for setting in (0, 3, 1)]


def prefetch(array: Any, row: int) -> None:
    """Begin to load a row of an array into the cache, without waiting for it.

    The array is C-contiguous and of float32. Compiled kernels do this for a row that comes soon, while they compute
    with another one. Called from Python it does nothing.

    >>> import numpy as np
    >>> prefetch(np.ones((2, 3), np.float32), 1)
    """


@intrinsic
def _prefetch_line(_: Any, array: Any, at: Any) -> Any:  # noqa: ARG001
    """Prefetch the cache line of the number at this place of the flat array."""

    def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.gep(context.make_array(array)(context, builder, arguments[0]).data, [arguments[1]])
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _INT, _INT, _INT])
        function = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], kind)
        builder.call(function, [builder.bitcast(pointer, _BYTES), *_SETTINGS])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@overload(prefetch)
def _compiled(array: Any, row: Any) -> Any:  # noqa: ARG001
    def prefetch_row(array: Any, row: Any) -> None:
        size = array[0].size
        for at in range(row * size, (row + 1) * size, _LINE):
            _prefetch_line(array, at)  # type: ignore[call-arg]

    return prefetch_row
