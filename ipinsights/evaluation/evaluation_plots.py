"""Plots of an evaluation, as SVG for its page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.ip_networks import network_text
from ipinsights.evaluation.results import AWS_RECIPE, GIVEN_ATTACKS, MODEL
from ipinsights.reporting.plot_style import colour, new_figure, panel_grid, stroke
from ipinsights.runs.learning_curves import draw_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.inference.predictor import Predictor
    from ipinsights.runs.run import RunLog

__all__ = ["draw_all", "draw_embeddings", "draw_rocs", "draw_scores"]

_CURVES = (MODEL, "Witten-Bell counts", "longest prefix", "Freeman's ratio")
_LOWEST_FPR = 1e-3
_NUM_BINS = 60
_NUM_NETWORKS = 500
_NUM_LABELLED = 12
_BEHIND_TEXT = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
_SAME_IDS: dict[Any, Any] = {"svg.hashsalt": "ipinsights"}


def draw_all(
    evaluation: Evaluation, *, predictor: Predictor, train: Pairs, training: RunLog | None
) -> dict[str, tuple[str, str]]:
    """Return the caption and the SVG of every plot by title."""
    figures = {
        "Scores": (
            "Higher is more normal. No threshold can distinguish what lies under both outlines.",
            draw_scores(evaluation.densities),
        ),
        "Attacks caught by false alarms": (
            "ROC curves with the false positive rate on a log scale, because only its left end can be afforded. The "
            "dotted line is chance.",
            draw_rocs(evaluation.curves),
        ),
        "Networks": (
            f"Embeddings of the {_NUM_NETWORKS:,} busiest networks (/16) of training, laid out by t-SNE: networks near "
            "each other are normal for the same entities. Distances between far ones mean nothing.",
            draw_embeddings(predictor, train),
        ),
    }
    if training is not None:
        figures["Training"] = (
            "What training logged: lines inside epochs, a marker at the end of each.",
            draw_runs([training], [training.name]),
        )
    return {title: (caption, svg(figure, title)) for title, (caption, figure) in figures.items()}


def svg(figure: Figure, title: str) -> str:
    """Return the figure as an SVG element with an accessible title, in the same bytes each time."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(_SAME_IDS):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    drawn = stream.getvalue()
    return drawn[drawn.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def draw_scores(densities: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw the score distributions of ordinary events and of each attacker from quantiles."""
    names = [name for name in densities if name not in (GIVEN_ATTACKS, AWS_RECIPE)]
    every = np.concatenate([densities[name] for name in names])
    edges = np.linspace(every.min(), every.max() + 1e-6, _NUM_BINS + 1)
    figure = new_figure(figsize=(8, 4.2))
    axes = figure.subplots()
    for position, name in enumerate(names):
        shares = np.histogram(densities[name], edges)[0] / len(densities[name])
        style: dict[str, Any] = {"color": colour(position), "linestyle": stroke(position), "linewidth": 1.6}
        label = "ordinary events" if name == "ordinary" else f"attacks: {name}"
        axes.stairs(100 * shares, edges, label=label, **style)
        if name == "ordinary":
            axes.stairs(100 * shares, edges, fill=True, color=colour(position), alpha=0.2)
    axes.set(xlabel="score (higher is more normal)", ylabel="events, % per bin")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure


def draw_rocs(curves: Mapping[str, Mapping[str, tuple[list[float], list[float]]]]) -> Figure:
    """Draw a panel for each attacker, with the model and the best of counting."""
    names = [name for name in curves if name != AWS_RECIPE]
    figure, panels = panel_grid(len(names), width=4.6, height=3.6, legend=0.4)
    for axes, name in zip(panels, names, strict=True):
        for position, scorer in enumerate(_CURVES):
            fpr, tpr = curves[name][scorer]
            axes.plot(fpr, tpr, color=colour(position), linestyle=stroke(position), linewidth=1.8, label=scorer)
        axes.plot(fpr, fpr, color="grey", linestyle=":", linewidth=1.2, label="chance")
        _label_roc(axes, f"{name} (victims not matched)" if name == GIVEN_ATTACKS else name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def draw_embeddings(predictor: Predictor, train: Pairs) -> Figure:
    """Draw the busiest networks of training, laid out by t-SNE of their embeddings.

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE, 2008.
    """
    networks, means = _network_means(predictor, train.ips)
    positions = _laid_out(means)
    figure = new_figure(figsize=(8, 6.2))
    axes = figure.subplots()
    dots = axes.scatter(positions[:, 0], positions[:, 1], c=networks >> 8, cmap="viridis", s=14, vmin=0, vmax=255)
    middle = float(np.median(positions[:, 0]))
    for position in _spread_out(positions):
        name, is_right = network_text(int(networks[position]) << 16, 16), positions[position, 0] > middle
        # towards the middle, so that no label leaves the map
        label: dict[str, Any] = {"xytext": (-4 if is_right else 4, 3), "ha": "right" if is_right else "left"}
        axes.annotate(name, positions[position], textcoords="offset points", fontsize=9, bbox=_BEHIND_TEXT, **label)
        axes.plot(*positions[position], marker="o", markersize=5, markerfacecolor="none", markeredgecolor="black")
    axes.set(xlabel="first axis of the map (no unit)", ylabel="second axis of the map (no unit)")
    axes.grid(alpha=0.3)
    figure.colorbar(dots, ax=axes, label="first octet of the network")
    return figure


def _network_means(predictor: Predictor, ips: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return the busiest networks (m,) as 16-bit numbers, and the mean embedding of each."""
    counts = np.bincount(ips >> 16, minlength=2**16)
    networks = np.argsort(-counts, kind="stable")[: min(_NUM_NETWORKS, np.count_nonzero(counts))]
    ordered = np.sort(ips)
    begins = np.searchsorted(ordered >> 16, networks)
    # up to 16 addresses of each, evenly among all
    chosen = begins[:, np.newaxis] + (np.arange(16) * counts[networks, np.newaxis]) // 16
    embedded = predictor.ip_embeddings(ordered[chosen.ravel()]).reshape(len(networks), 16, -1)
    return networks.astype(np.uint32), embedded.mean(axis=1, dtype=np.float64)


def _laid_out(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a position in the plane, shape (m, 2), for each point of shape (m, dim)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(points) < 4:  # noqa: PLR2004 - nothing to lay out
        return np.pad(np.arange(len(points), dtype=np.float64)[:, np.newaxis], ((0, 0), (0, 1)))
    perplexity = min(30.0, (len(points) - 1) / 3)
    # For so few points, threads that wait for each other on a busy machine cost up to ten times what they save.
    with threadpool_limits(1):
        positions: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
    return positions


def _spread_out(positions: NDArray[np.float64]) -> list[int]:
    """Return the indices of the first positions that are far enough apart for a label each."""
    extent = np.ptp(positions, axis=0) + 1e-12
    chosen: list[int] = []
    for position in range(len(positions)):
        distance = np.abs(positions[chosen] - positions[position]) / extent
        if len(chosen) < _NUM_LABELLED and ((distance[:, 0] > 0.2) | (distance[:, 1] > 0.04)).all():  # noqa: PLR2004
            chosen.append(position)
    return chosen


def _label_roc(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set(xlim=(_LOWEST_FPR, 1), ylim=(0, 1.02), title=title)
    axes.set_xticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
    axes.set_yticks(np.linspace(0, 1, 6), [f"{share:.0f} %" for share in np.linspace(0, 100, 6)])
    axes.set(xlabel="false alarms (FPR)", ylabel="attacks caught (TPR)")
    axes.grid(alpha=0.3)
