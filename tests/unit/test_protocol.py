"""The protocol: numbers of an evaluation against the same numbers worked out in another way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.baselines import BASELINES, CONTROL
from ipinsights.evaluation.detection import AUC, METRICS
from ipinsights.evaluation.protocol import evaluate_ipv4
from ipinsights.evaluation.results import AWS_RECIPE, GIVEN_ATTACKS, HEADLINE_METRIC, MODEL, Evaluation, TestSet
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import save_random_model, single_address_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_ENTITIES = 60
MATCHED = ["random addresses", "other entities' addresses", "other entities' networks", "the victim's own /16"]


def draw(size: int, rng: np.random.Generator, num_entities: int = NUM_ENTITIES) -> Pairs:
    """Draw events in one of 5 /24 networks of the entity's own /16, low numbers more often."""
    entities = np.minimum(rng.geometric(0.08, size=size), num_entities) - 1
    hosts = rng.integers(5, size=size) * 256 + rng.integers(256, size=size)
    return Pairs(entities.astype(np.uint64), (((0x0B00 + entities) << 16) + hosts).astype(np.uint32))


def join(first: Pairs, second: Pairs) -> Pairs:
    """Return the events of both."""
    return Pairs(np.concatenate([first.entities, second.entities]), np.concatenate([first.ips, second.ips]))


@dataclass(frozen=True)
class Case:
    """A random model, its data, and its evaluation."""

    predictor: Predictor
    train: Pairs
    test: Pairs
    attacks: Pairs
    calibration: Pairs
    evaluation: Evaluation

    def scores(self, pairs: Pairs) -> NDArray[np.float32]:
        """Return the model's scores of the pairs of entities that training saw."""
        return self.predictor.score(*self.known(pairs))

    def known(self, pairs: Pairs) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Return the pairs of entities that training saw."""
        at = np.isin(pairs.entities, self.train.entities)
        return pairs.entities[at], pairs.ips[at]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Case:
    """Return the evaluation of a random model on 700 events, some of unknown entities."""
    rng = np.random.default_rng(seed)
    folder = save_random_model(tmp_path_factory.mktemp("model"), num_entities=NUM_ENTITIES, vector_dim=4, rng=rng)
    predictor, train, calibration = Predictor.load(folder), draw(1500, rng), draw(2500, rng)
    strangers = Pairs(np.full(30, 10**6, dtype=np.uint64), np.arange(30, dtype=np.uint32))
    test, attacks = join(draw(700, rng), strangers), draw(80, rng)
    attacks = Pairs(attacks.entities, attacks.ips ^ np.uint32(2**31))
    evaluation = evaluate_ipv4(predictor, train, TestSet(test, attacks=attacks), calibration=calibration)
    return Case(predictor, train, test, attacks, calibration, evaluation)


class TestFacts:
    """What was evaluated on."""

    def test_numbers(self, case: Case) -> None:
        """Rows and entities are counted, and events of unknown entities are set aside."""
        facts, num_known = case.evaluation.facts, len(case.known(case.test)[0])
        entities = np.unique(case.train.entities)
        assert (facts["train_rows"], facts["train_entities"]) == (1500, len(entities))
        assert (facts["test_rows"], facts["test_rows_of_unknown_entities"]) == (730, 730 - num_known)
        assert facts["train_entities_unknown_to_model"] == int((~case.predictor.entity_known(entities)).sum())
        assert list(facts["attacks_removed"]) == MATCHED

    def test_slices(self, case: Case) -> None:
        """Slices count events by the entity's training rows, and slices below 100 are left out."""
        rows = Counter(case.train.entities.tolist())
        pairs = set(zip(case.train.entities.tolist(), case.train.ips.tolist(), strict=True))
        networks = {(entity, ip >> 8) for entity, ip in pairs}
        expected: Counter[str] = Counter()
        for entity, ip in zip(*(values.tolist() for values in case.known(case.test)), strict=True):
            expected["all"] += 1
            expected["new address"] += (entity, ip) not in pairs
            expected["new /24"] += (entity, ip >> 8) not in networks
            for name, low, high in (("once", 1, 1), ("2 to 5 times", 2, 5), ("6 to 20 times", 6, 20),
                                    ("over 20 times", 21, 10**9)):  # fmt: skip
                expected[f"entity seen {name}"] += low <= rows[entity] <= high
        assert case.evaluation.slices == {name: number for name, number in expected.items() if number >= 100}
        assert {"all", "new address"} <= case.evaluation.slices.keys()


