"""Draw what ``benchmark.py`` and ``benchmark_scale.py`` have measured, with spreads, as SVG."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipinsights.reporting.plot_style import COLOURS, MARKERS, STYLES, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {
    "num_entity_vectors": "entity vectors",
    "vector_dim": "dimensions",
    "num_ip_encoder_layers": "fully connected layers",
    "random_negative_sampling_rate": "random negatives of a row, R",
    "shuffled_negative_sampling_rate": "shuffled negatives of a row, S",
    "mini_batch_size": "records of a batch",
    "cores": "cores",
}
_MILLION = 1_000_000
_ON_A_LOGARITHMIC_AXIS = ("num_entity_vectors", "vector_dim", "mini_batch_size")


@click.command()
@click.argument("folder", default="bench", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    """Draw the results in a folder into it: growth.svg and scale.svg."""
    draw_all(folder)


def draw_all(folder: Path) -> None:
    """Draw what has been measured: growth.svg of results.json, scale.svg of scale.jsonl."""
    results, scale = folder / "results.json", folder / "scale.jsonl"
    if results.exists():
        measured = json.loads(results.read_text(encoding="utf-8"))
        growth = {name: measured[f"growth with {name}"] for name in _LABELS if f"growth with {name}" in measured}
        save(draw_growth(growth), folder / "growth.svg")
    if scale.exists():
        jobs = [json.loads(line) for line in scale.read_text(encoding="utf-8").splitlines()]
        save(draw_scale(jobs), folder / "scale.svg")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, the same bytes for the same numbers."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ipinsights", "font.family": "sans-serif"}):
        figure.savefig(path, metadata={"Date": None})


def draw_growth(measured: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw records per second over each varied parameter, as medians and ranges of all rounds."""
    figure = new_figure(figsize=(12, 5.5))
    all_axes = figure.subplots(2, 4).flat
    for axes in all_axes[len(measured) :]:
        axes.set_axis_off()
    for axes, (name, found) in zip(all_axes, measured.items(), strict=False):
        values = [float(value) for value in found]
        medians = [statistics.median(rounds) / 1e3 for rounds in found.values()]
        spread = [
            [median - min(rounds) / 1e3 for median, rounds in zip(medians, found.values(), strict=True)],
            [max(rounds) / 1e3 - median for median, rounds in zip(medians, found.values(), strict=True)],
        ]
        axes.errorbar(values, medians, yerr=spread, color=COLOURS[0], marker=MARKERS[0], capsize=4)
        finish(axes, _LABELS[name], "thousand records per second", is_logarithmic=name in _ON_A_LOGARITHMIC_AXIS)
        axes.set_xticks(values, [short(value) for value in values])
        axes.minorticks_off()
        axes.set_ylim(0, 1.1e-3 * max(map(max, found.values())))
    return figure


def draw_scale(jobs: list[dict[str, Any]]) -> Figure:
    """Draw seconds of whole jobs over rows, and memory over entity vectors with the formula."""
    figure = new_figure(figsize=(10, 3.8))
    left, right = figure.subplots(1, 2)
    of_rows = sorted((job for job in jobs if job["kind"] == "rows"), key=lambda job: int(job["settings"]["rows"]))
    rows = [job["settings"]["rows"] for job in of_rows]
    for index, (key, label) in enumerate({"epoch": "one epoch", "first": "until the first batch"}.items()):
        left.plot(rows, [job[key] for job in of_rows], STYLES[index], color=COLOURS[index], marker=MARKERS[index],
                  label=label)  # fmt: skip
    finish(left, "rows", "seconds", is_logarithmic=True)
    left.set_yscale("log")
    models = sorted(
        (job for job in jobs if job["kind"] != "rows"), key=lambda job: job["settings"]["num_entity_vectors"]
    )
    vectors = [job["settings"]["num_entity_vectors"] for job in models]
    right.plot(vectors, [job["formula"] / 1e9 for job in models], STYLES[1], color=COLOURS[1], label="formula")
    right.plot(vectors, [job["peak"] / 1e9 for job in models], MARKERS[0], color=COLOURS[0], label="measured peak")
    finish(right, "entity vectors of 128 dimensions", "GB of memory", is_logarithmic=True)
    right.set_yscale("log")
    for axes in (left, right):
        axes.legend(frameon=False)
    return figure


def short(value: float) -> str:
    """Return a number as the label of a tick."""
    return f"{value / _MILLION:g} M" if value >= _MILLION else f"{value:,.0f}"


def finish(axes: Axes, x_label: str, y_label: str, *, is_logarithmic: bool) -> None:
    """Set labels, scale and style of axes."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if is_logarithmic:
        axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
