"""The protocol for IPv6: numbers of an evaluation against independent computations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ipinsights.data.ipv6 import Ipv6Pairs
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.baselines import CONTROL
from ipinsights.evaluation.detection import AUC, TPR_FPRS
from ipinsights.evaluation.evaluation_tables import headline, report
from ipinsights.evaluation.ipv6_protocol import FAMILIES, GIVEN_FAMILIES, ONLY_IPV4, evaluate_ipv6
from ipinsights.evaluation.results import GIVEN_ATTACKS, HEADLINE_METRIC, HISTORY, TestSet
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.evaluation.results import Evaluation

NUM_ENTITIES, NUM_WITH_IPV6 = 40, 30
SITES = "other entities' /48"


def draw_ipv4(size: int, rng: np.random.Generator) -> Pairs:
    """Draw IPv4 rows of all entities, each in a /24 of its own."""
    entities = rng.integers(NUM_ENTITIES, size=size).astype(np.uint64)
    return Pairs(entities, (0x0B000000 + (entities << np.uint64(8)) + rng.integers(9, size=size)).astype(np.uint32))


def draw_ipv6(size: int, rng: np.random.Generator) -> Ipv6Pairs:
    """Draw IPv6 rows of some entities, each in its own /32, sometimes in a new /48."""
    entities = rng.integers(NUM_WITH_IPV6, size=size).astype(np.uint64)
    site = np.where(rng.random(size) < 0.03, rng.integers(2**16, size=size), 0).astype(np.uint64)
    upper = (np.uint64(0x2A000000) + entities) << np.uint64(32) | site << np.uint64(16)
    return Ipv6Pairs(entities, upper, rng.integers(2**63, size=size).astype(np.uint64))


class Case:
    """A random network with a history of both families, its data, and its evaluation."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.ipv4, self.train = draw_ipv4(500, rng), draw_ipv6(600, rng)
        self.test, self.test_ipv4, self.calibration = draw_ipv6(700, rng), draw_ipv4(300, rng), draw_ipv6(900, rng)
        history = PairHistory.from_pairs(self.ipv4.entities, self.ipv4.ips, (self.train.entities, self.train.upper))
        record = HistoryRecord([{"kind": "training", "num_rows": 1100, "num_entities": 40, "fingerprint": "f"}])
        artifact.replace_history(folder, artifact.load(folder), history, record)
        self.scorer = HistoryScorer(artifact.load(folder))
        events = TestSet(self.test_ipv4, self.test)
        self.evaluation = evaluate_ipv6(self.scorer, self.train, events, calibration=self.calibration, seed=seed)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Case:
    """Evaluate once for all tests."""
    folder = tmp_path_factory.mktemp("model")
    return Case(save_random_model(folder, num_entities=50, vector_dim=4, rng=np.random.default_rng(seed)), seed)


def test_what_was_evaluated(case: Case) -> None:
    """Rows and events of IPv6, by the history, next to baselines. The network takes no part."""
    evaluation = case.evaluation
    assert (evaluation.family, evaluation.main_scorer) == ("IPv6", HISTORY)
    assert (evaluation.facts["train_rows"], evaluation.facts["test_rows"]) == (600, 700)
    assert evaluation.slices["all"] == 700 - evaluation.facts["test_rows_of_unknown_entities"]
    assert evaluation.scorers == (
        HISTORY, "/64 seen", "/48 seen", "/32 seen", "longest prefix", "Witten-Bell counts", "popularity of the /48",
        CONTROL,
    )  # fmt: skip


def test_baselines_count(case: Case) -> None:
    """All attackers from elsewhere are told apart by whether the entity's /32 was seen."""
    assert case.evaluation.value(AUC, attacker=SITES, scorer="/32 seen") == pytest.approx(1)
    own = case.evaluation.value(AUC, attacker="the victim's own /32", scorer="/32 seen")
    assert own == pytest.approx(0.5)


def test_the_history_catches_what_comes_from_elsewhere(case: Case) -> None:
    """At 1 false alarm in 100 the history detects distant attackers, and fewer of near ones."""
    evaluation = case.evaluation
    assert evaluation.value(HEADLINE_METRIC, attacker=SITES, scorer=HISTORY) > 0.9
    headline = {name: evaluation.value(HEADLINE_METRIC, attacker=name, scorer=HISTORY)
                for name in ("random addresses", "the victim's own /32")}  # fmt: skip
    assert headline["random addresses"] >= headline["the victim's own /32"]


def test_slices_are_of_new_networks(case: Case) -> None:
    """An event at a /48 that the entity never used is in its slice, if there are enough."""
    found = set(case.evaluation.slices)
    assert "all" in found
    assert found <= {"all", "new /64", "new /48", "new /32", "entity seen once", "entity seen 2 to 5 times",
                     "entity seen 6 to 20 times", "entity seen over 20 times"}  # fmt: skip


def test_alerts_of_the_calibration(case: Case) -> None:
    """About as many as were asked for: 10 of 1,000, within what 900 calibration rows allow."""
    alerts = case.evaluation.alerts
    chosen = alerts[(alerts.scorer == HISTORY) & (alerts.slice == "all") & (alerts.fpr == 0.01)]
    assert 0 <= float(chosen.alerts_per_1000.iloc[0]) < 40