class TestDetection:
    """Metrics by attacker, slice and scorer."""

    def test_every_metric_of_every_scorer(self, case: Case) -> None:
        """Each attacker has them on all events, inside of an interval between 0 and 1."""
        table = case.evaluation.detection
        everything = table[table.slice == "all"]
        assert len(everything) == (len(MATCHED) + 2) * (1 + len(BASELINES)) * len(METRICS)
        assert list(everything.attacker.unique()) == [*MATCHED, GIVEN_ATTACKS, AWS_RECIPE]
        assert ((everything.low >= 0) & (everything.high <= 1)).all()
        assert (everything.low <= everything.high).all()

    def test_areas_of_attacks_that_are_given(self, case: Case) -> None:
        """For the model, and for a baseline that a set can tell, they are those of scikit-learn."""
        ordinary, attacks = case.known(case.test), case.known(case.attacks)
        labels = np.repeat([0, 1], [len(ordinary[0]), len(attacks[0])])
        seen = set(zip(case.train.entities.tolist(), (case.train.ips >> 8).tolist(), strict=True))
        of_model = np.concatenate([case.predictor.score(*ordinary), case.predictor.score(*attacks)])
        of_network = [
            (entity, ip >> 8) in seen
            for pairs in (ordinary, attacks)
            for entity, ip in zip(*(values.tolist() for values in pairs), strict=True)
        ]
        for scorer, scores in ((MODEL, of_model), ("/24 seen", np.array(of_network, dtype=float))):
            area = case.evaluation.value(AUC, attacker=GIVEN_ATTACKS, scorer=scorer)
            assert area == pytest.approx(roc_auc_score(labels, -scores))

    def test_the_control_knows_nothing_of_matched_attacks(self, case: Case) -> None:
        """Victims are as active as ordinary entities, but for those that found no address."""
        for attacker in MATCHED[:3]:
            area = case.evaluation.value(AUC, attacker=attacker, scorer=CONTROL)
            assert area == pytest.approx(0.5, abs=0.001), attacker

    def test_differences(self, case: Case) -> None:
        """The best baseline has the highest headline metric, and the control is no baseline."""
        for line in case.evaluation.differences.itertuples():
            names = {"attacker": str(line.attacker), "slice_name": str(line.slice)}
            values = {
                name: case.evaluation.value(HEADLINE_METRIC, **names, scorer=name) for name in (MODEL, *BASELINES)
            }
            best = max(value for name, value in values.items() if name not in {MODEL, CONTROL})
            assert values[str(line.best_baseline)] == best
            assert line.difference == pytest.approx(values[MODEL] - best)


class TestAlerts:
    """Alerts at the thresholds that calibration gave."""

    @pytest.mark.parametrize("fpr", [0.001, 0.01, 0.05])
    def test_by_hand(self, case: Case, fpr: float) -> None:
        """Alerts are the test events below the threshold, as computed by hand.

        Less than the nominal share of the calibration scores is below the threshold.
        """
        scores = case.scores(case.calibration)
        threshold = max(score for score in scores if (scores < score).sum() < np.floor(fpr * (len(scores) + 1)))
        expected = 1000 * (case.scores(case.test) < threshold).mean()
        table = case.evaluation.alerts
        (found,) = table[(table.scorer == MODEL) & (table.slice == "all") & (table.fpr == fpr)].alerts_per_1000
        assert found == pytest.approx(expected)

    def test_without_calibration(self, case: Case) -> None:
        """Without calibration rows there are no alerts, and without labels no attacks of the test."""
        found = evaluate_ipv4(case.predictor, case.train, TestSet(case.test))
        assert found.alerts.empty
        assert list(found.detection.attacker.unique()) == [*MATCHED, AWS_RECIPE]


class TestPlots:
    """What the plots are drawn from."""

    def test_curves(self, case: Case) -> None:
        """Curves rise from the left to (1, 1), for every attacker and scorer."""
        assert list(case.evaluation.curves) == [*MATCHED, GIVEN_ATTACKS, AWS_RECIPE]
        for curves in case.evaluation.curves.values():
            assert list(curves) == [MODEL, *BASELINES]
            for fpr, tpr in curves.values():
                assert (np.diff(fpr) > 0).all()
                assert (np.diff(tpr) >= 0).all()
                assert (fpr[-1], tpr[-1]) == (1, 1)

    def test_densities(self, case: Case) -> None:
        """A thousand quantiles of the model's scores stand for all of them."""
        found, scores = case.evaluation.densities["ordinary"], case.scores(case.test)
        shares = (np.arange(1000) + 0.5) / 1000
        assert found == pytest.approx(np.quantile(scores, shares), abs=1e-6)
        assert list(case.evaluation.densities) == ["ordinary", *MATCHED, GIVEN_ATTACKS, AWS_RECIPE]


def test_a_seed_gives_the_same_evaluation(case: Case) -> None:
    """Another seed draws other attacks, and announced ranges bring an attacker of their own."""
    test = TestSet(Pairs(case.test.entities[:300], case.test.ips[:300]))
    tables = [evaluate_ipv4(case.predictor, case.train, test, seed=seed).detection for seed in (3, 3, 4)]
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])
    with_ranges = evaluate_ipv4(case.predictor, case.train, test, ranges=single_address_ranges(1000))
    assert list(with_ranges.detection.attacker.unique())[1] == "announced ranges"


@pytest.mark.parametrize("num_known", [0, 99])
def test_too_few_events(case: Case, num_known: int) -> None:
    """Events of entities that training never saw do not count."""
    known = Pairs(np.full(num_known, case.train.entities[0]), np.arange(num_known, dtype=np.uint32))
    strangers = Pairs(np.full(500, 10**6, dtype=np.uint64), np.arange(500, dtype=np.uint32))
    with pytest.raises(ClientError) as caught:
        evaluate_ipv4(case.predictor, case.train, TestSet(join(known, strangers)))
    assert str(caught.value) == (
        f"The test has {num_known} events of entities that training saw: at least 100 are needed."
    )
