"""Plots of training runs and of scores, for an extra that not everybody installs."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from ipinsights.comparison.runs import METRICS
from ipinsights.errors import ClientError
from ipinsights.runlog.run import ACCURACY, AUC, CROSS_ENTROPY, THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ipinsights.runlog import RunLog

__all__ = ["draw_runs", "new_figure", "png"]

# Okabe and Ito's palette, which people with any colour vision can tell apart; in grey the line styles can be.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dvx+"

_LABELS = {
    ACCURACY: "training accuracy",
    CROSS_ENTROPY: "training cross-entropy (nats)",
    AUC: "validation AUC",
    THROUGHPUT: "thousand records per second",
}


def new_figure(**options: Any) -> Figure:
    """Give an empty figure that needs no display.

    Raises
    ------
    ClientError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ClientError("Plots need matplotlib, which is not installed: pip install 'ipinsights[report]'.") from None
    return Figure(layout="constrained", **options)


def png(figure: Figure) -> bytes:
    """Give the figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def draw_runs(runs: Sequence[RunLog], labels: Sequence[str]) -> Figure:
    """Draw every metric of some runs over epochs: lines inside epochs where logs have them, a marker at each end."""
    panels = [metric for metric in METRICS if any(metric.of(run) is not None for run in runs)]
    num_columns = min(2, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    figure = new_figure(figsize=(5.5 * num_columns, 3.6 * num_rows + 0.3 * math.ceil(len(runs) / 2)))
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, metric in zip(grid, panels):
        for position, run in enumerate(runs):
            _draw_run(axes, run, metric.key, position)
        _dress(axes, metric.key)
    for axes in grid[len(panels) :]:
        axes.remove()
    handles = [_draw_line(grid[0], [], [], position) for position in range(len(runs))]
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_run(axes: Axes, run: RunLog, key: str, position: int) -> None:
    scale = 1e-3 if key == THROUGHPUT else 1.0
    ends = run.per_epoch().get(key, pd.Series(dtype=float)).dropna() * scale
    curve = _inside(run, key, ends)
    axes.plot(curve.index, curve, color=_colour(position), linestyle=_style(position), linewidth=1.4)
    line = _draw_line(axes, ends.index + 1, ends, position)
    if len(curve):
        line.set_linestyle("none")


def _inside(run: RunLog, key: str, ends: pd.Series[float]) -> Any:
    """Give a running metric and its values at the ends by epochs passed, with a gap before each epoch.

    Running metrics begin anew in each epoch, so a line from one to the next would mean nothing.
    """
    table, sizes = run.within_epochs(), run.per_epoch().get("Max Batches Seen Between Resets")
    if key not in table:
        return pd.Series(dtype=float)
    # Batch 0 is a batch alone: noise, and at the very beginning it would flatten all the rest of the curve.
    series = table[key].dropna().loc[lambda values: values.index.get_level_values("batch") > 0]
    epochs, batches = (series.index.get_level_values(level).to_numpy() for level in ("epoch", "batch"))
    num_seen = int(max(batches, default=0)) + 1
    num_batches = num_seen if sizes is None or sizes.isna().all() else max(num_seen, int(sizes.max()))
    inside = pd.Series(series.to_numpy(), index=epochs + (batches + 1) / num_batches)
    gaps = pd.Series(float("nan"), index=sorted({float(epoch) + 1e-9 for epoch in epochs}))
    at_ends = ends[ends.index.isin(epochs)]
    return pd.concat([inside, gaps, at_ends.set_axis(at_ends.index + 1.0)]).sort_index()


def _draw_line(axes: Axes, x: Any, y: Any, position: int) -> Any:
    marker = MARKERS[position % len(MARKERS)]
    return axes.plot(x, y, color=_colour(position), linestyle=_style(position), marker=marker, markersize=5)[0]


def _colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def _style(position: int) -> str:
    return STYLES[position % len(STYLES)]


def _dress(axes: Axes, key: str) -> None:
    axes.set(xlabel="epochs trained", ylabel=_LABELS[key])
    axes.grid(alpha=0.3)
    axes.locator_params(axis="x", integer=True)
    if key == CROSS_ENTROPY:
        axes.set_yscale("log")
        for axis_part in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_part("{x:.3g}")
    if key == THROUGHPUT:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
