"""A candidate run is judged by a baseline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.reporting.report import json_text
from ipinsights.runs.criteria import Tolerance, parse_tolerances
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, Note
from ipinsights.runs.run_comparison import Judgement, Verdict, compare

from .training_logs import with_metric

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog
    from ipinsights.runs.run_comparison import RunComparison


def judged(comparison: RunComparison, name: str) -> Judgement:
    """Return the judgement of this name."""
    return next(judgement for judgement in comparison.judgements if judgement.name == name)


class TestCompare:
    """A candidate is judged by a baseline."""

    def test_a_run_is_not_worse_than_itself(self, baseline: RunLog) -> None:
        """A run compared with itself has no difference and no regression."""
        comparison = compare(baseline, baseline)
        assert comparison.regressions == ()
        assert comparison.configuration().empty
        assert (comparison.epochs()["difference"] == 0).all()

    @pytest.mark.parametrize(
        ("key", "name", "value", "verdict"),
        [
            (ACCURACY, "accuracy", 0.90525, Verdict.SAME),  # 0.001 worse, as much as is allowed
            (ACCURACY, "accuracy", 0.90524, Verdict.WORSE),
            (ACCURACY, "accuracy", 0.99, Verdict.BETTER),
            (CROSS_ENTROPY, "cross_entropy", 0.28425, Verdict.SAME),
            (CROSS_ENTROPY, "cross_entropy", 0.28426, Verdict.WORSE),
            (CROSS_ENTROPY, "cross_entropy", 0.1, Verdict.BETTER),
            (AUC, "auc", 0.951125, Verdict.SAME),
            (AUC, "auc", 0.9511, Verdict.WORSE),
            (AUC, "auc", None, Verdict.MISSING),
        ],
    )
    def test_each_metric_has_its_direction_and_tolerance(
        self, baseline: RunLog, key: str, name: str, value: float | None, verdict: Verdict
    ) -> None:
        """Just as much worse as is allowed is not worse; better never is."""
        comparison = compare(baseline, with_metric(baseline, key, value))
        assert judged(comparison, name).verdict is verdict
        expected = [name] if verdict.is_regression else []
        assert [judgement.name for judgement in comparison.regressions] == expected

    def test_tolerances_can_be_given(self, baseline: RunLog) -> None:
        """A tolerance is an amount, or a share of the baseline's value."""
        worse = with_metric(baseline, AUC, 0.9)
        for tolerance, verdict in ((Tolerance(0.06), Verdict.SAME), (Tolerance(0.05), Verdict.WORSE),
                                   (Tolerance(0.06, is_share=True), Verdict.SAME)):  # fmt: skip
            assert judged(compare(baseline, worse, tolerances={"auc": tolerance}), "auc").verdict is verdict

    def test_what_is_ignored_is_shown_and_not_judged(self, baseline: RunLog) -> None:
        """An ignored metric is not judged, even if the candidate does not have it."""
        comparison = compare(baseline, with_metric(baseline, AUC, None), ignored=["auc"])
        assert judged(comparison, "auc") == Judgement("auc", 0.953125, None, None, Verdict.NOT_JUDGED)

    def test_throughput_is_judged_on_request_only(self, baseline: RunLog) -> None:
        """Throughput is not judged without a tolerance of its own."""
        slow = with_metric(baseline, "train:throughput", 1000.0)
        assert judged(compare(baseline, slow), "throughput").verdict is Verdict.NOT_JUDGED
        tolerances = parse_tolerances(["throughput=20%"])
        assert judged(compare(baseline, slow, tolerances=tolerances), "throughput").verdict is Verdict.WORSE

    def test_a_metric_the_baseline_lacks_is_not_judged(self, baseline: RunLog) -> None:
        """A metric that the baseline lacks is not judged."""
        found = judged(compare(with_metric(baseline, AUC, None), baseline), "auc")
        assert (found.verdict, found.reason) == (Verdict.NOT_JUDGED, "the baseline does not have it")

    def test_other_negatives_make_training_metrics_incomparable(self, baseline: RunLog) -> None:
        """Accuracy is not judged if the shares of negatives differ, but the validation AUC is.

        Validation always has the same share of negatives.
        """
        other = {**baseline.configuration, "random_negative_sampling_rate": "5"}
        comparison = compare(baseline, replace(with_metric(baseline, ACCURACY, 0.5), configuration=other))
        assert judged(comparison, "accuracy").reason == "the runs had different shares of negatives"
        assert judged(comparison, "auc").verdict is Verdict.SAME
        assert comparison.regressions == ()

    def test_a_run_that_failed_is_worse(self, baseline: RunLog) -> None:
        """A run with an error is worse, whatever its metrics."""
        found = judged(compare(baseline, replace(baseline, errors=(Note(7, "ClientError: x"),))), "epochs")
        assert (found.verdict, found.reason) == (Verdict.WORSE, "line 7: ClientError: x")

    def test_a_run_that_stopped_early_is_worse(self, baseline: RunLog) -> None:
        """A run that ended after one of two epochs is worse."""
        found = judged(compare(baseline, replace(baseline, epochs=baseline.epochs.iloc[:1])), "epochs")
        assert (found.verdict, found.reason) == (Verdict.WORSE, "2 epochs were to be trained")

    def test_a_baseline_without_a_finished_epoch_is_refused(self, baseline: RunLog) -> None:
        """A gate must not open because there is nothing to judge by."""
        with pytest.raises(ClientError) as caught:
            compare(replace(baseline, name="cut.log", epochs=baseline.epochs.iloc[:0]), baseline)
        assert str(caught.value) == (
            "cut.log tells of no finished epoch, so nothing can be judged by it: take the log of a whole run."
        )

    def test_a_candidate_without_a_finished_epoch_is_worse(self, baseline: RunLog) -> None:
        """The number of epochs and all metrics of the baseline are regressions."""
        comparison = compare(baseline, replace(baseline, epochs=baseline.epochs.iloc[:0]))
        assert [judgement.name for judgement in comparison.regressions] == [
            "epochs",
            "accuracy",
            "cross_entropy",
            "auc",
        ]

    def test_configurations_differ_by_value_not_by_spelling(self, baseline: RunLog) -> None:
        """1e-05 is 0.00001; what one does not have differs."""
        other = {**baseline.configuration, "weight_decay": "1e-05", "vector_dim": "16"}
        del other["epochs"]
        table = compare(baseline, replace(baseline, configuration=other)).configuration()
        assert table.to_dict("index") == {
            "epochs": {"baseline": "2", "candidate": None}, "vector_dim": {"baseline": "8", "candidate": "16"},
        }  # fmt: skip

    def test_batches_of_other_sizes_are_not_lined_up(self, baseline: RunLog) -> None:
        """The thousandth batch of 100 and of 200 are not the same place."""
        other = replace(baseline, configuration={**baseline.configuration, "mini_batch_size": "200"})
        assert len(compare(baseline, baseline).within_epochs()) == 6 + 6 + 4
        assert compare(baseline, other).within_epochs().empty

    def test_everything_fits_in_json(self, baseline: RunLog) -> None:
        """NaN is null, and numbers are numbers."""
        comparison = compare(baseline, with_metric(baseline, AUC, None))
        content = json.loads(json_text(comparison.to_json()))
        assert content["is_regression"] is True
        assert content["judgements"][3] == {
            "metric": "auc", "baseline": 0.953125, "candidate": None, "difference": None, "allowed": None,
            "verdict": "missing", "reason": "the baseline has it",
        }  # fmt: skip
        assert content["epochs"][0] == {
            "metric": "accuracy", "epoch": 0, "baseline": 0.84375, "candidate": 0.84375, "difference": 0.0,
        }  # fmt: skip
        assert content["counters"]["Total Records Seen"] == {"baseline": 6000.0, "candidate": 6000.0}
