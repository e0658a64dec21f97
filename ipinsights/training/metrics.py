"""Training metrics with ``update`` and ``get``.

Callbacks decide when they are read.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RunningClassification", "cross_entropy", "discriminator_auc"]


def cross_entropy(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Return the binary cross-entropy of each record in nats, stable for any finite score.

    .. math:: -y \ln \sigma(s) - (1 - y) \ln(1 - \sigma(s)) = \max(s, 0) - s y + \ln(1 + e^{-|s|})

    Scores are log odds, labels 0 or 1. All have shape (batch,).
    """
    losses: NDArray[np.float32] = np.maximum(scores, 0) - scores * labels + np.log1p(np.exp(-np.abs(scores)))
    return losses


def discriminator_auc(positives: NDArray[np.float32], negatives: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve, in 0..1.

    This is the probability that a positive has a higher score than a negative, where ties count half.

    The original's ``validation:discriminator_auc``, in 0..1.
    """
    # scikit-learn takes half a second to import. Only a validation pass needs it.
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    return float(roc_auc_score(labels, np.concatenate([positives, negatives])))


class RunningClassification:
    """Accuracy and cross-entropy over all batches since the last reset.

    Scores that are MXNet arrays are read ``lag`` batches later, when the engine has long computed them: a
    synchronisation after every batch would cost 7 to 9 % of the training speed. Scores that are NumPy arrays are read
    together, because a few calls of NumPy for each batch would cost as much. A call that returns values reads
    everything first.

    ``first_bad_batch`` is the index of the first batch whose loss was not finite, None while all losses are finite.
    """

    def __init__(self, lag: int = 16) -> None:
        self._lag = lag
        self.reset()

    def reset(self) -> None:
        """Start over, as at the beginning of an epoch."""
        self._pending: deque[tuple[NDArray[np.float32], Any]] = deque()
        self._num_batches = 0
        self._num_records = 0
        self._num_correct = 0
        self._loss = 0.0
        self.first_bad_batch: int | None = None

    def update(self, labels: NDArray[np.float32], scores: Any) -> None:
        """Take in a batch of labels (batch,) with its scores, a NumPy or an MXNet array (batch,)."""
        self._pending.append((labels, scores))
        if len(self._pending) > self._lag:
            self._read(1 if _is_waiting(self._pending[0]) else len(self._pending))

    def read_computed(self) -> None:
        """Read the batches whose scores are there without waiting."""
        if not any(map(_is_waiting, self._pending)):
            self._read(len(self._pending))

    def get(self) -> dict[str, float]:
        """Return every metric under the original's name, NaN before the first batch."""
        self._read(len(self._pending))
        count = self._num_records or float("nan")
        return {
            "binary_classification_accuracy": self._num_correct / count,
            "binary_classification_cross_entropy": self._loss / count,
        }

    def sums(self) -> tuple[int, int, int, float]:
        """Return the running totals (batches, records, correct predictions, loss) for a checkpoint."""
        self.get()
        return self._num_batches, self._num_records, self._num_correct, self._loss

    def resume_from(self, sums: tuple[int, int, int, float]) -> None:
        """Restore the running totals that :meth:`sums` returned."""
        self.reset()
        self._num_batches, self._num_records, self._num_correct, self._loss = sums

    def _read(self, num_batches: int) -> None:
        """Count the oldest batches."""
        batches = [self._pending.popleft() for _ in range(num_batches)]
        if not batches:
            return
        labels = np.concatenate([labels for labels, _ in batches])
        scores = np.concatenate([given if isinstance(given, np.ndarray) else given.asnumpy() for _, given in batches])
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged run has infinities, counted below
            losses = cross_entropy(scores, labels)
        self._num_correct += int(np.count_nonzero((scores > 0) == (labels > 0)))
        stop = 0
        for own, _ in batches:
            start, stop = stop, stop + len(own)
            self._count(float(losses[start:stop].sum(dtype=np.float64)), len(own))

    def _count(self, loss: float, num_records: int) -> None:
        if self.first_bad_batch is None and not math.isfinite(loss):
            self.first_bad_batch = self._num_batches
        self._loss += loss
        self._num_records += num_records
        self._num_batches += 1


def _is_waiting(batch: tuple[NDArray[np.float32], Any]) -> bool:
    """Check whether the scores of a batch are in MXNet, which may still be computing them."""
    return not isinstance(batch[1], np.ndarray)
