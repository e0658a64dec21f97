"""Limits of a training job, and what they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipinsights.errors import ClientError
from ipinsights.training.limits import Limits


def test_patience_needs_validation_data() -> None:
    """Early stopping without a validation channel is refused."""
    with pytest.raises(ClientError) as caught:
        Limits(early_stopping_patience=2).check_validation(None)
    assert str(caught.value) == (
        "`early_stopping_patience` waits for a better validation AUC, and there is no validation data. Give the job "
        "some (`validation`, or the channel 'validation'), or leave the option out."
    )


@pytest.mark.parametrize("limits", [Limits(), Limits(every_batches=5, max_seconds=1.0)])
def test_other_limits_need_nothing(limits: Limits) -> None:
    """Checkpoints and a time limit work without validation."""
    limits.check_validation(None)


def test_patience_with_validation_is_allowed() -> None:
    """The check passes."""
    Limits(early_stopping_patience=1).check_validation(Path("validation.csv"))


def test_a_time_that_is_no_number_is_refused() -> None:
    """NaN seconds would never be over, so the job would have no limit."""
    with pytest.raises(ClientError) as caught:
        Limits(max_seconds=float("nan"))
    assert str(caught.value) == "`max_seconds` must be a number of seconds. Got nan, which is never over."
