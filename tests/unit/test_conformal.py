"""Odds as people read them."""

from __future__ import annotations

import pytest

from ipinsights.inference.conformal import odds_text


@pytest.mark.parametrize(
    ("p_value", "text"),
    [
        (1.0, "100 in 100 normal events look this odd"),
        (0.25, "25 in 100 normal events look this odd"),
        (0.1, "1 in 10 normal events looks this odd"),
        (0.0005, "1 in 2,000 normal events looks this odd"),
        (1 / 1299, "1 in 1,200 normal events looks this odd"),
        (1 / 649_953, "1 in 640,000 normal events looks this odd"),
    ],
)
def test_odds(p_value: float, text: str) -> None:
    """Two digits, rounded to what is less alarming."""
    assert odds_text(p_value) == text
