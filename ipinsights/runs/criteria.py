"""Metrics that two training runs are compared by, and their tolerances."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, SPEED, THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipinsights.runs.run import RunLog

__all__ = ["METRICS", "Metric", "Tolerance", "parse_tolerances"]

_AMOUNT = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Tolerance:
    """How much worse is accepted: an amount, or a share of the baseline's value."""

    amount: float
    is_share: bool = False

    def allowed(self, baseline: float) -> float:
        """Return the allowed amount for a value of the baseline."""
        return self.amount * abs(baseline) if self.is_share else self.amount


@dataclass(frozen=True)
class Metric:
    """A metric that two runs are compared by."""

    name: str  # for people
    key: str  # SageMaker's name
    higher_is_better: bool
    tolerance: Tolerance | None  # default tolerance, None if the metric is not judged by default
    within_key: str | None  # its key inside epochs, None if it does not exist there
    digits: int = 6  # to show after the point

    def of(self, run: RunLog) -> float | None:
        """Return the metric's value for a run: of the last epoch, or the median throughput."""
        return run.throughput if self.key == THROUGHPUT else run.last(self.key)


# Public runs of the original at the same settings on like data end within 0.0004 of accuracy and 0.0014 of
# cross-entropy of each other. Their AUC moves by 0.0001 from epoch to epoch. The defaults are two to three times that.
METRICS = (
    Metric("accuracy", ACCURACY, higher_is_better=True, tolerance=Tolerance(0.001), within_key=ACCURACY),
    Metric("cross_entropy", CROSS_ENTROPY, higher_is_better=False, tolerance=Tolerance(0.003),
           within_key=CROSS_ENTROPY),
    Metric("auc", AUC, higher_is_better=True, tolerance=Tolerance(0.002), within_key=None),
    Metric("throughput", THROUGHPUT, higher_is_better=True, tolerance=None, within_key=SPEED, digits=0),
)  # fmt: skip


def parse_tolerances(assignments: Sequence[str]) -> dict[str, Tolerance]:
    """Read ``metric=0.001`` (an amount) and ``metric=5%`` (a share of the baseline's value)."""
    return dict(map(_parse_tolerance, assignments))


def _parse_tolerance(assignment: str) -> tuple[str, Tolerance]:
    name, _, text = assignment.partition("=")
    names = {metric.name for metric in METRICS}
    if name.strip() not in names:
        raise ClientError(
            f"Tolerance '{assignment}' is for no known metric: it must begin with one of {', '.join(sorted(names))}, "
            "for example auc=0.005."
        )
    text = text.strip()
    if _AMOUNT.fullmatch(text) and math.isfinite(value := float(text.rstrip("%"))):
        return name.strip(), Tolerance(value / 100, is_share=True) if text.endswith("%") else Tolerance(value)
    raise ClientError(f"Tolerance '{assignment}' must be a number from 0 or a percentage, for example {name}=0.005.")
