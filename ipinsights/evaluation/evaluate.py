"""Evaluation from files: read, evaluate, print, and write the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.data.both_families import read_families
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluate_rows import Scorers, evaluate_family
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.html_report import prepare_pages, write_pages
from ipinsights.evaluation.labelled_events import join_blocks, read_labelled_blocks
from ipinsights.evaluation.results import HISTORY, MODEL
from ipinsights.evaluation.suspicious_events import suspicious_events
from ipinsights.inference.scorers import DOT_PRODUCT
from ipinsights.model import artifact
from ipinsights.runs.reader import read_run
from ipinsights.synthetic.ip_ranges import load_ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipinsights.evaluation.results import TestSet
    from ipinsights.evaluation.suspicious_events import SuspiciousEvent
    from ipinsights.inference.history_scorer import HistoryScorer
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
) -> Artifact:
    """Evaluate a model, print the results, and return the model.

    The report is written if a folder is given.
    """
    if report_dir is not None:
        prepare_pages(report_dir)  # before the work is done
    model, training = artifact.load(model_dir), None if log is None else read_run(log)
    scorers = Scorers.of(model, HISTORY if scorer == HISTORY else MODEL)
    ipv6 = scorers.accept_ipv6
    rows = read_families(train, ipv6=ipv6)
    events, suspicious = _read_test(test, scorers.history, ipv6=ipv6, is_explained=report_dir is not None)
    before = None if calibration is None else read_families(calibration, ipv6=ipv6)
    ranges = None if asn_table is None else load_ranges(asn_table)
    evaluations = [
        evaluate_family(family, scorers, rows, events, calibration=before, ranges=ranges, seed=seed)
        for family, given, ordinary in zip(("IPv4", "IPv6"), rows, (events.ordinary, events.ipv6), strict=True)
        if given and ordinary
    ]
    if not evaluations:
        raise ClientError(
            f"{train} and {test} have no address family in common. Give training rows of the family of the test."
        )
    if len(evaluations) == 1:
        evaluations[0].facts.update(_of_the_other_family(evaluations[0].family, events))
    for evaluation in evaluations:
        echo(report(evaluation).text(width))
    if report_dir is not None:
        write_pages(report_dir, evaluations, model=model, train=rows[0], training=training, suspicious=suspicious)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")
    return model


def _read_test(
    test: Path, history: HistoryScorer | None, *, ipv6: bool, is_explained: bool
) -> tuple[TestSet, list[SuspiciousEvent]]:
    """Return the events of a test, and those that are explained by a history, if any."""
    parts = list(read_labelled_blocks(test, ipv6=ipv6))
    events = join_blocks(parts, test)
    return events, suspicious_events(history, parts) if history is not None and is_explained else []


def _of_the_other_family(evaluated: str, events: TestSet) -> dict[str, int]:
    """Return the numbers of test rows of the family that is not evaluated, if any."""
    ordinary, attacks = (events.ipv6, events.attacks_ipv6) if evaluated == "IPv4" else (events.ordinary, events.attacks)
    numbers = {
        "test_rows_of_the_other_family": len(ordinary),
        "labelled_attacks_of_the_other_family": len(attacks),
    }
    return numbers if any(numbers.values()) else {}
