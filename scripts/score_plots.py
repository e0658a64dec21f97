"""Plots of a comparison of scores: distributions, pair by pair, and ROC curves with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.reporting.plot_style import colour, new_figure, stroke

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from score_comparison import ScoreComparison

__all__ = ["draw_scores"]


def draw_scores(comparison: ScoreComparison) -> Figure:
    """Draw both distributions, a scatter plot of the scores, and with labels the ROC curves.

    The FPR axis of the ROC curves is logarithmic.
    """
    is_attack = comparison.is_attack
    num_panels = 2 if is_attack is None else 3
    figure = new_figure(figsize=(5.2 * num_panels, 4.4))
    panels = figure.subplots(1, num_panels)
    _draw_distributions(panels[0], comparison)
    _draw_against(figure, panels[1], comparison)
    if is_attack is not None:
        _draw_roc(panels[2], comparison)
    handles = [
        panels[0].plot([], [], color=colour(position), linestyle=stroke(position), label=f"{role}: {scores.name}")[0]
        for position, (role, scores) in enumerate(zip(("first", "second"), comparison.both, strict=True))
    ]
    figure.legend(handles=handles, loc="outside lower center", frameon=False)
    return figure


def _draw_distributions(axes: Axes, comparison: ScoreComparison) -> None:
    both = [scores.dot_products for scores in comparison.both]
    lowest, highest = np.quantile(np.concatenate(both), [0.0005, 0.9995])
    bins = np.linspace(float(lowest), float(highest), 80).tolist()
    for position, values in enumerate(both):
        style: dict[str, Any] = {"color": colour(position), "linestyle": stroke(position), "histtype": "step"}
        is_attack = np.zeros(len(values), dtype=bool) if comparison.is_attack is None else comparison.is_attack
        axes.hist(values[~is_attack], bins, density=True, linewidth=1.4, **style)
        if is_attack.any():
            axes.hist(values[is_attack], bins, density=True, linewidth=1.0, **style)
            axes.hist(values[is_attack], bins, density=True, color=colour(position), alpha=0.15)
    for position, threshold in enumerate(comparison.thresholds):
        axes.axvline(threshold, color="black" if position == 0 else "grey", linewidth=0.8, linestyle=stroke(position))
    kinds = "" if comparison.is_attack is None else "; filled: attacks, not filled: normal"
    axes.set(
        xlabel="dot product (higher = more normal); vertical: thresholds",
        ylabel="density",
        title=f"Distributions{kinds}",
    )


def _draw_against(figure: Figure, axes: Axes, comparison: ScoreComparison) -> None:
    first, second = (scores.dot_products for scores in comparison.both)
    counts = axes.hexbin(first, second, gridsize=60, bins="log", mincnt=1, cmap="cividis", linewidths=0)
    figure.colorbar(counts, ax=axes, label="pairs (log scale)")
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, linestyle="--")
    axes.axvline(comparison.thresholds[0], color="grey", linewidth=0.8)
    axes.axhline(comparison.thresholds[1], color="grey", linewidth=0.8)
    axes.set(xlabel="first score", ylabel="second score", title="Pair by pair (dashed: equal scores)")


def _draw_roc(axes: Axes, comparison: ScoreComparison) -> None:
    from sklearn.metrics import roc_curve

    for position, scores in enumerate(comparison.both):
        false_positives, recalls, _ = roc_curve(comparison.is_attack, -scores.dot_products)
        axes.plot(false_positives, recalls, color=colour(position), linestyle=stroke(position))
    axes.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1.01), title="ROC, logarithmic false positive rate",
             xlabel="false positive rate (normal pairs flagged)", ylabel="recall (attacks flagged)")  # fmt: skip
    axes.grid(alpha=0.3, which="both")
