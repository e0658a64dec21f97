"""The public evaluation: estimators and paths, both scorers, both families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from ipinsights import IPInsights, evaluate
from ipinsights.data.both_families import split_families
from ipinsights.data.frames import read_rows
from ipinsights.evaluation.ipv6_protocol import GIVEN_FAMILIES, evaluate_ipv6
from ipinsights.evaluation.results import (
    GIVEN_ATTACKS,
    HEADLINE_METRIC,
    HISTORY,
    HISTORY_ALONE,
    MODEL,
    TestSet,
)
from ipinsights.inference.history_scorer import HistoryScorer

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)


def rows(size: int) -> list[tuple[str, str]]:
    """Return rows of both families, of 20 entities that have networks of their own."""
    entities, hosts = RNG.integers(20, size=size).tolist(), RNG.integers(200, size=size).tolist()
    return [
        (f"user_{entity}", f"2a00:{entity + 16:x}:{host % 3}::{host:x}" if at % 2 else f"11.{entity}.{host % 4}.{host}")
        for at, (entity, host) in enumerate(zip(entities, hosts, strict=True))
    ]


TRAIN, TEST, CALIBRATION = rows(800), rows(600), rows(800)
IPV4 = [row for row in TRAIN if ":" not in row[1]]
SETTINGS: dict[str, Any] = {"vector_dim": 4, "epochs": 1, "progress": False}


@pytest.fixture(scope="module")
def model() -> IPInsights:
    """Return a model of both families that scores by its history."""
    return IPInsights(**SETTINGS, keep_history=True, ipv6=True, scorer="history").fit(TRAIN)


@pytest.fixture(scope="module")
def folder(model: IPInsights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the model."""
    return model.save(tmp_path_factory.mktemp("model")).parent


def test_the_headline_is_about_the_scorer_of_the_model(model: IPInsights, folder: Path) -> None:
    """All scorers are measured, and the numbers do not depend on which is asked about."""
    network = IPInsights.load(folder)
    found = {name: evaluate(given, TRAIN, TEST) for name, given in
             {"history": model, "network": network, "path": folder}.items()}  # fmt: skip
    assert [found[name].main_scorer for name in found] == [HISTORY, MODEL, MODEL]
    for evaluation in found.values():
        assert evaluation.scorers[:3] == (MODEL, HISTORY, HISTORY_ALONE)
        pd.testing.assert_frame_equal(evaluation.detection, found["history"].detection)
        assert evaluation.facts["test_rows"] == sum(":" not in ip for _, ip in TEST)


def test_a_model_without_a_history(tmp_path: Path) -> None:
    """A model without a history is measured by the network alone."""
    plain = IPInsights(**SETTINGS).fit(IPV4)
    plain.save(tmp_path)
    for given in (plain, tmp_path, str(tmp_path)):
        evaluation = evaluate(given, IPV4, IPV4)
        assert (evaluation.main_scorer, evaluation.family) == (MODEL, "IPv4")
        assert HISTORY not in evaluation.scorers


def test_ipv6_is_evaluated_by_its_protocol(model: IPInsights, tmp_path: Path) -> None:
    """IPv6 rows from lists or files are evaluated with IPv6 attackers and thresholds.

    There are attackers that change the family, and the calibration rows make the thresholds.
    """
    assert isinstance(model.scorer_, HistoryScorer)
    (_, train), (ipv4, test), (_, before) = (split_families(read_rows(each, ipv6=True).pairs)
                                             for each in (TRAIN, TEST, CALIBRATION))  # fmt: skip
    expected = evaluate_ipv6(model.scorer_, train, TestSet(ipv4, test), calibration=before, seed=5)
    files: list[Path] = []
    for name, data in (("train", TRAIN), ("test", TEST), ("calibration", CALIBRATION)):
        files.append(tmp_path / f"{name}.csv")
        pd.DataFrame(data).to_csv(files[-1], header=False, index=False)
    for fit, later, calibration in ((TRAIN, TEST, CALIBRATION), files):
        found = evaluate(model, fit, later, calibration=calibration, seed=5, family="IPv6")
        assert (found.family, found.main_scorer) == ("IPv6", HISTORY)
        pd.testing.assert_frame_equal(found.detection, expected.detection)
        pd.testing.assert_frame_equal(found.alerts, expected.alerts)
        assert found.families is not None
        assert expected.families is not None
        pd.testing.assert_frame_equal(found.families, expected.families)


def test_labelled_rows_of_both_families(model: IPInsights) -> None:
    """The attacks of a family are in its table, and no attack is an ordinary event."""
    labelled = [(*row, int(at % 10 < 2)) for at, row in enumerate(TEST)]
    frame = pd.DataFrame(labelled, columns=["entity", "ip", "label"])
    for test in (labelled, frame):
        ipv4, ipv6 = evaluate(model, TRAIN, test), evaluate(model, TRAIN, test, family="IPv6")
        assert ipv4.facts["test_rows"] == sum(":" not in ip and not label for _, ip, label in labelled)
        assert ipv6.facts["test_rows"] == sum(":" in ip and not label for _, ip, label in labelled)
        for found in (ipv4, ipv6):
            assert np.isfinite(found.value(HEADLINE_METRIC, attacker=GIVEN_ATTACKS, scorer=HISTORY))
        assert ipv6.families is not None
        attacks = dict(zip(ipv6.families.attacker, ipv6.families.attacks, strict=True))
        assert attacks[GIVEN_FAMILIES] == sum(":" in ip and bool(label) for _, ip, label in labelled)


def test_events_that_were_read_before(model: IPInsights) -> None:
    """A test set is taken as it is."""
    ipv4, ipv6 = split_families(read_rows(TEST, ipv6=True).pairs)
    found = evaluate(model, TRAIN, TestSet(ipv4, ipv6=ipv6), family="IPv6")
    assert found.facts["test_rows"] == len(ipv6)


def test_families_that_cannot_be_evaluated(model: IPInsights) -> None:
    """A model of IPv4 only, and a name that is not a family."""
    plain = IPInsights(**SETTINGS).fit(IPV4)
    with pytest.raises(ValueError, match="IPv6") as caught:
        evaluate(plain, IPV4, IPV4, family="IPv6")
    assert str(caught.value) == "This model was trained without IPv6. Train it with ipv6 to evaluate IPv6 addresses."
    with pytest.raises(ValueError, match="family") as caught:
        evaluate(model, TRAIN, TEST, family="both")
    assert str(caught.value) == "The family must be 'IPv4' or 'IPv6'. Got 'both'."


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_training_rows_of_the_other_family_alone(model: IPInsights, family: str) -> None:
    """There is nothing to count."""
    others = [row for row in TRAIN if (":" in row[1]) is (family == "IPv4")]
    with pytest.raises(ValueError, match="rows") as caught:
        evaluate(model, others, TEST, family=family)
    assert str(caught.value) == f"train has no {family} rows. Give training rows of the family that is evaluated."


def test_a_model_that_is_not_fitted() -> None:
    """The error is scikit-learn's."""
    with pytest.raises(NotFittedError):
        evaluate(IPInsights(), IPV4, IPV4)
