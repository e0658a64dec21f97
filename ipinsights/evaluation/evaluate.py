"""What ``ipinsights evaluate`` does: reads, judges, shows, and writes the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.data.both_families import read_families
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.html_report import make_folder, write_pages
from ipinsights.evaluation.ipv6_protocol import evaluate_ipv6
from ipinsights.evaluation.labelled_events import read_test
from ipinsights.evaluation.protocol import evaluate
from ipinsights.evaluation.results import HISTORY, MODEL
from ipinsights.evaluation.suspicious_events import suspicious_events
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
    from ipinsights.synthetic.ip_ranges import Ranges

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
    data = _Data.read(train, test, calibration, ipv6=history is not None and history.accepts_ipv6)
    ranges = None if asn_table is None else load_ranges(asn_table)
    main_scorer = HISTORY if scorer == HISTORY else MODEL
    evaluations = list(_evaluations(model, history, data, ranges=ranges, seed=seed, main_scorer=main_scorer))
    if not evaluations:
        raise ClientError(
            f"{train} and {test} have no address family in common. Give training rows of the family of the test."
        )
    if len(evaluations) == 1:
        evaluations[0].facts.update(_of_the_other_family(evaluations[0].family, data.events))
    for evaluation in evaluations:
        echo(report(evaluation).text(width))
    if report_dir is not None:
        suspicious = [] if history is None else suspicious_events(history, test)
        write_pages(report_dir, evaluations, model=model, train=data.train, training=training, suspicious=suspicious)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")


@dataclass(frozen=True)
class _Data:
    """Rows that an evaluation reads. None if they are not accepted or not given."""

    train: Pairs
    train_ipv6: Ipv6Pairs | None
    events: TestSet
    calibration: Pairs | None
    calibration_ipv6: Ipv6Pairs | None

    @classmethod
    def read(cls, train: Path, test: Path, calibration: Path | None, *, ipv6: bool) -> _Data:
        rows = read_families(train, ipv6=ipv6)
        before = (None, None) if calibration is None else read_families(calibration, ipv6=ipv6)
        return cls(*rows, read_test(test, ipv6=ipv6), *before)


def _evaluations(
    model: Artifact,
    history: HistoryScorer | None,
    data: _Data,
    *,
    ranges: Ranges | None,
    seed: int,
    main_scorer: str,
) -> Iterator[Evaluation]:
    """Yield the evaluation of each family that training and test share, IPv4 first."""
    events = data.events
    if len(data.train) and len(events.ordinary):
        yield evaluate(
            Predictor(model),
            data.train,
            events,
            calibration=data.calibration,
            ranges=ranges,
            seed=seed,
            history=history,
            main_scorer=main_scorer,
        )
    if history is not None and data.train_ipv6 and events.ipv6:
        yield evaluate_ipv6(
            history,
            data.train_ipv6,
            events.ipv6,
            attacks=events.attacks_ipv6,
            ipv4=events.ordinary,
            calibration=data.calibration_ipv6,
            seed=seed,
        )


def _of_the_other_family(evaluated: str, events: TestSet) -> dict[str, int]:
    """Return the numbers of test rows of the family that is not evaluated, if any."""
    ordinary, attacks = (events.ipv6, events.attacks_ipv6) if evaluated == "IPv4" else (events.ordinary, events.attacks)
    numbers = {
        "test_rows_of_the_other_family": 0 if ordinary is None else len(ordinary),
        "labelled_attacks_of_the_other_family": 0 if attacks is None else len(attacks),
    }
    return numbers if any(numbers.values()) else {}
