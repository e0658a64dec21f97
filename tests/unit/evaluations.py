"""An evaluation with made-up numbers, so that tests know where each number must appear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ipinsights.evaluation.baselines import BASELINES, CONTROL
from ipinsights.evaluation.detection import METRICS
from ipinsights.evaluation.results import AWS_RECIPE, MODEL, Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORKS = "other entities' networks"
# Headline metric and every other one by scorer. Intervals reach 0.02 to both sides.
VALUES = {MODEL: 0.75, **{name: 0.1 * number for number, name in enumerate(BASELINES, start=1)}, CONTROL: 0.5}


def detection(attackers: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return a line per attacker, slice, scorer and metric."""
    return pd.DataFrame(
        [
            {"attacker": attacker, "slice": name, "scorer": scorer, "metric": metric}
            | {"value": value, "low": value - 0.02, "high": value + 0.02}
            for attacker, slices in attackers.items()
            for name in slices
            for scorer, value in VALUES.items()
            for metric in METRICS
        ]
    )


def made_up(**changes: Any) -> Evaluation:
    """Return an evaluation of two attackers and AWS's recipe, on two slices, with changes."""
    difference = {"best_baseline": "Witten-Bell counts", "difference": 0.25, "low": 0.2, "high": 0.3}
    curve = np.geomspace(1e-4, 1, 50).tolist(), np.linspace(0, 1, 50).tolist()
    attackers = {"random addresses": ("all", "new /24"), NETWORKS: ("all", "new /24"), AWS_RECIPE: ("all",)}
    parts = {
        "facts": {
            "train_rows": 12_345,
            "train_entities": 678,
            "train_entities_unknown_to_model": 0,
            "test_rows": 2100,
            "test_rows_of_unknown_entities": 100,
            "attacks_removed": {"random addresses": 0, NETWORKS: 3},
        },
        "slices": {"all": 2000, "new /24": 1234},
        "detection": detection(attackers),
        "differences": pd.DataFrame([{"attacker": NETWORKS, "slice": "all", **difference}]),
        "alerts": pd.DataFrame(
            [
                {"scorer": scorer, "slice": "all", "fpr": fpr, "alerts_per_1000": 1000 * fpr * (2 if number else 1)}
                for number, scorer in enumerate(VALUES)
                for fpr in (0.001, 0.01)
                if scorer not in {CONTROL, "popularity of the /24"}
            ]
        ),
        "curves": {name: dict.fromkeys(VALUES, curve) for name in attackers},
        "densities": {
            name: np.linspace(place, place + 2, 1000, dtype=np.float32)
            for place, name in enumerate(["ordinary", *attackers])
        },
    }
    return Evaluation(**{**parts, **changes})
