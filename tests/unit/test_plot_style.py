"""What all plots share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.runs.learning_curves import draw_runs

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog


class TestPlotStyle:
    """What all plots share."""

    def test_without_matplotlib_the_cure_is_told(self, baseline: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error about a missing matplotlib says how to install it."""
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ClientError) as caught:
            draw_runs([baseline], ["one"])
        assert str(caught.value) == ("Plots need matplotlib, which is not installed: pip install matplotlib.")
