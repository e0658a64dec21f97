"""The only place that imports MXNet, because MXNet 1.9.1 needs two repairs before it imports on a current Python.

Everyone else writes ``from ipinsights._mxnet import mx``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One core for Python, which makes the batches, and the others for the engine: two threads on two cores beside a busy
# Python train a quarter slower than one does. Read by the engine when it loads; whoever sets it has the last word.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))

# MXNet reads ``numpy.bool``, which numpy 1.24 removed; it reads it at call time too, so it has to stay.
np.bool = bool  # type: ignore[attr-defined]

# MXNet imports ``distutils``, which Python 3.12 removed; setuptools puts its own copy in that place.
if sys.version_info >= (3, 12):
    import setuptools  # noqa: F401

# MXNet's import warns nine times of what numpy and setuptools will remove one day; our versions of both are bounded.
# Its wheel leaves two libraries to the system, where a small one (Debian's slim images) has neither.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import mxnet as mx
    except ImportError:
        raise ClientError(
            "MXNet is not installed, and only training on one CPU works without it. Install it with: "
            "pip install mxnet==1.9.1"
        ) from None
    except OSError as error:
        raise ClientError(
            f"MXNet cannot be loaded: {error}. It needs libgomp and libquadmath; on Debian and Ubuntu: "
            "apt install libgomp1 libquadmath0."
        ) from None

__all__ = ["memory", "mx"]


def memory(array: mx.nd.NDArray) -> NDArray[np.float32]:
    """Give the memory of a dense float32 array on the CPU as a NumPy array, nothing copied.

    It is good for as long as the array lives, and the engine must be done with the array: it does not know of the view.
    """
    array.wait_to_read()
    address = ctypes.POINTER(ctypes.c_float)()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))  # noqa: SLF001
    view: NDArray[np.float32] = np.ctypeslib.as_array(address, shape=array.shape)
    return view
