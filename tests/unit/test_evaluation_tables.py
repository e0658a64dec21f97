"""Evaluation tables: each number is in its cell, and sentences fit the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ipinsights.evaluation.baselines import BASELINES, CONTROL
from ipinsights.evaluation.detection import METRICS
from ipinsights.evaluation.evaluation_tables import finding, full_sections, headline, report
from ipinsights.evaluation.results import AWS_RECIPE, GIVEN_ATTACKS, MODEL

from .evaluations import NETWORKS, detection, made_up

if TYPE_CHECKING:
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.reporting.report import Section


def section(evaluation: Evaluation, beginning: str) -> Section:
    """Return the section whose title begins so."""
    (found,) = [one for one in report(evaluation).sections if one.title.startswith(beginning)]
    return found


def table(evaluation: Evaluation, beginning: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by the first one of each row."""
    found = section(evaluation, beginning).table
    assert found is not None
    return {first: cells for first, *cells in found.to_numpy().tolist()}


class TestHeadline:
    """The sentence to remember."""

    @pytest.mark.parametrize(
        ("difference", "low", "high", "verdict"),
        [
            (0.25, 0.2, 0.3, "50.0 %: the model is 25.0 points better [+20.0, +30.0]."),
            (-0.05, -0.08, -0.021, "80.0 %: the model is 5.0 points worse [-8.0, -2.1]."),
            (0.01, -0.01, 0.03, "74.0 %: the difference could be chance [-1.0, +3.0]."),
            (0.01, 0.0, 0.03, "74.0 %: the difference could be chance [+0.0, +3.0]."),
        ],
    )
    def test_verdict(self, difference: float, low: float, high: float, verdict: str) -> None:
        """A difference counts if its interval does not hold 0."""
        line = {"attacker": NETWORKS, "slice": "all", "best_baseline": "Freeman's ratio", "difference": difference}
        assert headline(made_up(differences=pd.DataFrame([{**line, "low": low, "high": high}]))) == (
            "At 1 false alarm in 100 the model catches 75.0 % of attacks from other entities' networks; the best "
            f"baseline, Freeman's ratio, {verdict}"
        )

    def test_without_attacks(self) -> None:
        """Where no attack could be drawn, there is nothing to compare."""
        empty = made_up().differences.iloc[:0]
        assert headline(made_up(differences=empty)) == "Nothing to tell: no attack could be drawn."


class TestData:
    """What was evaluated on."""

    def test_remarks(self) -> None:
        """Rows, slices, events that were set aside, and attackers that found no address."""
        assert section(made_up(), "Data").remarks == (
            "Trained on 12,345 events of 678 entities; tested on 2,000 ordinary events.",
            "  1,234 in the slice: new /24",
            "Set aside: 100 events of entities that training never saw.",
            "For each ordinary event each attacker attacks its entity once.",
            "  3 found no address but the victim's own: other entities' networks",
            "In brackets: 95 % intervals, resampled over entities.",
        )

    def test_a_model_of_other_data(self) -> None:
        """Entities that the model does not know are counted, with what their scores mean."""
        facts = {**made_up().facts, "train_entities_unknown_to_model": 1500}
        assert section(made_up(facts=facts), "Data").remarks[2] == (
            "The model never learned 1,500 of these entities: is this the data it was trained on? Its scores of them "
            "mean nothing."
        )


class TestTables:
    """Cells of the tables."""

    def test_every_scorer_has_a_row_in_order(self) -> None:
        """The model first, the control last, and its values without an interval."""
        rows = table(made_up(), "Attacks caught at 1 false alarm in 100")
        assert list(rows) == [MODEL, *BASELINES]
        assert rows[MODEL] == ["75.0 [73.0, 77.0]", "75.0 [73.0, 77.0]"]
        assert rows["/24 seen"] == ["20.0 [18.0, 22.0]", "20.0 [18.0, 22.0]"]
        assert rows[CONTROL] == ["50.0", "50.0"]
        assert table(made_up(), "Area under the ROC curve")[MODEL] == ["0.750 [0.730, 0.770]"] * 2

    def test_a_slice_that_is_too_small(self) -> None:
        """A sentence stands where its table would be."""
        small = made_up(slices={"all": 2000})
        found = section(small, "The same, of events in a /24 new for the entity")
        assert (found.table, found.remarks) == (None, ("Too few ordinary events in the slice: new /24.",))
        assert list(table(small, "The model by slice")) == ["all"]

    def test_what_was_not_measured_is_a_dash(self) -> None:
        """An attacker that attacked nobody of a slice leaves its cell empty."""
        some = made_up(detection=detection({"random addresses": ("all",), NETWORKS: ("all", "new /24")}))
        assert table(some, "The model by slice")["new /24"] == ["-", "75.0 [73.0, 77.0]"]

    def test_alerts(self) -> None:
        """Alerts have a column per rate, a dash without a threshold, and no row for the control."""
        found = section(made_up(), "Alerts per 1,000 ordinary events of the test")
        assert found.table is not None
        assert list(found.table.columns) == ["score", "1 asked for", "10 asked for"]
        rows = table(made_up(), "Alerts per 1,000")
        assert list(rows) == [MODEL, *BASELINES][:-1]
        assert [rows[MODEL], rows["address seen"]] == [["1.0", "10.0"], ["2.0", "20.0"]]
        assert rows["popularity of the /24"] == ["-", "-"]

    def test_without_calibration_there_are_no_alerts(self) -> None:
        """The section is left out."""
        titles = [one.title for one in report(made_up(alerts=pd.DataFrame())).sections]
        assert not any(title.startswith("Alerts") for title in titles)
        assert len(titles) == 6

    def test_attackers_whose_victims_are_not_matched(self) -> None:
        """The recipe has a table of its own and is in no other table."""
        names = {NETWORKS: ("all",), GIVEN_ATTACKS: ("all",), AWS_RECIPE: ("all",)}
        found = section(made_up(detection=detection(names)), "Victims not matched")
        assert found.table is not None
        assert list(found.table.columns) == ["score", "AUC", "TPR at 1 %"]
        assert found.table.to_numpy().tolist()[0] == [MODEL, "0.750 [0.730, 0.770]", "75.0 [73.0, 77.0]"]
        areas = section(made_up(), "Area under the ROC curve").table
        assert areas is not None
        assert list(areas.columns) == ["score", "random addresses", NETWORKS]

    def test_every_metric(self) -> None:
        """The report's pages have a table of all metrics for each attacker and slice."""
        sections = full_sections(made_up())
        assert [one.title for one in sections] == [
            "random addresses, all",
            "random addresses, new /24",
            f"{NETWORKS}, all",
            f"{NETWORKS}, new /24",
            f"{AWS_RECIPE}, all",
        ]
        for one in sections:
            assert one.table is not None
            assert list(one.table.columns) == ["score", *METRICS]
            assert one.table.shape == (1 + len(BASELINES), 1 + len(METRICS))
            assert one.table.to_numpy().tolist()[0] == [MODEL, *["0.750 [0.730, 0.770]"] * len(METRICS)]


