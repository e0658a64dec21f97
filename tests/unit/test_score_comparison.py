"""Two models' scores of the same pairs, compared by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from score_comparison import compare_scores
from score_reader import Labels, Scores
from score_report import score_report

from ipinsights.errors import ClientError
from ipinsights.reporting.report import json_text

SCORES = np.array([0.5, -1.25, 3.0])


class TestCompareScores:
    """Two models' opinions of the same pairs."""

    def test_agreement_by_hand(self) -> None:
        """Ranks 1 2 3 4 and 1 3 2 4 have a correlation of 1 - 6 * 2 / (4 * 15) = 0.8.

        The distributions differ by one score of four.
        """
        found = compare_scores(
            Scores("a", np.array([1.0, 2.0, 3.0, 4.0])), Scores("b", np.array([1.0, 3.5, 2.0, 4.0]))
        ).agreement()  # fmt: skip
        assert found["rank correlation (Spearman)"] == pytest.approx(0.8)
        assert found["distance of distributions (KS)"] == pytest.approx(0.25)
        assert found["mean absolute difference"] == pytest.approx((0 + 1.5 + 1 + 0) / 4)
        assert found["largest absolute difference"] == 1.5

    def test_equal_scores_have_no_rank_correlation(self) -> None:
        """Where nothing varies, nothing can vary together."""
        comparison = compare_scores(Scores("a", np.ones(3)), Scores("b", SCORES))
        assert math.isnan(comparison.agreement()["rank correlation (Spearman)"])
        assert score_report(comparison, 5).headline == "3 pairs, rank correlation -: first a, second b."

    def test_flags_by_hand(self) -> None:
        """A pair is flagged when its score is below the threshold, not at it."""
        comparison = compare_scores(
            Scores("a", np.array([-1.0, -1.0, 0.0, 5.0])), Scores("b", np.array([-2.0, 3.0, -4.0, 0.0]))
        )
        assert list(comparison.flags().values()) == [1, 1, 1, 1]
        assert comparison.disagreements(9).to_dict("list") == {
            "row": [2, 3], "first": [-1.0, 0.0], "second": [3.0, -4.0],
        }  # fmt: skip
        assert len(comparison.disagreements(1)) == 1

    def test_a_flag_rate_sets_a_threshold_for_each(self) -> None:
        """Models on other scales are compared by what they flag."""
        values = np.arange(100.0)
        comparison = compare_scores(Scores("a", values), Scores("b", 10 * values), flag_rate=0.1)
        assert comparison.thresholds == pytest.approx((9.9, 99.0))
        assert comparison.flags()["flagged by both"] == 10

    def test_detection_by_hand(self) -> None:
        """Attacks at -3 and 1, normal pairs at -1, 2, 3: five of six pairs are in order."""
        labels = Labels(np.array([True, False, True, False, False]))
        scores = Scores("a", np.array([-3.0, -1.0, 1.0, 2.0, 3.0]))
        detection = compare_scores(scores, scores, labels).detection()
        assert detection is not None
        assert detection[0].to_dict() == {
            "AUC": pytest.approx(5 / 6),
            "recall at 0.1% false positives": 0.5,
            "recall at 1.0% false positives": 0.5,
            "recall at 5.0% false positives": 0.5,
            "recall below the threshold": 0.5,
            "false positive rate below the threshold": pytest.approx(1 / 3),
            "precision below the threshold": 0.5,
        }

    def test_without_labels_there_is_no_detection(self) -> None:
        """Nothing is made up."""
        assert compare_scores(Scores("a", SCORES), Scores("b", SCORES)).detection() is None

    def test_the_quantiles_are_numpy_s(self, rng: np.random.Generator) -> None:
        """Quantiles and means are those of NumPy."""
        values = rng.normal(size=1000)
        table = compare_scores(Scores("a", values), Scores("b", -values)).distribution()
        assert table[0]["quantile 0.01"] == np.quantile(values, 0.01)
        assert table[1]["mean"] == -values.mean()

    def test_everything_fits_in_json(self) -> None:
        """A precision of nothing is null."""
        labels = Labels(np.array([True, False, False]))
        comparison = compare_scores(Scores("a", SCORES), Scores("b", SCORES + 9.0), labels)
        content = json.loads(json_text(comparison.to_json(5)))
        assert content["detection"]["precision below the threshold"] == {"first": 0.0, "second": None}
        assert content["disagreements"] == [{"row": 2, "first": -1.25, "second": 7.75, "is attack": False}]
        assert content["thresholds"] == [0.0, 0.0]

    def test_files_of_other_lengths_are_refused(self) -> None:
        """They cannot be of the same pairs."""
        with pytest.raises(ClientError) as caught:
            compare_scores(Scores("a", SCORES), Scores("b", SCORES[:2]))
        assert str(caught.value) == (
            "a holds 3 scores and b 2 rows: both must be for the same pairs in the same order."
        )

    def test_files_of_other_pairs_are_refused(self) -> None:
        """The first row that differs is named; blanks before an address do not differ."""
        pairs = pd.DataFrame({"entity": ["u", "v"], "ip": ["1.1.1.1", "2.2.2.2"]})
        other = pd.DataFrame({"entity": ["u", "w"], "ip": [" 1.1.1.1", "2.2.2.2"]})
        with pytest.raises(ClientError) as caught:
            compare_scores(Scores("a", SCORES[:2], pairs), Scores("b", SCORES[:2], other))
        assert str(caught.value) == (
            "Row 2 of a is 'v,2.2.2.2' and of b 'w,2.2.2.2': both must be for the same pairs in the same order."
        )

    def test_disagreements_name_the_pair(self) -> None:
        """From whichever file knows it, the file of labels too."""
        pairs = pd.DataFrame({"entity": ["u", "v", "w"], "ip": ["1.1.1.1"] * 3})
        labels = Labels(np.array([True, False, False]), pairs)
        found = compare_scores(Scores("a", SCORES), Scores("b", -SCORES), labels).disagreements(1)
        assert found.to_dict("records") == [
            {"row": 3, "entity": "w", "ip": "1.1.1.1", "first": 3.0, "second": -3.0, "is attack": False}
        ]
