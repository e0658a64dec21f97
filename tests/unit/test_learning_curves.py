"""Plots of runs; that they are legible was checked by eye."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.reporting.plot_style import png
from ipinsights.runs.learning_curves import draw_runs
from ipinsights.runs.reader import read_run
from ipinsights.runs.run import AUC

from .training_logs import LOGS, with_metric

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog

PNG = b"\x89PNG\r\n"


class TestPlots:
    """Pictures; that they are legible was looked at."""

    def test_runs_are_drawn_with_a_panel_per_metric(self, baseline: RunLog) -> None:
        """Axes say what they show, and each run has its line in the legend."""
        figure = draw_runs([baseline, read_run(LOGS / "ours.log")], ["one", "two"])
        assert [axes.get_ylabel() for axes in figure.axes] == [
            "training accuracy", "training cross-entropy (nats)", "validation AUC", "thousand records per second",
        ]  # fmt: skip
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
        assert png(figure).startswith(PNG)

    def test_names_are_shown_as_they_are(self, baseline: RunLog) -> None:
        """Names of files are no formulas, may begin with an underscore, and need not be UTF-8."""
        figure = draw_runs([baseline] * 3, [r"$\foo$.log", "_two.log", "\udcff.log"])
        shown = [text.get_text() for text in figure.legends[0].get_texts()]
        assert shown == [r"\$\foo\$.log", " _two.log", r"\udcff.log"]
        assert png(figure).startswith(PNG)

    def test_a_metric_that_no_run_has_has_no_panel(self, baseline: RunLog) -> None:
        """Three panels, and no empty fourth."""
        assert len(draw_runs([with_metric(baseline, AUC, None)], ["one"]).axes) == 3

    def test_a_log_without_ends_is_drawn_too(self, baseline: RunLog) -> None:
        """A run that was cut off inside its first epoch."""
        cut = replace(baseline, epochs=baseline.epochs.iloc[:0], batches=baseline.batches.iloc[:3])
        assert png(draw_runs([baseline, cut], ["one", "two"])).startswith(PNG)
        assert [axes.get_ylabel() for axes in draw_runs([cut], ["one"]).axes] == [
            "training accuracy", "training cross-entropy (nats)"
        ]  # fmt: skip

    def test_a_log_without_metrics_cannot_be_drawn(self, baseline: RunLog) -> None:
        """A log without metrics is an error instead of an empty figure."""
        empty = replace(baseline, epochs=baseline.epochs.iloc[:0], batches=baseline.batches.iloc[:0])
        with pytest.raises(ClientError) as caught:
            draw_runs([empty], ["some.log"])
        assert str(caught.value) == "Nothing to plot: no metrics in some.log."
