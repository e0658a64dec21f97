"""What the command line calls to compare logs."""

from __future__ import annotations

import pytest

from ipinsights.errors import ClientError
from ipinsights.runs.compare import compare_logs

from .training_logs import LOGS


class TestCommand:
    """What the command line calls."""

    def test_unknown_metrics_to_ignore_are_refused(self) -> None:
        """The sentence says which there are."""
        with pytest.raises(ClientError) as caught:
            compare_logs([LOGS / "ours.log"] * 2, ignored=["loss"])
        assert str(caught.value) == (
            "'loss' is no metric to ignore: it must be one of accuracy, auc, cross_entropy, throughput."
        )
