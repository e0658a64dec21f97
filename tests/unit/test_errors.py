"""Whose fault a failure is."""

from __future__ import annotations

import pytest

from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError


@pytest.mark.parametrize(
    ("error", "exit_code", "report"),
    [
        (ClientError("The file is empty."), 2, "ClientError: The file is empty."),
        (AlgorithmError("A worker died."), 1, "AlgorithmError: A worker died."),
        (IPInsightsError("Something broke."), 1, "AlgorithmError: Something broke."),
    ],
)
def test_an_error_knows_whose_fault_it_is(error: IPInsightsError, exit_code: int, report: str) -> None:
    """The user's ends with 2, ours with 1, and who is not told apart is taken for ours."""
    assert (error.exit_code, error.report, str(error)) == (exit_code, report, report.split(": ")[1])


def test_one_clause_catches_all() -> None:
    """IPInsightsError catches errors of both kinds."""
    assert issubclass(ClientError, IPInsightsError)
    assert issubclass(AlgorithmError, IPInsightsError)
