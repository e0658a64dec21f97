"""Style of all plots: distinguishable colours and strokes, and figures without a display."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ipinsights.errors import ClientError
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "STYLES", "colour", "new_figure", "plain_label", "png", "stroke"]

# Okabe and Ito's palette, for people with any colour vision. In grey the line styles distinguish lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^Dvx+"


def new_figure(**options: Any) -> Figure:
    """Return an empty figure that needs no display."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ClientError("Plots need matplotlib, which is not installed: pip install matplotlib.") from None
    return Figure(layout="constrained", **options)


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
