"""Counts of a history on one prefix of each address, as the formulas need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.history_settings import DISCOUNTS, EXTRA_COUNT, EXTRA_LOST, LEAST_ESCAPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["CrowdCounts", "OwnCounts", "tenths_of"]

# What modified Kneser-Ney takes off counts. As whole tenths, sums are exact.
_TENTHS = np.array([round(10 * discount) for discount in DISCOUNTS])


@dataclass(frozen=True)
class OwnCounts:
    """Counts of an entity's own rows on one prefix of each address, (n,) each."""

    kept: Floats  # events less their discount, 0 without events
    rate: Floats  # chance of a discounted event on a prefix of the next level inside
    escape: Floats  # chance that the next event is on a prefix of the next level that is new for the entity
    num_inside: Floats  # distinct prefixes of the next level inside

    @property
    def count(self) -> Floats:
        """Events. Discounts are less than 1."""
        return np.ceil(self.kept)

    @classmethod
    def of(cls, count: NDArray[Any], tenths: NDArray[Any], num_inside: NDArray[Any]) -> OwnCounts:
        """Return the values of prefixes from whole numbers, (n,) each.

        ``count`` are events, ``tenths`` ten times the discounts of all prefixes of the next level inside.
        """
        lost = tenths / 10
        escape = np.clip((EXTRA_LOST + lost) / (count + EXTRA_COUNT), LEAST_ESCAPE, 1 - LEAST_ESCAPE)
        escape = np.where(count > 0, escape, 1.0)
        rate = (1 - escape) / np.where(count > 0, count - lost, 1.0)
        kept = count - tenths_of(count) / 10
        return cls(*(column.astype(np.float32) for column in (kept, rate, escape, num_inside)))

    @classmethod
    def nothing(cls, size: int) -> OwnCounts:
        """Return the values where there are no events."""
        return cls.of(*(np.zeros(size) for _ in range(3)))


@dataclass(frozen=True)
class CrowdCounts:
    """Counts of everybody's rows on one prefix of each address, (n,) each."""

    entities: Floats  # distinct entities
    inside: Floats  # distinct pairs of an entity and a prefix of the next level inside
    num_parts: Floats  # distinct prefixes of the next level inside, and 1 for all that is new
    events: Floats

    @classmethod
    def nothing(cls, size: int) -> CrowdCounts:
        """Return the values where there are no events."""
        zeros = np.zeros(size, dtype=np.float32)
        return cls(zeros, zeros, np.ones(size, dtype=np.float32), zeros)


def tenths_of(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return ten times what is taken off each count (n,), shape (n,)."""
    return _TENTHS.take(np.minimum(counts, 3).astype(np.int64))
