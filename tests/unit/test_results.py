"""Tables of an evaluation, and values looked up in them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.detection import AUC
from ipinsights.evaluation.results import AWS_RECIPE, HEADLINE_METRIC, TestSet

from .evaluations import NETWORKS, made_up


def test_a_value_and_its_interval() -> None:
    """The numbers are those of the line with all four names."""
    evaluation = made_up()
    table = evaluation.detection
    at = (table.attacker == NETWORKS) & (table.slice == "new /24") & (table.scorer == "/16 seen")
    table.loc[at & (table.metric == AUC), ["value", "low", "high"]] = [0.5, 0.25, 0.625]
    assert evaluation.find(AUC, attacker=NETWORKS, slice_name="new /24", scorer="/16 seen") == (0.5, 0.25, 0.625)
    assert evaluation.value(AUC, attacker=NETWORKS, slice_name="new /24", scorer="/16 seen") == 0.5


def test_the_model_on_all_events_is_the_default() -> None:
    """Without other names the model's line of the slice of all is found."""
    assert made_up().find(HEADLINE_METRIC, attacker=AWS_RECIPE) == (0.75, 0.73, 0.77)


def test_what_was_not_measured_is_nan() -> None:
    """A name that is not in the table is no error, because slices and attackers may be missing."""
    evaluation = made_up()
    for names in ({"slice_name": "new /24"}, {"scorer": "nobody"}):
        found = evaluation.find(AUC, attacker=AWS_RECIPE, **names)
        assert len(found) == 3
        assert all(map(math.isnan, found))
    assert math.isnan(evaluation.value("no metric", attacker=NETWORKS))


def test_an_evaluation_needs_neither_curves_nor_alerts() -> None:
    """A test set may have no attacks either."""
    assert made_up(curves={}, densities={}).value(AUC, attacker=NETWORKS) == 0.75
    pairs = Pairs(np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32))
    assert len(TestSet(pairs).attacks) == 0


def test_an_evaluation_is_shown_in_few_lines() -> None:
    """A notebook shows 60 rows at most of the table, and no points of curves."""
    evaluation = made_up()
    evaluation.detection = pd.concat([evaluation.detection] * 50, ignore_index=True)
    evaluation.curves = {"random addresses": {"model": ([0.123456] * 999, [0.5] * 999)}}
    evaluation.densities = {"ordinary": np.full(999, 0.654321, np.float32)}
    assert evaluation._repr_html_().count("<tr") < 70
    assert "0.123456" not in repr(evaluation)
    assert "0.654321" not in repr(evaluation)
    assert repr(evaluation).startswith("Evaluation(facts={")
