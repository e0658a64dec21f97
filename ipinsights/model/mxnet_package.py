"""Whether MXNet is installed, and the command that installs it."""

from __future__ import annotations

import importlib.util
import platform
import sys

import numpy as np

__all__ = ["installation_command", "is_installed", "is_published"]

VERSION = "1.9.1"
# Where the last release has wheels. The extra ``mxnet`` in pyproject.toml has the same platforms in its marker.
_PLATFORMS = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64")}


def is_installed() -> bool:
    """Return whether MXNet can be found, without the second that importing it takes."""
    return importlib.util.find_spec("mxnet") is not None


def is_published(system: str = sys.platform, machine: str = platform.machine()) -> bool:
    """Return whether MXNet has a wheel for this platform."""
    return (system, machine) in _PLATFORMS


def installation_command(python: tuple[int, int] = sys.version_info[:2], numpy: str = np.__version__) -> str:
    """Return the command that installs MXNet and keeps the installed NumPy.

    MXNet declares ``numpy<2``. Next to NumPy 2, and where NumPy 1 has no wheels, MXNet is installed without its
    dependencies, after the packages that it imports. ``python`` is its version, as (major, minor).

    >>> installation_command((3, 11), "1.26.4")
    'pip install mxnet==1.9.1'
    >>> installation_command((3, 13), "2.3.0")
    'pip install requests setuptools && pip install --no-deps mxnet==1.9.1'
    """
    distutils = " setuptools" if python >= (3, 12) else ""  # Python 3.12 removed distutils
    if python < (3, 13) and numpy.startswith("1."):
        return f"pip install mxnet=={VERSION}{distutils}"
    return f"pip install requests{distutils} && pip install --no-deps mxnet=={VERSION}"
