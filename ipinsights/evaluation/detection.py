"""Metrics of detection, exact and resampled over entities.

An event is flagged if its score is low. Of a threshold, the false positive rate (FPR) is the share of ordinary events
that it flags, the true positive rate (TPR) the share of attacks. Where scores are equal, events are flagged in random
order, so that every FPR can be had: straight lines of the ROC curve. Else binary scores would look better or worse than
they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["AUC", "METRICS", "PARTIAL_AUC", "TPR_FPRS", "EntityBootstrap", "RocCurve", "interval"]

AUC, PARTIAL_AUC = "ROC-AUC", "partial AUC to FPR 1 %"
TPR_FPRS = {"TPR at FPR 0.1 %": 0.001, "TPR at FPR 1 %": 0.01, "TPR at FPR 5 %": 0.05}
METRICS = (*TPR_FPRS, PARTIAL_AUC, AUC)
_MAX_FPR = 0.01

_NUM_RESAMPLES = 1000
# Maximum number of groups that entities are resampled in. Groups of independent entities are independent too.
_MAX_GROUPS = 4096
# FPRs at which resampled curves are known: dense where the metrics look.
_EDGE_FPRS = np.concatenate([np.geomspace(1e-5, 0.1, 100), np.linspace(0.1, 1, 61)[1:]])


@dataclass(frozen=True)
class RocCurve:
    """One ROC curve, or a stack of them: corners from (0, 0) to (1, 1), (..., num_corners)."""

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]

    @classmethod
    def of(cls, ordinary: NDArray[np.float32], attacks: NDArray[np.float32]) -> RocCurve:
        """Return the exact curve of ascending ordinary scores (n,) and scores of attacks (m,)."""
        attacks = np.sort(attacks)
        begins = np.flatnonzero(np.concatenate([[True], ordinary[1:] != ordinary[:-1]]))
        distinct = ordinary[begins]
        # (2 * num_distinct,): flagged are those below each distinct score, then those up to it
        fpr = np.column_stack([begins, np.append(begins[1:], len(ordinary))]).ravel() / len(ordinary)
        below, up_to = (np.searchsorted(attacks, distinct, side=side) for side in ("left", "right"))
        tpr = np.column_stack([below, up_to]).ravel() / len(attacks)
        return cls(np.concatenate([[0.0], fpr, [1.0]]), np.concatenate([[0.0], tpr, [1.0]]))

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Return every metric by name, shape (...) each."""
        rates = {name: self.tpr_at(fpr) for name, fpr in TPR_FPRS.items()}
        return {**rates, PARTIAL_AUC: self.partial_auc(_MAX_FPR), AUC: self.auc()}

    def auc(self) -> NDArray[np.float64]:
        """Return the probability that an attack scores less than an ordinary event, shape (...)."""
        return self._area(1.0)

    def partial_auc(self, max_fpr: float) -> NDArray[np.float64]:
        """Return the area up to an FPR, scaled so that 0.5 is chance and 1 is perfect, shape (...).

        Source: McClish, Analyzing a Portion of the ROC Curve, 1989.
        """
        least = max_fpr**2 / 2
        return 0.5 * (1 + (self._area(max_fpr) - least) / (max_fpr - least))

    def tpr_at(self, fpr: float) -> NDArray[np.float64]:
        """Return the TPR at an FPR in [0, 1), shape (...)."""
        # The last corner that is not beyond the FPR, and of several with this FPR the highest.
        at = np.count_nonzero(self.fpr <= fpr, axis=-1)[..., np.newaxis] - 1
        x0, x1 = (np.take_along_axis(self.fpr, at + step, axis=-1)[..., 0] for step in (0, 1))
        y0, y1 = (np.take_along_axis(self.tpr, at + step, axis=-1)[..., 0] for step in (0, 1))
        tpr: NDArray[np.float64] = y0 + (y1 - y0) * (fpr - x0) / (x1 - x0)
        return tpr

    def _area(self, max_fpr: float) -> NDArray[np.float64]:
        width = np.diff(self.fpr, axis=-1)
        used = np.diff(np.minimum(self.fpr, max_fpr), axis=-1)
        # The last line is cut where the area ends.
        part = np.divide(used, width, out=np.zeros_like(used), where=width > 0)
        heights = self.tpr[..., :-1] + 0.5 * part * np.diff(self.tpr, axis=-1)
        return np.asarray((used * heights).sum(axis=-1))


class EntityBootstrap:
    """Resamples entities, with all that is theirs, to tell how far a metric can be trusted.

    Rows of one entity are alike, so resampling rows would promise too much. All metrics of one bootstrap see the same
    resamples, so that they can be compared pair by pair.
    """

    def __init__(self, num_entities: int, *, rng: np.random.Generator) -> None:
        self._num_groups = min(num_entities, _MAX_GROUPS)
        # (num_entities,)
        self._groups = rng.permutation(num_entities) % self._num_groups
        drawn = rng.multinomial(self._num_groups, np.full(self._num_groups, 1 / self._num_groups), _NUM_RESAMPLES)
        # (1 + num_resamples, num_groups): how often each is drawn. The first row draws each once.
        self._weights = np.concatenate([np.ones((1, self._num_groups)), drawn]).astype(np.float32)

    def histograms(
        self, numbers: NDArray[np.int64], scores: NDArray[np.float32], edges: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return cumulative shares of rows, from 0 to 1, in each resample, NaN in empty ones.

        ``edges`` (num_bins - 1,) are the ascending scores that bins begin at. The shape of the result is
        (1 + num_resamples, num_bins + 1). Its first line is all rows, once.
        """
        bins = np.searchsorted(edges, scores, side="right")
        cells = self._groups[numbers] * (len(edges) + 1) + bins
        counts = np.bincount(cells, minlength=self._num_groups * (len(edges) + 1)).astype(np.float32)
        # (1 + num_resamples, num_bins)
        resampled = self._weights @ counts.reshape(self._num_groups, -1)
        cumulated = np.cumsum(resampled, axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            shares = cumulated / cumulated[:, -1:]
        return np.concatenate([np.zeros((len(shares), 1)), shares], axis=1)

    def edges(self, ordinary: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the ascending bin edges for ordinary scores of shape (n,)."""
        ranks = np.minimum((_EDGE_FPRS * len(ordinary)).astype(np.int64), len(ordinary) - 1)
        edges: NDArray[np.float32] = np.unique(ordinary[ranks])
        return edges

    def metrics(self, ordinary: NDArray[np.float64], attacks: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """Return the deviation of each metric from its value without resampling, (num_resamples,).

        The arguments are results of :meth:`histograms`.
        """
        resampled = RocCurve(ordinary, attacks).metrics()
        return {name: values[1:] - values[0] for name, values in resampled.items()}


def interval(value: float, deviations: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a value from the deviations of its resamples (num_resamples,)."""
    if np.isnan(deviations).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(deviations, [2.5, 97.5])
    return float(value + low), float(value + high)
