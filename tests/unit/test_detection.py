"""Metrics agree with scikit-learn, with cases by hand, and with formulas of their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from ipinsights.evaluation.detection import AUC, METRICS, EntityBootstrap, RocCurve, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Few values, so that ties are the rule.
scores = hnp.arrays(np.float32, st.integers(1, 50), elements=st.integers(-5, 5).map(np.float32))


def curve_of(ordinary: list[float] | NDArray[np.float32], attacks: list[float] | NDArray[np.float32]) -> RocCurve:
    """Return the exact curve."""
    return RocCurve.of(np.sort(np.array(ordinary, dtype=np.float32)), np.array(attacks, dtype=np.float32))


class TestAgainstScikitLearn:
    """Areas, ties and all."""

    @given(scores, scores, st.sampled_from([0.01, 0.05, 0.3, 0.999]))
    def test_areas(self, ordinary: NDArray[np.float32], attacks: NDArray[np.float32], max_fpr: float) -> None:
        """Attacks are the positives, and odd ones score low."""
        labels = np.repeat([0, 1], [len(ordinary), len(attacks)])
        oddness = -np.concatenate([ordinary, attacks])
        curve = curve_of(ordinary, attacks)
        assert curve.auc() == pytest.approx(roc_auc_score(labels, oddness))
        assert curve.partial_auc(max_fpr) == pytest.approx(roc_auc_score(labels, oddness, max_fpr=max_fpr))


class TestByHand:
    """TPR at an FPR, on cases small enough to see."""

    @pytest.mark.parametrize(
        ("ordinary", "attacks", "fpr", "tpr"),
        [
            # Ten ordinary events, 0 to 9. Up to the lowest may be flagged at 10 %: all below 1.
            (list(range(10)), [-1.0, 0.5, 0.5, 3.5], 0.1, 0.75),
            # At less than one ordinary event: what is below all of them, and nothing of what ties.
            (list(range(10)), [-1.0, 0.5, 0.5, 3.5], 0.0, 0.25),
            # Half way through the lowest, which no attack ties with.
            (list(range(10)), [-1.0, 0.5, 0.5, 3.5], 0.05, 0.25),
            # All tie: flagged at random, so as many attacks as ordinary events.
            ([1, 1, 1, 1], [1, 1], 0.01, 0.01),
            # A binary score: 20 % of ordinary events have 0, and 80 % of attacks; half of them at half the rate.
            ([0, 1, 1, 1, 1], [0, 0, 0, 0, 1], 0.1, 0.4),
            ([0, 1, 1, 1, 1], [0, 0, 0, 0, 1], 0.2, 0.8),
            # Beyond it the ones are flagged at random: 0.8 + 0.2 * (0.6 - 0.2) / 0.8.
            ([0, 1, 1, 1, 1], [0, 0, 0, 0, 1], 0.6, 0.9),
        ],
    )
    def test_tpr(self, ordinary: list[float], attacks: list[float], fpr: float, tpr: float) -> None:
        """Ties are broken at random, so that any FPR can be had."""
        assert curve_of(ordinary, attacks).tpr_at(fpr) == pytest.approx(tpr)

    def test_extremes(self) -> None:
        """A perfect score, the worst one, and one that says nothing."""
        assert [float(value) for value in curve_of([1, 2], [-1, 0]).metrics().values()] == [1, 1, 1, 1, 1]
        worst = curve_of([-1, 0], [1, 2]).metrics()
        assert [float(worst[name]) for name in METRICS] == pytest.approx([0, 0, 0, 0.5 * (1 - 0.005 / 0.995), 0])
        nothing = curve_of([3, 3], [3]).metrics()
        assert [float(nothing[name]) for name in METRICS] == pytest.approx([0.001, 0.01, 0.05, 0.5, 0.5])


class TestEntityBootstrap:
    """Intervals as wide as they must be."""

    def test_as_wide_as_the_formula(self, rng: np.random.Generator) -> None:
        """With one event and one attack per entity, the spread of the AUC is Hanley and McNeil's."""
        size = 2000
        ordinary = np.sort(rng.normal(1, 1, size).astype(np.float32))
        attacks = rng.normal(0, 1, size).astype(np.float32)
        area = float(curve_of(ordinary, attacks).auc())
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        expected = np.sqrt((area * (1 - area) + (size - 1) * (q1 + q2 - 2 * area**2)) / size**2)
        assert self.deviations(ordinary, attacks, np.arange(size), rng)[AUC].std() == pytest.approx(expected, rel=0.15)

    def test_wider_if_the_rows_of_an_entity_are_alike(self, rng: np.random.Generator) -> None:
        """Twenty copies of each row, all of one entity, say no more than one."""
        ordinary = rng.normal(1, 1, 300).astype(np.float32)
        attacks = rng.normal(0, 1, 300).astype(np.float32)
        numbers = np.arange(300)
        once = self.deviations(np.sort(ordinary), attacks[np.argsort(ordinary)], numbers, rng)[AUC].std()
        order = np.argsort(np.repeat(ordinary, 20), kind="stable")
        copies = self.deviations(
            np.repeat(ordinary, 20)[order],
            np.repeat(attacks, 20)[order],
            np.repeat(numbers, 20)[order],
            rng,
            num_entities=300,
        )
        assert copies[AUC].std() == pytest.approx(once, rel=0.15)

    def test_without_resampling_nearly_exact(self, rng: np.random.Generator) -> None:
        """The bins are fine enough: what they give of all rows is what the exact curve gives."""
        ordinary = np.sort(rng.normal(2, 1, 20_000).astype(np.float32))
        attacks = rng.normal(0, 1.5, 20_000).astype(np.float32)
        bootstrap = EntityBootstrap(500, rng=rng)
        numbers = rng.integers(500, size=20_000)
        edges = bootstrap.edges(ordinary)
        binned = RocCurve(*(bootstrap.histograms(numbers, values, edges)[0] for values in (ordinary, attacks)))
        exact = curve_of(ordinary, attacks).metrics()
        for name, value in binned.metrics().items():
            assert value == pytest.approx(exact[name], abs=0.01), name

    def test_an_interval_is_where_the_middle_95_percent_are(self) -> None:
        """Deviations are added to the value; without any there is no interval."""
        assert interval(0.5, np.linspace(-0.1, 0.1, 101)) == pytest.approx((0.405, 0.595))
        assert np.isnan(interval(0.5, np.full(3, np.nan))).all()

    @staticmethod
    def deviations(
        ordinary: NDArray[np.float32],
        attacks: NDArray[np.float32],
        numbers: NDArray[np.int64],
        rng: np.random.Generator,
        num_entities: int | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Return the deviations of metrics if each event and its attack are of the same entity."""
        bootstrap = EntityBootstrap(num_entities or len(numbers), rng=rng)
        edges = bootstrap.edges(ordinary)
        return dict(
            bootstrap.metrics(
                bootstrap.histograms(numbers, ordinary, edges), bootstrap.histograms(numbers, attacks, edges)
            )
        )
