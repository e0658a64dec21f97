"""The only place that imports MXNet, because MXNet 1.9.1 needs two repairs before it imports on a current Python.

Everyone else writes ``from ipinsights._mxnet import mx``.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

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
