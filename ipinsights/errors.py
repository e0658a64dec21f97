"""Errors, and whose fault each is.

SageMaker tells a user's fault from the algorithm's by the first word of the failure file and by the exit code. Both are
attributes of the class, so every caller reports them alike.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AlgorithmError", "ClientError", "IPInsightsError", "InvalidValueError", "MissingSizesError", "OutputClosedError",
    "RowsError", "UnreadableFileError", "missing_package_reported",
]  # fmt: skip


class IPInsightsError(Exception):
    """Base of every error this package raises on purpose.

    Attributes
    ----------
    exit_code
        What the process ends with when nothing handles the error.
    prefix
        First word of the line written to the log and to the failure file.

    Examples
    --------
    >>> import ipinsights
    >>> try:
    ...     ipinsights.IPInsights.load("missing")
    ... except ipinsights.IPInsightsError as error:
    ...     print(error.exit_code, error.prefix)
    2 ClientError
    """

    exit_code = 1
    prefix = "AlgorithmError"

    @property
    def report(self) -> str:
        """The line a person reads: ``<prefix>: <message>``."""
        return f"{self.prefix}: {self}"


class AlgorithmError(IPInsightsError):
    """Our fault, or the machine's: exit code 1.

    Examples
    --------
    >>> AlgorithmError("A process was killed.").report
    'AlgorithmError: A process was killed.'
    """


class ClientError(IPInsightsError):
    """The caller's fault, and theirs to correct (hyperparameters, data, paths): exit code 2.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.IPInsights.load("missing")
    Traceback (most recent call last):
    ipinsights.errors.ClientError: There is no model at missing: give a model directory, a model_algo-1 file ...
    """

    exit_code = 2
    prefix = "ClientError"


class UnreadableFileError(ClientError):
    """A file or folder cannot be read. The message names it."""


class InvalidValueError(ClientError, ValueError):
    """Invalid value of a parameter or an argument, which is also a ``ValueError``.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.IPInsights(vector_dim=2).fit([("alice", "192.0.2.1")])
    Traceback (most recent call last):
    ipinsights.errors.InvalidValueError: Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is 2.
    """


class MissingSizesError(InvalidValueError):
    """Hyperparameters without these required sizes, which ``auto`` would choose from the data."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


class RowsError(InvalidValueError):
    """Rows of data are invalid. Other rows of the same data may be valid.

    Attributes
    ----------
    is_json
        Whether a file that must be CSV begins with JSON.
    has_further_columns
        Whether a row has more columns than entity and address.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.IPInsights().fit([("alice", "192.0.2.1"), ("", "192.0.2.1")])
    Traceback (most recent call last):
    ipinsights.errors.RowsError: row 1 of X: the entity is empty.
    """

    def __init__(self, message: str, *, is_json: bool = False, has_further_columns: bool = False) -> None:
        super().__init__(message)
        self.is_json = is_json
        self.has_further_columns = has_further_columns


class OutputClosedError(IPInsightsError):
    """Output closed by its reader (``| head``), after which the command ends quietly."""

    exit_code = 141  # what a shell shows for the end by SIGPIPE


@contextlib.contextmanager
def missing_package_reported(need: str, package: str) -> Iterator[None]:
    """Report an optional package that cannot be imported, with the command that installs it.

    >>> with missing_package_reported("Plots need matplotlib", "matplotlib"):
    ...     import missing
    Traceback (most recent call last):
    ipinsights.errors.ClientError: Plots need matplotlib, which is not installed: pip install matplotlib.
    """
    try:
        yield
    except ImportError:
        raise ClientError(f"{need}, which is not installed: pip install {package}.") from None
