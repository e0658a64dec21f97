"""The only place that imports MXNet, because MXNet 1.9.1 needs two repairs before it imports on a current Python.

Everyone else writes ``from ipinsights._mxnet import mx``.
"""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np

# One core for Python, which makes the batches, and the others for the engine: two threads on two cores beside a busy
# Python train a quarter slower than one does. Read by the engine when it loads; whoever sets it has the last word.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))

# MXNet reads ``numpy.bool``, which numpy 1.24 removed; it reads it at call time too, so it has to stay.
np.bool = bool  # type: ignore[attr-defined]

# MXNet imports ``distutils``, which Python 3.12 removed; setuptools puts its own copy in that place.
if sys.version_info >= (3, 12):
    import setuptools  # noqa: F401

# MXNet's import warns nine times of what numpy and setuptools will remove one day; our versions of both are bounded.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import mxnet as mx

__all__ = ["mx"]
