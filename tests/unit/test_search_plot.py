"""The plot of a search."""

from __future__ import annotations

import numpy as np

from ipinsights.tuning.search_plot import draw_search
from ipinsights.tuning.search_range import SearchRange
from ipinsights.tuning.study import Outcome


class TestPlot:
    """The drawing of a search."""

    def test_shows_trials_and_the_best_so_far(self) -> None:
        """There is a panel of trials and one per range, without failures, and the best never falls."""
        ranges = [SearchRange.parse("learning_rate"), SearchRange.parse("vector_dim")]
        values = {"learning_rate": "0.01", "vector_dim": "8"}
        outcomes = [
            Outcome(1, values, 0.7, ""),
            Outcome(2, values, None, "diverged"),
            Outcome(3, values, 0.95, "stopped early, after epoch 1"),
            Outcome(4, values, 0.6, ""),
            Outcome(5, values, 0.9, ""),
        ]
        trials, rates, dims = draw_search(outcomes, ranges).axes
        assert np.asarray(trials.collections[0].get_offsets()).tolist() == [[1, 0.7], [3, 0.95], [4, 0.6], [5, 0.9]]
        assert np.asarray(trials.lines[0].get_ydata()).tolist() == [0.7, 0.7, 0.9]
        assert [(axes.get_xlabel(), axes.get_xscale()) for axes in (trials, rates, dims)] == [
            ("trial", "linear"), ("learning_rate", "log"), ("vector_dim", "linear"),
        ]  # fmt: skip
