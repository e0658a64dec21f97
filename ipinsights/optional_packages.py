"""Which of the packages that ipinsights can do without are installed. Nothing is imported to find out."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["mxnet_available", "require_mxnet"]


def mxnet_available() -> bool:
    """Return whether MXNet is installed."""
    return find_spec("mxnet") is not None


def require_mxnet() -> None:
    """Check that MXNet is installed, without loading an installed one.

    Raises
    ------
    ClientError
        MXNet is missing. The message names the command that installs it.
    """
    if not mxnet_available():
        import ipinsights._mxnet  # noqa: F401 - raises the error
