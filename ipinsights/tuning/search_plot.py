"""The plot of a search: how good its trials were, and with which values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ipinsights.reporting.plot_style import COLOURS, new_figure
from ipinsights.tuning.study import OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ipinsights.tuning.search_range import SearchRange
    from ipinsights.tuning.study import Outcome

__all__ = ["draw_search"]

_TRIAL, _BEST = COLOURS[:2]
_PANEL_INCHES = 3.6


def draw_search(outcomes: Sequence[Outcome], ranges: Sequence[SearchRange]) -> Figure:
    """Draw the trials in their order with the best so far, and over each hyperparameter.

    Trials that failed are left out. Those that were stopped early are drawn hollow, at their last epoch's AUC.
    """
    figure = new_figure(figsize=(_PANEL_INCHES * (1 + len(ranges)), _PANEL_INCHES))
    trials, *panels = figure.subplots(1, 1 + len(ranges), sharey=True, squeeze=False)[0]
    shown = [outcome for outcome in outcomes if outcome.auc is not None]
    _scatter(trials, shown, [outcome.number for outcome in shown])
    _draw_best_so_far(trials, shown)
    trials.set(xlabel="trial", ylabel=OBJECTIVE)
    for panel, searched in zip(panels, ranges, strict=True):
        name = searched.row.name
        _scatter(panel, shown, [float(outcome.values[name]) for outcome in shown])
        panel.set(xlabel=name, xscale="log" if searched.is_logarithmic else "linear")
    return figure


def _scatter(axes: Axes, outcomes: Sequence[Outcome], xs: Sequence[float]) -> None:
    aucs = [outcome.auc or math.nan for outcome in outcomes]
    fills = ["none" if outcome.note else _TRIAL for outcome in outcomes]
    axes.scatter(xs, aucs, facecolors=fills, edgecolors=_TRIAL)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def _draw_best_so_far(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    best, numbers, aucs = -math.inf, [], []
    for outcome in outcomes:
        if not outcome.note:
            best = max(best, outcome.auc or -math.inf)
            numbers.append(outcome.number)
            aucs.append(best)
    axes.step(numbers, aucs, where="post", color=_BEST, label="best so far")
    axes.legend(loc="lower right")
