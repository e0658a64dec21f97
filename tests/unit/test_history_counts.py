"""What a history counts on a prefix, as the formulas need it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.inference.history_counts import CrowdCounts, OwnCounts, tenths_of


@pytest.mark.parametrize(
    ("count", "tenths", "escape", "kept"),
    [(0, 0, 1.0, 0.0), (1, 6, 0.7 / 3, 0.4), (2, 4, 0.5 / 4, 1.6), (3, 1, 0.2 / 5, 2.9), (2, 12, 1.3 / 4, 1.6)],
)
def test_own_counts(count: int, tenths: int, escape: float, kept: float) -> None:
    """Escape, rate and discounted count follow from the number of events and the discounts."""
    found = OwnCounts.of(np.array([count]), np.array([tenths]), np.array([1]))
    assert found.escape[0] == pytest.approx(escape)
    assert found.kept[0] == pytest.approx(kept)
    assert found.count[0] == count
    if count:
        assert found.rate[0] == pytest.approx((1 - escape) / (count - tenths / 10))


@given(st.lists(st.integers(1, 2**22), min_size=1, max_size=9))
def test_known_and_new_prefixes_are_all_there_are(counts: list[int]) -> None:
    """The shares of the prefixes inside and the chance of a new one sum to one."""
    inside = np.array(counts)
    tenths = tenths_of(inside)
    parent = OwnCounts.of(np.array([inside.sum()]), np.array([tenths.sum()]), np.array([len(counts)]))
    kept = OwnCounts.of(inside, np.zeros(len(counts)), np.zeros(len(counts))).kept
    assert float(parent.rate[0] * kept.sum() + parent.escape[0]) == pytest.approx(1, abs=1e-4)


def test_discounts() -> None:
    """0.6 of a count of 1, 0.4 of 2, and 0.1 of larger ones."""
    assert tenths_of(np.array([0, 1, 2, 3, 4, 2**31])).tolist() == [0, 6, 4, 1, 1, 1]


def test_nothing() -> None:
    """Where there are no events, everything inside is new, and everybody has one part for it."""
    own, crowd = OwnCounts.nothing(2), CrowdCounts.nothing(2)
    assert (own.kept.tolist(), own.escape.tolist(), own.count.tolist()) == ([0, 0], [1, 1], [0, 0])
    assert (crowd.entities.tolist(), crowd.num_parts.tolist(), crowd.events.tolist()) == ([0, 0], [1, 1], [0, 0])
    assert {array.dtype for array in (*vars(own).values(), *vars(crowd).values())} == {np.dtype(np.float32)}
