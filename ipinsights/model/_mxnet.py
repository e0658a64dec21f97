"""The only module that imports MXNet 1.9.1, after three repairs that the import needs.

Every other module writes ``from ipinsights.model._mxnet import mx``.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, NoReturn

import numpy as np

from ipinsights._system import available_cpus
from ipinsights.errors import ClientError
from ipinsights.model import mxnet_package

__all__ = ["mx"]


def _num_threads(given: str) -> str:
    """Return the number of threads for MXNet, from the user's value of OMP_NUM_THREADS.

    OpenMP allows a list such as ``4,2``. MXNet would abort the process at it, and at whatever else is no number.
    """
    first = given.partition(",")[0].strip()
    if first.isascii() and first.isdigit() and first.strip("0"):
        return first
    # One core for Python, which makes the batches, and the others for the engine: two threads on two cores next to a
    # busy Python train a quarter slower than one does.
    return str(max(1, available_cpus() - 1))


# MXNet reads the variable when it loads.
os.environ["OMP_NUM_THREADS"] = _num_threads(os.environ.get("OMP_NUM_THREADS", ""))


def _removed(*_arguments: object, **_options: object) -> NoReturn:
    """Raise an error: NumPy removed this function, and only MXNet's import asks for it."""
    raise NotImplementedError("NumPy no longer has this function.")


def _names_that_numpy_removed() -> dict[str, Any]:
    """Return the names that MXNet reads from ``numpy`` and that some version of NumPy removed.

    They stay in place after the import, because MXNet reads some of them at call time too.
    """
    return {
        # An alias of Python's bool until NumPy 1.24. NumPy 2 defines it anew, as its own scalar type.
        "bool": bool,
        # Constants that NumPy 2.0 removed. mxnet.numpy.utils and Gluon's estimator read them.
        "Inf": np.inf,
        "NAN": np.nan,
        "NINF": -np.inf,
        "NZERO": -0.0,
        "NaN": np.nan,
        "PINF": np.inf,
        "PZERO": 0.0,
        # Aliases that NumPy 2 removed. mxnet.numpy registers its own versions of them under these names.
        "alltrue": np.all,
        "product": np.prod,
        "round_": np.round,
        "sometrue": np.any,
        # Functions that NumPy 1.20 (finance) and 2 removed. mxnet.numpy.fallback copies them, and nothing calls them.
        **dict.fromkeys(("in1d", "mirr", "msort", "npv", "pmt", "ppmt", "pv", "rate", "trapz"), _removed),
    }


def _restore_removed_names() -> None:
    """Add to NumPy the names that MXNet needs, and leave every name that NumPy has."""
    for name, value in _names_that_numpy_removed().items():
        vars(np).setdefault(name, value)


def _missing() -> ClientError:
    """Return the error for a missing MXNet, with the command that installs it."""
    if not mxnet_package.is_published():
        return ClientError("MXNet is not installed: it has no release for this platform.")
    return ClientError(f"MXNet is not installed. Install it: {mxnet_package.installation_command()}")


_restore_removed_names()

# MXNet imports ``distutils``, which Python 3.12 removed. setuptools provides its own copy under that name.
if sys.version_info >= (3, 12):
    try:
        import setuptools  # noqa: F401
    except ImportError:
        raise _missing() from None

# MXNet's import emits nine warnings about deprecated names of NumPy and setuptools.
# Its wheel leaves two libraries to the system. A small system (Debian's slim images) has neither.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import mxnet as mx
    except ImportError:
        raise _missing() from None
    except OSError as error:
        raise ClientError(
            f"MXNet cannot be loaded: {error}. It needs libgomp and libquadmath; on Debian and Ubuntu: "
            "apt install libgomp1 libquadmath0."
        ) from None
