"""What ``ipinsights evaluate`` does: reads, judges, shows, and writes the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.data.pairs import read_pairs
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.html_report import make_folder, write_pages
from ipinsights.evaluation.protocol import evaluate
from ipinsights.inference.predictor import Predictor
from ipinsights.model import artifact
from ipinsights.runs.reader import read_run
from ipinsights.synthetic.ip_ranges import load_ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["evaluate_model"]


def evaluate_model(
    *,
    model_dir: Path,
    train: Path,
    test: Path,
    calibration: Path | None = None,
    asn_table: Path | None = None,
    log: Path | None = None,
    report_dir: Path | None = None,
    seed: int = 0,
    echo: Callable[[str], object] = print,
) -> None:
    """Judge a model, show how it does, and write the report where one is wanted.

    Raises
    ------
    ClientError
        Something cannot be read or written, or there are too few events.
    """
    if report_dir is not None:
        make_folder(report_dir)  # before the work is done
    model, training = artifact.load(model_dir), None if log is None else read_run(log)
    predictor = Predictor(model)
    train_pairs = read_pairs(train, progress=True)
    evaluation = evaluate(
        predictor,
        train_pairs,
        test,
        calibration=calibration,
        ranges=None if asn_table is None else load_ranges(asn_table),
        seed=seed,
        progress=True,
    )
    echo(report(evaluation).text())
    if report_dir is not None:
        write_pages(report_dir, evaluation, model=model, predictor=predictor, train=train_pairs, training=training)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")
