"""Style of all plots: distinguishable colours and strokes, and figures without a display."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ipinsights.errors import missing_package_reported
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "STYLES", "colour", "new_figure", "panel_grid", "plain_label", "png", "stroke"]

# Okabe and Ito's palette, for people with any colour vision. In grey the line styles distinguish lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dvx+"


def new_figure(**options: Any) -> Figure:
    """Return an empty figure that needs no display."""
    with missing_package_reported("Plots need matplotlib", "matplotlib"):
        from matplotlib.figure import Figure
    return Figure(layout="constrained", **options)


def panel_grid(num_panels: int, *, width: float, height: float, legend: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels in one or two columns, and the panels.

    ``width`` and ``height`` of a panel, and the height of the ``legend`` below, are in inches.
    """
    num_columns = min(2, num_panels)
    num_rows = -(-num_panels // num_columns)
    figure = new_figure(figsize=(width * num_columns, height * num_rows + legend))
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel().tolist()
    for axes in panels[num_panels:]:
        axes.remove()
    return figure, panels[:num_panels]


def plain_label(text: str) -> str:
    r"""Return a text of others as a label that shows it as it is.

    Matplotlib takes dollars for formulas, and leaves labels with a leading underscore out of a legend.

    >>> plain_label("$a$.log")
    '\\$a\\$.log'
    """
    shown = one_line(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def colour(position: int) -> str:
    """Return the colour of a curve by its position, from 0."""
    return COLOURS[position % len(COLOURS)]


def stroke(position: int) -> str:
    """Return the line style of a curve by its position, from 0."""
    return STYLES[position % len(STYLES)]
