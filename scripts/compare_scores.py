"""Compare scores of the same pairs from SageMaker's .out, JSON or ``ipinsights score``.

LABELS is a CSV file without header whose last column is 1 for an attack and 0 for a normal event, as
``ipinsights simulate`` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from score_comparison import compare_scores
from score_plots import draw_scores
from score_reader import read_labels, read_scores
from score_report import score_report

from ipinsights.data.files import write_file
from ipinsights.errors import ClientError
from ipinsights.reporting.plot_style import png
from ipinsights.reporting.report import json_text

PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.argument("labels", type=PATH, required=False)
@click.option("--threshold", type=float, default=0.0, show_default=True, help="Pairs that score below are flagged.")
@click.option(
    "--flag-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Instead: each flags this share of its lowest scores.",
)
@click.option("--limit", type=click.IntRange(0), default=10, show_default=True, help="Disagreeing pairs to show.")
@click.option("--markdown", type=PATH, help="Write the report as Markdown too.")
@click.option("--json-file", type=PATH, help="Write everything as JSON too.")
@click.option("--plot", type=PATH, help="Draw the scores as PNG.")
def main(
    first: Path,
    second: Path,
    labels: Path | None,
    threshold: float,
    flag_rate: float | None,
    limit: int,
    markdown: Path | None,
    json_file: Path | None,
    plot: Path | None,
) -> None:  # fmt: skip
    """Compare, print and write what is wanted."""
    comparison = compare_scores(
        read_scores(first), read_scores(second), read_labels(labels) if labels else None,
        threshold=threshold, flag_rate=flag_rate,
    )  # fmt: skip
    report = score_report(comparison, limit)
    click.echo(report.text())
    if markdown:
        write_file(markdown, report.markdown())
    if json_file:
        write_file(json_file, json_text(comparison.to_json(limit)))
    if plot:
        write_file(plot, png(draw_scores(comparison)))


if __name__ == "__main__":
    try:
        main()
    except ClientError as error:
        click.echo(error.report, err=True)
        sys.exit(error.exit_code)
