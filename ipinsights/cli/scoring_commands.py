"""Commands that use a trained model: ``score``, ``embeddings``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import (
    ENTITY,
    FILE,
    INPUT,
    IP,
    MODEL_DIR,
    OUTPUT_FILE,
    OUTPUT_TEXT,
    SCORER,
    THRESHOLD,
    pair_file,
)
from ipinsights.errors import ClientError, RowsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.argument("source", metavar="INPUT", type=INPUT)
@MODEL_DIR
@click.option("-o", "--output", type=OUTPUT_TEXT, help="Where the scores go; standard output when not given.")
@click.option("--extended", is_flag=True, help="Add entity_known, probability and, with a threshold, p_value, verdict.")
@THRESHOLD
@SCORER
@click.option("--keep-columns", is_flag=True, help="Accept further columns and copy them to the output.")
@click.option("--json-lines", is_flag=True, help="Write a JSON object a line instead of CSV.")
@click.option("--only-suspicious", is_flag=True, help="Write suspicious events only; needs a threshold.")
@ENTITY
@IP
def score(
    source: Path,
    model_dir: Path,
    output: Path | None,
    extended: bool,  # noqa: FBT001
    threshold_file: Path | None,
    scorer: str,
    entity_names: tuple[str, ...],
    ip_names: tuple[str, ...],
    **options: bool,
) -> None:
    """Score pairs of a CSV file, a folder or standard input.

    The output is entity,ip,dot_product, a line per input line in the same order. With --scorer history the column is
    named history.

    INPUT is a file, a folder of files, or - for standard input, whose rows are scored as they come.

    HIGHER MEANS MORE NORMAL. With --extended also entity_known (was it in the training data), probability (sigmoid of
    the score) and, if `ipinsights threshold` stored one, p_value (share of ordinary events that look this odd) and
    verdict (normal, suspicious, unknown_entity or allowed). --threshold means --extended.
    """
    from ipinsights.data.channels import check_outputs
    from ipinsights.etl.records import KeptFields
    from ipinsights.inference.score_file import score_file
    from ipinsights.inference.scorers import load_scorer
    from ipinsights.inference.threshold_files import find_threshold

    check_outputs([output], [source])
    loaded = load_scorer(model_dir, scorer)
    is_extended = extended or options["only_suspicious"] or threshold_file is not None
    threshold = find_threshold(model_dir, threshold_file, scorer) if is_extended else None
    if options["only_suspicious"] and threshold is None:
        raise click.UsageError("--only-suspicious needs a threshold: make one with `ipinsights threshold`.")
    kept = KeptFields() if options["keep_columns"] else None
    with (
        pair_file(source, entity_names=entity_names, ip_names=ip_names, kept=kept) as pairs,
        _columns_explained(keep_columns=options["keep_columns"]),
    ):
        names = (kept and kept.names) or ()
        score_file(loaded, pairs, output, extended=is_extended, threshold=threshold, kept_names=names, **options)


@contextlib.contextmanager
def _columns_explained(*, keep_columns: bool) -> Iterator[None]:
    """Name the option that accepts further columns in the error about them."""
    try:
        yield
    except RowsError as error:
        if keep_columns or error.is_json or not error.has_further_columns:
            raise
        raise ClientError(f"{error}\nWith --keep-columns further columns are accepted and copied.") from None


@click.command(cls=CommandWithExamples)
@MODEL_DIR
@click.option("--entities", type=FILE, help="A text file with an entity on each line.")
@click.option("--ips", type=FILE, help="A text file with an address on each line.")
@click.option("-o", "--output", type=OUTPUT_FILE, required=True, help="Ends in .csv, .npz or .parquet.")
def embeddings(model_dir: Path, entities: Path | None, ips: Path | None, output: Path) -> None:
    """Write the embeddings of entities or addresses.

    A score is the dot product of one embedding of each.
    """
    from ipinsights.data.channels import check_outputs
    from ipinsights.inference.export_embeddings import export_embeddings
    from ipinsights.inference.predictor import Predictor

    source = entities or ips
    if source is None or (entities and ips):
        raise click.UsageError("Give --entities or --ips.")
    check_outputs([output], [source])
    export_embeddings(Predictor.load(model_dir), source, output, ips=ips is not None)


COMMANDS = (score, embeddings)
