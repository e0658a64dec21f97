"""Learning curves: every metric of some training runs over epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from ipinsights.errors import ClientError
from ipinsights.reporting.plot_style import MARKERS, colour, panel_grid, plain_label, stroke
from ipinsights.runs.criteria import METRICS
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ipinsights.runs.run import RunLog

__all__ = ["draw_runs"]

_LABELS = {
    ACCURACY: "training accuracy",
    CROSS_ENTROPY: "training cross-entropy (nats)",
    AUC: "validation AUC",
    THROUGHPUT: "thousand records per second",
}


def draw_runs(runs: Sequence[RunLog], labels: Sequence[str]) -> Figure:
    """Draw every metric of runs over epochs, with lines within epochs and a marker at each end."""
    tables = [table for run in runs for table in (run.per_epoch(), run.within_epochs())]
    told = {key for table in tables for key in table.dropna(axis=1, how="all")}
    metrics = [metric for metric in METRICS if metric.key in told]
    if not metrics:
        raise ClientError(f"Nothing to plot: no metrics in {', '.join(labels)}.")
    figure, panels = panel_grid(len(metrics), width=5.5, height=3.6, legend=0.3 * math.ceil(len(runs) / 2))
    for axes, metric in zip(panels, metrics, strict=True):
        for position, run in enumerate(runs):
            _draw_run(axes, run, metric.key, position)
        _label(axes, metric.key)
    handles = [_draw_line(panels[0], [], [], position) for position in range(len(runs))]
    figure.legend(handles, [plain_label(label) for label in labels], loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_run(axes: Axes, run: RunLog, key: str, position: int) -> None:
    scale = 1e-3 if key == THROUGHPUT else 1.0
    ends = run.per_epoch().get(key, pd.Series(dtype=float)).dropna() * scale
    curve = _inside(run, key, ends)
    axes.plot(curve.index, curve, color=colour(position), linestyle=stroke(position), linewidth=1.4)
    line = _draw_line(axes, ends.index + 1, ends, position)
    if len(curve):
        line.set_linestyle("none")


def _inside(run: RunLog, key: str, ends: pd.Series[float]) -> Any:
    """Return a running metric by epochs passed, with its epoch ends and a gap before each epoch."""
    table, sizes = run.within_epochs(), run.per_epoch().get("Max Batches Seen Between Resets")
    if key not in table:
        return pd.Series(dtype=float)
    # Batch 0 is a batch alone: noise, and at the very beginning it would flatten all the rest of the curve.
    series = table[key].dropna().loc[lambda values: values.index.get_level_values("batch") > 0]
    epochs, batches = (series.index.get_level_values(level).to_numpy() for level in ("epoch", "batch"))
    num_seen = int(max(batches, default=0)) + 1
    num_batches = num_seen if sizes is None or sizes.isna().all() else max(num_seen, int(sizes.max()))
    inside = pd.Series(series.to_numpy(), index=epochs + (batches + 1) / num_batches)
    # Running metrics begin anew in each epoch, so a line from one to the next would mean nothing.
    gaps = pd.Series(float("nan"), index=sorted({float(epoch) + 1e-9 for epoch in epochs}))
    at_ends = ends[ends.index.isin(epochs)]
    return pd.concat([inside, gaps, at_ends.set_axis(at_ends.index + 1.0)]).sort_index()


def _draw_line(axes: Axes, x: Any, y: Any, position: int) -> Any:
    marker = MARKERS[position % len(MARKERS)]
    return axes.plot(x, y, color=colour(position), linestyle=stroke(position), marker=marker, markersize=5)[0]


def _label(axes: Axes, key: str) -> None:
    axes.set(xlabel="epochs trained", ylabel=_LABELS[key])
    axes.grid(alpha=0.3)
    axes.locator_params(axis="x", integer=True)
    if key == CROSS_ENTROPY:
        axes.set_yscale("log")
        for axis_part in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_part("{x:.3g}")
    if key == THROUGHPUT:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
