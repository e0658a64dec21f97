"""Whose fault a failure is: the one thing every room of the house shares.

SageMaker tells a user's fault from the algorithm's by the first word of the failure file and by the exit code, so both
are attributes of the class: an error that knows its class cannot be reported wrongly further up.
"""

from __future__ import annotations

__all__ = [
    "AlgorithmError",
    "ClientError",
    "IPInsightsError",
    "InvalidValueError",
    "OutputClosedError",
    "RowsError",
]


class IPInsightsError(Exception):
    """Base of every error this package raises on purpose.

    Attributes
    ----------
    exit_code
        What the process ends with when nothing handles the error.
    prefix
        First word of the line written to the log and to the failure file.
    """

    exit_code = 1
    prefix = "AlgorithmError"

    @property
    def report(self) -> str:
        """The line a person reads: ``<prefix>: <message>``."""
        return f"{self.prefix}: {self}"


class AlgorithmError(IPInsightsError):
    """Our fault, or the machine's: exit code 1."""


class ClientError(IPInsightsError):
    """The user's fault, and theirs to mend (hyperparameters, data, paths): exit code 2."""

    exit_code = 2
    prefix = "ClientError"


class InvalidValueError(ClientError, ValueError):
    """A parameter or an argument has an invalid value. Python code may catch it as a ``ValueError``."""


class RowsError(InvalidValueError):
    """Rows of data are invalid. Other rows of the same data may be valid."""


class OutputClosedError(IPInsightsError):
    """The reader of the output has gone (``| head``): the command ends quietly, as other tools do."""

    exit_code = 141  # what a shell shows for the end by SIGPIPE
