"""Plots of scores; that they are legible was checked by eye."""

from __future__ import annotations

import numpy as np
import pytest
from score_comparison import compare_scores
from score_plots import draw_scores
from score_reader import Labels, Scores

from ipinsights.reporting.plot_style import png

PNG = b"\x89PNG\r\n"


class TestScorePlots:
    """Pictures of scores."""

    @pytest.mark.parametrize("labelled", [False, True])
    def test_scores_are_drawn(self, labelled: bool, rng: np.random.Generator) -> None:  # noqa: FBT001
        """With labels there is a ROC curve too."""
        first, second = rng.normal(size=(2, 200))
        labels = Labels(np.arange(200) % 2 == 0) if labelled else None
        figure = draw_scores(compare_scores(Scores("a", first), Scores("b", second), labels))
        assert len(figure.axes) == 3 + labelled  # one is the colour bar's
        assert png(figure).startswith(PNG)
