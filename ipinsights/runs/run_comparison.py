"""Two training runs side by side, and whether the candidate is worse than the baseline.

What is judged is the last epoch, because its parameters are the model. Better is never a regression. Throughput is
shown and judged only on request: it tells more of the machine than of the model.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ipinsights.errors import ClientError
from ipinsights.runs.criteria import METRICS
from ipinsights.runs.run import ACCURACY, COUNTERS, CROSS_ENTROPY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ipinsights.runs.criteria import Metric, Tolerance
    from ipinsights.runs.run import RunLog

__all__ = ["Judgement", "RunComparison", "Verdict", "compare"]

_SAMPLING = ("random_negative_sampling_rate", "shuffled_negative_sampling_rate")
# Differences as small as this come from writing decimals down.
_ROUNDING = 1e-9


class Verdict(str, enum.Enum):
    """Result of a judgement. The value is the text for users."""

    BETTER = "better"
    SAME = "not worse"
    WORSE = "WORSE"
    MISSING = "MISSING"
    NOT_JUDGED = "not judged"

    @property
    def is_regression(self) -> bool:
        """Whether the candidate fails by it."""
        return self in {Verdict.WORSE, Verdict.MISSING}


@dataclass(frozen=True)
class Judgement:
    """Judgement of a metric, or of the end of the run."""

    name: str  # of the metric, or ``epochs``: did the run come to its end?
    # Values, None where the log has none.
    baseline: float | None
    candidate: float | None
    allowed: float | None  # how much worse the candidate may be, None when not judged
    # What came of it, and why where that is not plain from the numbers.
    verdict: Verdict
    reason: str = ""
    digits: int = 6

    @property
    def difference(self) -> float | None:
        """Candidate minus baseline."""
        return None if self.baseline is None or self.candidate is None else self.candidate - self.baseline


@dataclass(frozen=True)
class RunComparison:
    """Two runs with their judgements."""

    baseline: RunLog
    candidate: RunLog
    judgements: tuple[Judgement, ...]

    @property
    def regressions(self) -> tuple[Judgement, ...]:
        """Judgements that the candidate fails."""
        return tuple(judgement for judgement in self.judgements if judgement.verdict.is_regression)

    @property
    def is_judged(self) -> bool:
        """Whether a metric was judged. Metrics that the user ignores do not count as missing."""
        metrics = [judgement for judgement in self.judgements if judgement.name != "epochs"]
        return not any(judgement.reason for judgement in metrics) or any(
            judgement.verdict is not Verdict.NOT_JUDGED for judgement in metrics
        )

    def configuration(self) -> pd.DataFrame:
        """Return the hyperparameters that differ, by name. A missing one is None."""
        ours, theirs = self.baseline.configuration, self.candidate.configuration
        names = [name for name in sorted({*ours, *theirs}) if not _same_value(ours.get(name), theirs.get(name))]
        return pd.DataFrame(
            {"baseline": [ours.get(name) for name in names], "candidate": [theirs.get(name) for name in names]},
            index=pd.Index(names, name="hyperparameter"),
            dtype=object,  # the default type of texts in pandas 3 has NaN for None
        )

    def epochs(self) -> pd.DataFrame:
        """Return the metrics of all epochs of both runs, one row per (metric, epoch)."""
        keys = {metric.name: metric.key for metric in METRICS}
        return _side_by_side(self.baseline.per_epoch(), self.candidate.per_epoch(), keys)

    def within_epochs(self) -> pd.DataFrame:
        """Return running metrics at common batches, one row per (metric, epoch, batch).

        Empty when the batches of the two hold different numbers of records.
        """
        keys = {metric.name: metric.within_key for metric in METRICS if metric.within_key}
        rows = _side_by_side(self.baseline.within_epochs(), self.candidate.within_epochs(), keys)
        return rows.dropna() if self.has_same_batches else rows.iloc[:0]

    @property
    def has_same_batches(self) -> bool:
        """Whether a batch is as large in both, as far as the logs tell."""
        sizes = [run.configuration.get("mini_batch_size") for run in (self.baseline, self.candidate)]
        return None in sizes or _same_value(*sizes)

    def counters(self) -> pd.DataFrame:
        """Return the last data iterator counters and the timings in milliseconds, by name."""
        columns = {}
        for role, run in (("baseline", self.baseline), ("candidate", self.candidate)):
            counters = {name: run.last(name) for name in COUNTERS}
            columns[role] = {**counters, **{f"{name} (ms)": value for name, value in run.timings.items()}}
        return pd.DataFrame(columns, dtype=float).dropna(how="all")

    def to_json(self) -> dict[str, Any]:
        """Return all results as values for JSON."""
        return {
            "is_regression": bool(self.regressions),
            "baseline": self.baseline.name,
            "candidate": self.candidate.name,
            "judgements": [
                {"metric": judgement.name, "baseline": judgement.baseline, "candidate": judgement.candidate,
                 "difference": judgement.difference, "allowed": judgement.allowed,
                 "verdict": judgement.verdict.name.lower(), "reason": judgement.reason}
                for judgement in self.judgements
            ],
            "configuration": self.configuration().to_dict("index"),
            "epochs": self.epochs().reset_index().to_dict("records"),
            "within_epochs": self.within_epochs().reset_index().to_dict("records"),
            "counters": self.counters().to_dict("index"),
        }  # fmt: skip


def compare(
    baseline: RunLog,
    candidate: RunLog,
    *,
    tolerances: Mapping[str, Tolerance] | None = None,
    ignored: Collection[str] = (),
) -> RunComparison:
    """Judge a candidate by a baseline, which must have a finished epoch.

    ``tolerances`` are by name of a metric, over the defaults of ``METRICS``. ``ignored`` metrics are shown and not
    judged.
    """
    if baseline.num_epochs == 0:
        raise ClientError(
            f"{baseline.name} tells of no finished epoch, so nothing can be judged by it: take the log of a whole run."
        )
    wanted = {metric.name: metric.tolerance for metric in METRICS} | dict(tolerances or {})
    judgements = [_judge_end(baseline, candidate)]
    for metric in METRICS:
        tolerance = None if metric.name in ignored else wanted[metric.name]
        judgements.append(_judge(metric, baseline, candidate, tolerance))
    return RunComparison(baseline, candidate, tuple(judgements))


def _judge_end(baseline: RunLog, candidate: RunLog) -> Judgement:
    reason, verdict = "", Verdict.SAME
    if candidate.errors:
        reason, verdict = f"line {candidate.errors[0].number}: {candidate.errors[0].text}", Verdict.WORSE
    elif not candidate.is_complete and (baseline.is_complete or candidate.num_epochs < baseline.num_epochs):
        reason, verdict = f"{candidate.wanted_epochs or baseline.num_epochs} epochs were to be trained", Verdict.WORSE
    return Judgement("epochs", baseline.num_epochs, candidate.num_epochs, None, verdict, reason, digits=0)


def _judge(metric: Metric, baseline: RunLog, candidate: RunLog, tolerance: Tolerance | None) -> Judgement:
    ours, theirs = metric.of(baseline), metric.of(candidate)

    def result(verdict: Verdict, reason: str = "", allowed: float | None = None) -> Judgement:
        return Judgement(metric.name, ours, theirs, allowed, verdict, reason, metric.digits)

    if tolerance is None:
        return result(Verdict.NOT_JUDGED)
    if ours is None:
        return result(Verdict.NOT_JUDGED, "the baseline does not have it")
    if theirs is None:
        return result(Verdict.MISSING, "the baseline has it")
    pairs = [(baseline.configuration.get(name), candidate.configuration.get(name)) for name in _SAMPLING]
    has_same_sampling = all(None in pair or _same_value(*pair) for pair in pairs)
    if metric.key in {ACCURACY, CROSS_ENTROPY} and not has_same_sampling:
        return result(Verdict.NOT_JUDGED, "the runs had different shares of negatives")
    allowed = tolerance.allowed(ours)
    gain = theirs - ours if metric.higher_is_better else ours - theirs
    slack = allowed + _ROUNDING * max(abs(ours), abs(theirs))
    verdict = Verdict.WORSE if gain < -slack else Verdict.BETTER if gain > slack else Verdict.SAME
    return result(verdict, allowed=allowed)


def _same_value(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same, as numbers if they are such: 0.00001 and 1e-05 are."""
    if one == other:
        return True
    try:
        return one is not None and other is not None and float(one) == float(other)
    except ValueError:
        return False


def _side_by_side(baseline: pd.DataFrame, candidate: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    """Return columns baseline, candidate and difference, by metric and the index of both."""
    tables = {}
    for name, key in keys.items():
        pair = {"baseline": baseline.get(key), "candidate": candidate.get(key)}
        columns = {role: column.rename(role) for role, column in pair.items() if column is not None}
        if columns:
            tables[name] = pd.concat(columns.values(), axis=1).reindex(columns=["baseline", "candidate"])
    if not tables:
        nothing = pd.MultiIndex.from_arrays([[], []], names=["metric", "epoch"])
        return pd.DataFrame(index=nothing, columns=["baseline", "candidate", "difference"], dtype=float)
    rows = pd.concat(tables, names=["metric"]).sort_index(level=[1], sort_remaining=True, kind="stable")
    rows = rows.dropna(how="all").reindex(list(tables), level="metric")
    return rows.assign(difference=rows["candidate"] - rows["baseline"])
