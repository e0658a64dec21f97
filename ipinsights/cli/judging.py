"""Commands that judge models and compare runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.options import FILE, INPUT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command()
@click.argument("logs", nargs=-1, required=True, type=INPUT)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="METRIC=VALUE",
    help="How much worse is not worse yet: an amount (auc=0.005) or a share (throughput=20%); repeatable.",
)
@click.option("--ignore", "ignored", multiple=True, metavar="METRIC", help="Show a metric and do not judge it.")
@click.option("--markdown", type=FILE, help="Write the report as Markdown too.")
@click.option("--json", type=FILE, help="Write everything as JSON too.")
@click.option("--plot", type=FILE, help="Draw the metrics as PNG; needs the extra `report`.")
def compare(logs: tuple[Path, ...], **options: Any) -> None:
    """Compare two training logs, ours or SageMaker's, or list a folder of them.

    The second log is judged by the first: exit code 0 if it is not worse, 1 if it is, 2 if there is nothing to judge.
    """
    from ipinsights.comparison.command import compare_logs

    sys.exit(1 if compare_logs(logs, **options, echo=click.echo) else 0)


COMMANDS: tuple[click.Command, ...] = (compare,)
