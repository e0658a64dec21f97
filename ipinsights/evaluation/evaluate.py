"""What ``ipinsights evaluate`` does: reads, judges, shows, and writes the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.data.both_families import read_families
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.html_report import make_folder, write_pages
from ipinsights.evaluation.ipv6_protocol import evaluate_ipv6
from ipinsights.evaluation.labelled_events import read_test
from ipinsights.evaluation.protocol import evaluate
from ipinsights.evaluation.results import HISTORY, MODEL
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.scorers import DOT_PRODUCT
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
    scorer: str = DOT_PRODUCT,
    width: int | None = None,
    echo: Callable[[str], object] = print,
) -> None:
    """Judge a model, show how it does, and write the report where one is wanted."""
    if report_dir is not None:
        make_folder(report_dir)  # before the work is done
    model, training = artifact.load(model_dir), None if log is None else read_run(log)
    history = HistoryScorer(model) if model.history is not None or scorer == HISTORY else None
    ipv6 = history is not None and history.accepts_ipv6
    rows, rows_ipv6 = read_families(train, ipv6=ipv6)
    before, before_ipv6 = (None, None) if calibration is None else read_families(calibration, ipv6=ipv6)
    events = read_test(test, ipv6=ipv6)
    evaluations = []
    has_ipv6 = rows_ipv6 and events.ipv6
    if len(rows) and (len(events.ordinary) or not has_ipv6):
        found = evaluate(
            Predictor(model),
            rows,
            events,
            calibration=before,
            ranges=None if asn_table is None else load_ranges(asn_table),
            seed=seed,
            history=history,
            main_scorer=HISTORY if scorer == HISTORY else MODEL,
        )
        evaluations.append(found)
    if history is not None and rows_ipv6 and events.ipv6:
        later, ipv4 = events.ipv6, events.ordinary
        evaluations.append(evaluate_ipv6(history, rows_ipv6, later, ipv4=ipv4, calibration=before_ipv6, seed=seed))
    for evaluation in evaluations:
        echo(report(evaluation).text(width))
    if report_dir is not None:
        write_pages(report_dir, evaluations, model=model, train=rows, training=training)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")