def test_attackers_who_change_the_family(case: Case) -> None:
    """Rates use a threshold on ordinary events of both families.

    Victims without IPv6 have rates of their own.
    """
    families = case.evaluation.families
    assert families is not None
    assert families.attacker.tolist() == [FAMILIES, f"{FAMILIES}{ONLY_IPV4}"]
    both, only = families.attacks.tolist()
    share = np.isin(case.test_ipv4.entities, case.train.entities, invert=True).sum()
    assert 0 < only == share
    assert only < both <= len(case.test_ipv4) + len(case.test)
    for metric in TPR_FPRS:
        assert families[metric].between(0, 1).all()


@pytest.fixture(scope="module")
def attacks() -> Ipv6Pairs:
    """Return attacks from a /32 that nobody used.

    12 are on an entity with IPv6, 5 on one without, and 3 on a stranger.
    """
    victims = np.repeat([3, NUM_WITH_IPV6 + 2, NUM_ENTITIES + 1], [12, 5, 3]).astype(np.uint64)
    upper = np.full(20, 0x2B00000000000000, dtype=np.uint64)
    return Ipv6Pairs(victims, upper, np.arange(20, dtype=np.uint64))


@pytest.fixture(scope="module")
def labelled(case: Case, attacks: Ipv6Pairs, seed: int) -> Evaluation:
    """Return an evaluation with the attacks."""
    return evaluate_ipv6(case.scorer, case.train, TestSet(case.test_ipv4, case.test, attacks_ipv6=attacks), seed=seed)


class TestLabelledAttacks:
    """Attacks from IPv6 that the test has itself."""

    def test_they_lead_the_tables(self, case: Case, labelled: Evaluation) -> None:
        """The headline is about them, and what is simulated is measured as without them."""
        assert labelled.value(AUC, attacker=GIVEN_ATTACKS, scorer="/32 seen") == pytest.approx(1)
        assert " of your labelled attacks; the best baseline, " in headline(labelled)
        simulated = labelled.detection[labelled.detection.attacker != GIVEN_ATTACKS]
        assert simulated.value.tolist() == case.evaluation.detection.value.tolist()

    def test_what_is_set_aside_is_counted(self, labelled: Evaluation) -> None:
        """Attacks on entities without IPv6 events have no baseline, and the table says so."""
        first = report(labelled).sections[0]
        assert (first.title, first.remarks) == (
            "Your labelled attacks",
            (
                "Set aside: 8 attacks on entities whose IPv6 events training never saw.",
                "The table of attackers who change the address family has those of them that are known from IPv4.",
            ),
        )

    def test_of_victims_who_only_used_ipv4(self, case: Case, labelled: Evaluation) -> None:
        """The history catches all attacks on an entity that it knows from IPv4 only."""
        assert labelled.families is not None
        assert case.evaluation.families is not None
        first, second = labelled.families.iloc[0], labelled.families.iloc[1]
        assert (first.attacker, first.attacks) == (GIVEN_FAMILIES, 17)
        assert (second.attacker, second.attacks) == (f"{GIVEN_FAMILIES}{ONLY_IPV4}", 5)
        assert second[HEADLINE_METRIC] == 1
        pd.testing.assert_frame_equal(labelled.families.iloc[2:].reset_index(drop=True), case.evaluation.families)

    def test_all_are_on_strangers(self, case: Case, attacks: Ipv6Pairs) -> None:
        """Attacks on unknown entities are counted, and the headline is about simulated ones."""
        events = TestSet(case.test_ipv4[:0], case.test, attacks_ipv6=attacks[np.arange(20) >= 17])
        found = evaluate_ipv6(case.scorer, case.train, events)
        first = report(found).sections[0]
        assert (first.title, first.table) == ("Your labelled attacks", None)
        assert first.remarks == ("Set aside: 3 attacks on entities whose IPv6 events training never saw.",)
        assert "attacks from other entities' addresses" in headline(found)


def test_other_families_are_left_out(case: Case) -> None:
    """Without IPv4 rows there is nobody who could change the family, and all else is the same."""
    alone = evaluate_ipv6(case.scorer, case.train, TestSet(case.test_ipv4[:0], case.test))
    assert alone.families is None
    assert len(alone.alerts) == 0
    assert alone.scorers == case.evaluation.scorers


def test_the_auc_is_that_of_scikit_learn(case: Case) -> None:
    """The AUC of the popularity of the /48 is that of scikit-learn."""
    evaluation, sites = case.evaluation, case.train.upper >> np.uint64(16)
    assert np.isfinite(evaluation.value(AUC, attacker=SITES, scorer="popularity of the /48"))
    ordinary = np.array([np.count_nonzero(sites == site) for site in case.test.upper >> np.uint64(16)])
    # No attack at random comes from a network of training, so that its popularity is 0.
    expected = roc_auc_score(np.repeat([1, 0], [len(ordinary), 700]), np.concatenate([ordinary, np.zeros(700)]))
    found = evaluation.value(AUC, attacker="random addresses", scorer="popularity of the /48")
    assert found == pytest.approx(expected, abs=1e-3)


def test_too_few_events(case: Case) -> None:
    """The message has their number."""
    with pytest.raises(ClientError) as caught:
        evaluate_ipv6(case.scorer, case.train, TestSet(case.test_ipv4, case.test[:50]))
    assert str(caught.value).startswith("The test has ")
    assert str(caught.value).endswith(" events of entities that training saw: at least 100 are needed.")
