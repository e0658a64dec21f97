"""Constants of the history scorer: those of the formulas, and as an artifact records them."""

from __future__ import annotations

import json

import pytest

from ipinsights.model import history_settings
from ipinsights.model.history_settings import IPV4_LEVELS, IPV4_WEIGHTS, IPV6_LEVELS, IPV6_WEIGHTS, settings


def test_the_constants_are_those_that_were_measured() -> None:
    """The constants have the measured values."""
    assert settings() == {
        "network_weight": 0.05,
        "discounts": [0, 0.6, 0.4, 0.1],
        "escape": [0.1, 2, 1e-6],
        "ipv4_levels": [0, 8, 12, 16, 20, 24, 28, 32],
        "ipv4_weights": IPV4_WEIGHTS,
        "ipv6_levels": [0, 12, 24, 32, 36, 40, 48, 56, 64],
        "ipv6_weights": IPV6_WEIGHTS,
    }
    assert list(IPV4_WEIGHTS.values()) == [1, 1, 0.25, 0.125, 0.75]
    assert list(IPV6_WEIGHTS.values()) == [1, 0.3, 0.03, 0.3, 1, 0.3, 0.3, 0.1]


def test_json_can_hold_them() -> None:
    """What an artifact records is what is read from it."""
    assert json.loads(json.dumps(settings())) == settings()


@pytest.mark.parametrize(("levels", "bits"), [(IPV4_LEVELS, 32), (IPV6_LEVELS, 64)])
def test_levels_ascend_from_nothing_to_the_address(levels: tuple[int, ...], bits: int) -> None:
    """Steps along them multiply to the density of the whole address."""
    assert sorted(set(levels)) == list(levels)
    assert (levels[0], levels[-1]) == (0, bits)


def test_each_public_name_is_there() -> None:
    """The list of names has no name that is missing."""
    assert all(hasattr(history_settings, name) for name in history_settings.__all__)
