"""What ``ipinsights evaluate`` does: reads, judges, shows, and writes the report."""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.results import Evaluation, TestSet
    from ipinsights.model.artifact import Artifact

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
    """Judge a model, show how it does, and write the report where one is wanted.

    Raises
    ------
    ClientError
        Something cannot be read or written, or there are too few events.
    """
    if report_dir is not None:
        make_folder(report_dir)  # before the work is done
    model, training = artifact.load(model_dir), None if log is None else read_run(log)
    history = HistoryScorer(model) if model.history is not None or scorer == HISTORY else None
    data = _read(train, test, calibration, ipv6=history is not None and history.accepts_ipv6)
    evaluations = list(_evaluations(model, history, data, asn_table=asn_table, seed=seed, scorer=scorer))
    for evaluation in evaluations:
        echo(report(evaluation).text(width))
    if report_dir is not None:
        write_pages(report_dir, evaluations, model=model, train=data.train, training=training)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")


@dataclass(frozen=True)
class _Data:
    """Rows to evaluate on. Of IPv6 there are None if the model does not accept them."""

    train: Pairs
    train_ipv6: Ipv6Pairs | None
    test: TestSet
    calibration: Pairs | None
    calibration_ipv6: Ipv6Pairs | None


def _read(train: Path, test: Path, calibration: Path | None, *, ipv6: bool) -> _Data:
    pairs, pairs_ipv6 = read_families(train, ipv6=ipv6)
    before, before_ipv6 = (None, None) if calibration is None else read_families(calibration, ipv6=ipv6)
    return _Data(pairs, pairs_ipv6, read_test(test, ipv6=ipv6), before, before_ipv6)


def _evaluations(
    model: Artifact, history: HistoryScorer | None, data: _Data, *, asn_table: Path | None, seed: int, scorer: str
) -> Iterator[Evaluation]:
    """Yield the evaluation of each address family that the data has."""
    test_ipv6 = data.test.ipv6
    has_ipv6 = test_ipv6 is not None and len(test_ipv6) > 0 and bool(data.train_ipv6)
    if len(data.train) and (len(data.test.ordinary) or not has_ipv6):
        yield evaluate(
            Predictor(model),
            data.train,
            data.test,
            calibration=data.calibration,
            ranges=None if asn_table is None else load_ranges(asn_table),
            seed=seed,
            history=history,
            main_scorer=HISTORY if scorer == HISTORY else MODEL,
        )
    if has_ipv6 and history is not None and data.train_ipv6 is not None and test_ipv6 is not None:
        yield evaluate_ipv6(
            history,
            data.train_ipv6,
            test_ipv6,
            ipv4=data.test.ordinary,
            calibration=data.calibration_ipv6,
            seed=seed,
        )
