"""Commands that use a trained model: ``score``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ipinsights.cli.options import FILE, INPUT, MODEL_DIR

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command()
@click.argument("source", metavar="INPUT.csv", type=INPUT)
@MODEL_DIR
@click.option("-o", "--output", type=FILE, help="Where the scores go; standard output when not given.")
@click.option("--extended", is_flag=True, help="Add entity_known (was it in the training data) and probability.")
@click.option("--keep-columns", is_flag=True, help="Accept further columns and copy them to the output.")
def score(source: Path, model_dir: Path, output: Path | None, extended: bool, keep_columns: bool) -> None:  # noqa: FBT001
    """Score each pair of a CSV: entity,ip,dot_product, a line per input line in the same order."""
    from ipinsights.predictor import Predictor
    from ipinsights.scoring import score_file

    score_file(Predictor.load(model_dir), source, output, extended=extended, keep_columns=keep_columns)


COMMANDS = (score,)
