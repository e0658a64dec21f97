"""Test set and results of an evaluation: tables by attacker, slice, scorer and metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ipinsights.data.ipv6 import Ipv6Pairs, Ipv6Rows
from ipinsights.data.pairs import Pairs
from ipinsights.inference.scorers import HISTORY

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "AWS_RECIPE", "GIVEN_ATTACKS", "HEADLINE_METRIC", "HISTORY", "HISTORY_ALONE", "MODEL", "Evaluation", "TestSet",
]  # fmt: skip

MODEL = "model"
HISTORY_ALONE = "history without the network"
GIVEN_ATTACKS = "attacks of the test file"
AWS_RECIPE = "AWS's tutorial recipe"
HEADLINE_METRIC = "TPR at FPR 1 %"


@dataclass(frozen=True)
class TestSet:
    """Events of the test days."""

    __test__ = False  # pytest takes it for a test otherwise

    ordinary: Pairs  # what users did from IPv4
    ipv6: Ipv6Pairs = field(default_factory=Ipv6Rows().pairs)  # what users did from IPv6
    attacks: Pairs = field(default_factory=partial(Pairs.joined, ()))  # known attacks from IPv4
    attacks_ipv6: Ipv6Pairs = field(default_factory=Ipv6Rows().pairs)  # known attacks from IPv6


@dataclass
class Evaluation:
    """Results of an evaluation.

    Attributes
    ----------
    facts
        What was evaluated on: numbers of rows, entities and attacks, by name.
    slices
        Numbers of ordinary events by slice.
    detection
        One line per attacker, slice, scorer and metric: value and interval (``low``, ``high``).
    differences
        One line per attacker and slice: the main scorer's headline metric less that of the best baseline, by name.
    alerts
        One line per scorer, slice and FPR asked for: alerts per 1,000 ordinary events at the threshold that the
        calibration rows gave, empty without any.
    main_scorer
        The scorer that the headline and the differences are about.
    family
        Address family of the events.
    families
        One line per attacker who changes the address family: attacks caught by the history. None if not measured.
    curves
        Of the slice of all, for plots: ``fpr`` and ``tpr`` by attacker and scorer.
    densities
        Share of events by score of the model, for plots: by attacker, and ``ordinary``.

    Examples
    --------
    >>> import ipinsights
    >>> logins = [(f"user_{n % 9}", f"10.{n % 9}.{n % 7}.{n}") for n in range(200)]
    >>> model = ipinsights.IPInsights(epochs=1, progress=False).fit(logins)
    >>> ipinsights.evaluate(model, logins, logins).detection.columns.tolist()
    ['attacker', 'slice', 'scorer', 'metric', 'value', 'low', 'high']
    """

    facts: dict[str, Any]
    slices: dict[str, int]
    detection: pd.DataFrame
    differences: pd.DataFrame
    alerts: pd.DataFrame
    main_scorer: str = MODEL
    family: str = "IPv4"
    families: pd.DataFrame | None = None
    curves: dict[str, dict[str, tuple[list[float], list[float]]]] = field(default_factory=dict, repr=False)
    densities: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        return str(self.detection.to_html(index=False, max_rows=60))

    @property
    def scorers(self) -> tuple[str, ...]:
        """Scorers and baselines that were measured, in the order of tables. The control is the last."""
        return tuple(self.detection.scorer.unique())

    def find(
        self, metric: str, *, attacker: str, slice_name: str = "all", scorer: str = MODEL
    ) -> tuple[float, float, float]:
        """Return a metric and the ends of its interval, NaN if the metric was not measured."""
        nothing = (float("nan"),) * 3
        return self._values.get((attacker, slice_name, scorer, metric), nothing)

    def value(self, metric: str, *, attacker: str, slice_name: str = "all", scorer: str = MODEL) -> float:
        """Return a metric, NaN if the metric was not measured."""
        return self.find(metric, attacker=attacker, slice_name=slice_name, scorer=scorer)[0]

    @cached_property
    def _values(self) -> dict[tuple[str, str, str, str], tuple[float, float, float]]:
        table = self.detection
        keys = zip(table.attacker, table.slice, table.scorer, table.metric, strict=True)
        return dict(zip(keys, zip(table.value, table.low, table.high, strict=True), strict=True))
