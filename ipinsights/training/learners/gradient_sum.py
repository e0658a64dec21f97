"""The sum of a step over several hosts, of gradients and votes in one buffer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.training.collectives import ProcessGroup

__all__ = ["GradientSum"]


class GradientSum:
    """Gradients of the address encoder, which a learner writes, sums over all hosts and reads.

    ``gradients`` are views of one buffer by the parameter's name, float32.

    >>> from ipinsights.training.collectives import ProcessGroup
    >>> total = GradientSum(ProcessGroup(), {"ip_layer0_bias": (2,)})
    >>> total.gradients["ip_layer0_bias"][:] = [1, 2]
    >>> total.reduce()
    >>> total.gradients["ip_layer0_bias"].tolist()
    [1.0, 2.0]
    """

    def __init__(self, group: ProcessGroup, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._group = group
        ends = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])
        self._buffer = np.zeros(ends[-1] + len(group.votes), dtype=np.float32)
        self.gradients = {
            name: self._buffer[begin:end].reshape(shape)
            for (name, shape), begin, end in zip(shapes.items(), ends[:-1], ends[1:], strict=True)
        }

    def reduce(self) -> None:
        """Replace the gradients by their sums over all hosts, and count the votes."""
        self._group.reduce_step(self._buffer)
