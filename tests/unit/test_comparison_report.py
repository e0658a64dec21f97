"""Comparisons of runs as people read them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from ipinsights.reporting.report import Section
from ipinsights.runs.comparison_report import comparison_report
from ipinsights.runs.run import ACCURACY, AUC, Note
from ipinsights.runs.run_comparison import compare

from .training_logs import with_metric

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog


class TestReports:
    """What people read."""

    def test_a_regression_is_said_in_the_headline(self, baseline: RunLog) -> None:
        """The headline names the metric, and the table the reason."""
        report = comparison_report(compare(baseline, with_metric(baseline, AUC, 0.5)))
        assert report.headline == f"REGRESSION: candidate.log is worse than {baseline.name} in auc."
        assert report.text().endswith(report.headline)
        assert report.markdown().startswith(f"# {report.headline}\n")
        assert "| auc | 0.953125 | 0.500000 | -0.453125 | 0.002000 | WORSE |" in report.markdown()

    def test_runs_without_a_comparable_metric_are_not_ok(self, baseline: RunLog) -> None:
        """Runs with other sampling rates and no validation have nothing to judge."""
        epochs = baseline.epochs.drop(columns=[AUC])
        rates = {**baseline.configuration, "random_negative_sampling_rate": "7"}
        other = replace(baseline, name="b.log", configuration=rates)
        comparison = compare(replace(baseline, epochs=epochs), other)
        assert not comparison.is_judged
        assert comparison_report(comparison).headline == (
            f"NOT JUDGED: b.log and {baseline.name} have no comparable metric."
        )
        assert compare(baseline, baseline, ignored=("accuracy", "cross_entropy", "auc")).is_judged

    def test_notes_tell_what_a_number_does_not(self, baseline: RunLog) -> None:
        """Other data, several starts and hosts, errors, lines not understood."""
        other = replace(
            baseline, name="b.log", num_starts=2, configuration={}, unknown=tuple(Note(n, "what?") for n in range(5)),
            errors=(Note(3, "oh"),),
            epochs=pd.concat([baseline.epochs, baseline.epochs.rename(index={"algo-1": "algo-2"})]),
        )  # fmt: skip
        notes = comparison_report(compare(baseline, other)).sections[-1].remarks
        assert notes == (
            "The runs did not train on the same data: 3,000 and 6,000 records an epoch.",
            "b.log does not tell its configuration.",
            "b.log tells of 2 starts; the last one is shown.",
            "b.log is of 2 hosts: metrics are averaged, records and speeds added.",
            "b.log, line 3, an error: oh",
            "b.log, line 0, not understood: what?",
            "b.log, line 1, not understood: what?",
            "b.log, line 2, not understood: what?",
            "b.log: 5 lines are not understood in all.",
        )

    def test_inside_epochs_the_largest_difference_is_told(self, baseline: RunLog) -> None:
        """Batch 0 is noise: 0.4 there is less interesting than 0.0625 later."""
        batches = baseline.batches.copy()
        batches.loc[("algo-1", 0, 0), ACCURACY] = 0.1
        batches.loc[("algo-1", 1, 10), ACCURACY] = batches[ACCURACY]["algo-1", 1, 10] + 0.0625
        sections = comparison_report(compare(baseline, replace(baseline, batches=batches))).sections
        inside = next(section for section in sections if section.title == "Inside epochs")
        assert inside.remarks[0] == ("accuracy: 6 points in common, largest difference +0.062500 at epoch 1, batch 10.")

    def test_without_points_in_common_it_says_so(self, baseline: RunLog) -> None:
        """Other intervals, or other sizes of batches."""
        empty = replace(baseline, batches=baseline.batches.iloc[:0])
        sections = comparison_report(compare(baseline, empty)).sections
        assert Section("Inside epochs", remarks=("The logs tell of no batch in common.",)) in sections
        other = replace(baseline, configuration={"mini_batch_size": "7"})
        remark = "Not lined up: mini_batch_size differs, so batches are not the same records."
        assert Section("Inside epochs", remarks=(remark,)) in comparison_report(compare(baseline, other)).sections
