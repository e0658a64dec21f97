"""Prefetching: a hint to the processor, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ipinsights.training.learners.prefetch import prefetch


@njit("void(float32[:, :, ::1], int64)")
def compiled(array: Any, row: int) -> None:
    """Prefetch a row in compiled code."""
    prefetch(array, row)


def test_compiled_code_prefetches() -> None:
    """A compiled call has the processor's instruction, which the optimiser keeps."""
    (code,) = compiled.inspect_llvm().values()
    assert "call void @llvm.prefetch" in code


def test_the_array_stays_what_it_is() -> None:
    """No number changes, also where rows do not fill cache lines."""
    array = np.arange(5 * 3 * 7, dtype=np.float32).reshape(5, 3, 7)
    for row in range(5):
        compiled(array, row)
        prefetch(array, row)
    assert array.ravel().tolist() == list(range(5 * 3 * 7))
