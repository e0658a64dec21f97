"""The only place that imports MXNet, because MXNet 1.9.1 needs two repairs before it imports on a current Python."""

from __future__ import annotations

import sys

import numpy as np

# MXNet 1.9.1 reads ``numpy.bool``, which numpy 1.24 removed. MXNet also reads it at call time, so it has to stay.
if not hasattr(np, "bool"):
    np.bool = bool  # type: ignore[attr-defined]

# MXNet 1.9.1 imports ``distutils``, which Python 3.12 removed and setuptools still carries.
if sys.version_info >= (3, 12):
    import setuptools  # noqa: F401

import mxnet as mx

__all__ = ["mx"]
