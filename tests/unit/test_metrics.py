"""Metrics against numbers worked out by hand and independent formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.training.metrics import RunningClassification, cross_entropy, discriminator_auc


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return float32 values."""
    return np.array(values, dtype=np.float32)


class TestCrossEntropy:
    """Binary cross-entropy of log odds."""

    def test_a_score_of_zero_costs_ln_2(self) -> None:
        """No opinion costs one bit, whatever the label."""
        assert cross_entropy(array(0, 0), array(0, 1)).tolist() == pytest.approx([math.log(2)] * 2)

    def test_it_is_minus_the_log_of_the_probability(self) -> None:
        """Score 2 says sigmoid(2) = 0.880797 for a pair that was observed."""
        assert cross_entropy(array(2, 2), array(1, 0)).tolist() == pytest.approx([0.126928, 2.126928], rel=1e-5)

    def test_extremes_neither_overflow_nor_vanish(self) -> None:
        """At +-1e9 a right score costs nothing and a wrong one its own size."""
        assert cross_entropy(array(1e9, -1e9, 1e9, -1e9), array(1, 0, 0, 1)).tolist() == [0, 0, 1e9, 1e9]


class TestDiscriminatorAuc:
    """Area under the ROC curve."""

    def test_ties_count_half(self) -> None:
        """Of the four comparisons 2 > 1, 2 > 0, 1 = 1, 1 > 0 the tie counts half: 3.5 / 4."""
        assert discriminator_auc(array(2, 1), array(1, 0)) == 0.875

    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.lists(st.integers(-3, 3), min_size=1, max_size=12))
    def test_it_is_the_chance_that_a_positive_outscores_a_negative(self, good: list[int], bad: list[int]) -> None:
        """The definition without sorting: the mean over all pairs."""
        wins = [(a > b) + 0.5 * (a == b) for a in good for b in bad]
        assert discriminator_auc(array(*good), array(*bad)) == pytest.approx(sum(wins) / len(wins))


class TestRunningClassification:
    """Accuracy and cross-entropy over batches."""

    def test_it_averages_over_all_batches_since_the_reset(self) -> None:
        """Four of five right; a score of exactly zero calls a pair a negative."""
        metrics = RunningClassification(lag=3)
        metrics.update(array(1, 0), array(2, -2))
        metrics.update(array(0, 1, 1), array(0, 0, 2))
        expected = (3 * 0.126928 + 2 * math.log(2)) / 5
        assert list(metrics.get().values()) == pytest.approx([0.8, expected], rel=1e-5)
        metrics.reset()
        metrics.update(array(1), array(-2))
        assert list(metrics.get().values()) == pytest.approx([0, 2.126928], rel=1e-5)

    def test_scores_may_be_mxnets(self, mx: Any) -> None:
        """Scores of MXNet count as NumPy's do, and are read as they arrive."""
        metrics = RunningClassification(lag=1)
        for _ in range(3):
            metrics.update(array(1, 0), mx.nd.array([2, 2]))
        assert list(metrics.get().values()) == pytest.approx([0.5, 1.126928], rel=1e-5)

    def test_names_are_the_originals(self) -> None:
        """The log prints them as they are."""
        assert list(RunningClassification().get()) == [
            "binary_classification_accuracy",
            "binary_classification_cross_entropy",
        ]

    def test_nothing_seen_is_not_a_number(self) -> None:
        """Metrics are NaN before the first batch."""
        assert all(math.isnan(value) for value in RunningClassification().get().values())

    @pytest.mark.parametrize("lag", [0, 1, 16])
    def test_the_first_bad_batch_is_remembered(self, lag: int) -> None:
        """However late scores are read, the first batch with a loss that is not finite is known."""
        metrics = RunningClassification(lag=lag)
        for scores in ([1.0], [2.0], [float("nan")], [float("inf")], [1.0]):
            metrics.update(array(1), array(*scores))
        metrics.get()
        assert metrics.first_bad_batch == 2