def compared(attacker: str, difference: float, low: float, high: float) -> dict[str, object]:
    """Return a line of differences."""
    return {
        "attacker": attacker, "slice": "all", "best_baseline": "/16 seen",
        "difference": difference, "low": low, "high": high,
    }  # fmt: skip


class TestFinding:
    """One plain sentence."""

    @pytest.mark.parametrize(
        ("difference", "low", "high", "verdict"),
        [
            (0.1, 0.05, 0.15, "the best count 65 %: the model is better."),
            (-0.1, -0.15, -0.05, "the best count 85 %: counting is better."),
            (0.1, -0.05, 0.25, "the best count 65 %: the difference could be chance."),
        ],
    )
    def test_who_is_better(self, difference: float, low: float, high: float, verdict: str) -> None:
        """The interval of the difference decides."""
        evaluation = made_up(differences=pd.DataFrame([compared(NETWORKS, difference, low, high)]))
        assert finding(evaluation) == f"The model catches 75 % of simulated attacks and {verdict}"
        assert report(evaluation).finding == finding(evaluation)

    def test_own_labels_lead(self) -> None:
        """Attacks of the test file are what the sentences and the first table are about."""
        names = {NETWORKS: ("all",), GIVEN_ATTACKS: ("all",)}
        lines = [compared(NETWORKS, 0.0, -0.1, 0.1), compared(GIVEN_ATTACKS, 0.1, 0.05, 0.15)]
        labelled = made_up(detection=detection(names), differences=pd.DataFrame(lines))
        assert finding(labelled) == (
            "The model catches 75 % of your labelled attacks and the best count 65 %: the model is better."
        )
        assert headline(labelled) == (
            "At 1 false alarm in 100 the model catches 75.0 % of your labelled attacks; the best baseline, /16 seen, "
            "65.0 %: the model is 10.0 points better [+5.0, +15.0]."
        )
        first = report(labelled).sections[0]
        assert first.title == "Your labelled attacks"
        assert first.table is not None
        assert first.table.to_numpy().tolist()[0] == [MODEL, "75.0 [73.0, 77.0]", "0.750 [0.730, 0.770]"]

    def test_no_attack_no_finding(self) -> None:
        """Where no attack could be drawn, nothing is claimed."""
        assert finding(made_up(differences=made_up().differences.iloc[:0])) == ""


def alerts(numbers: dict[float, float]) -> pd.DataFrame:
    """Return alerts of the model by the rate that was asked for."""
    return pd.DataFrame(
        [{"scorer": MODEL, "slice": "all", "fpr": fpr, "alerts_per_1000": number} for fpr, number in numbers.items()]
    )


class TestHint:
    """Ordinary events may hold attacks that nobody labelled."""

    def test_far_more_alerts_than_asked_for(self) -> None:
        """The hint names both rates and comes before the tables of simulated attacks."""
        first, *_ = report(made_up(alerts=alerts({0.01: 36.3, 0.05: 70.0}))).sections
        assert (first.title, first.remarks) == (
            "Hint: unlabelled attacks?",
            (
                "Of 1,000 ordinary events the model flags 36.3 where 10 were asked for. Some may be attacks without a "
                "label, which count as false alarms and make it look worse than it is. Or behaviour has changed since "
                "the calibration. Look at the lowest scores of the test.",
            ),
        )

    @pytest.mark.parametrize("numbers", [{0.01: 10.0, 0.05: 55.0}, {0.01: 19.9}, {0.001: 3.7}])
    def test_no_hint(self, numbers: dict[float, float]) -> None:
        """Up to twice as many, and within four deviations of 2,000 events (4 * 0.7 at 1 in 1,000)."""
        titles = {one.title for one in report(made_up(alerts=alerts(numbers))).sections}
        assert "Hint: unlabelled attacks?" not in titles
