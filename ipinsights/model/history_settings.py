"""Constants of the history scorer, which an artifact records with its history.

They are the same for all models and data sets. Fitting them by likelihood gained nothing, and to double or halve a
weight changes the attacks caught at 1 false alarm in 100 by 1 to 5 points.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "DISCOUNTS", "EXTRA_COUNT", "EXTRA_LOST", "IPV4_LEVELS", "IPV4_WEIGHTS", "IPV6_LEVELS", "IPV6_WEIGHTS",
    "LEAST_ESCAPE", "NETWORK_WEIGHT", "SCORER", "settings",
]  # fmt: skip

SCORER = "history"
"""Name of the scorer in options, columns and thresholds."""

NETWORK_WEIGHT = 0.05
"""Weight of the dot product. At 0.1 the entity's own /16 loses 8 points, and nothing else wins as much."""

DISCOUNTS = (0.0, 0.6, 0.4, 0.1)
"""What is taken off counts of 0, 1, 2, and 3 or more."""

EXTRA_LOST, EXTRA_COUNT, LEAST_ESCAPE = 0.1, 2.0, 1e-6

IPV4_LEVELS = (0, 8, 12, 16, 20, 24, 28, 32)
"""Prefix lengths at which IPv4 rows are counted."""

IPV6_LEVELS = (0, 12, 24, 32, 36, 40, 48, 56, 64)
"""The same for IPv6. Steps between /32 and /48 are needed: providers assign prefixes of any of these lengths."""

ANYWHERE, CROWD = "anywhere", "where others come from"
OTHERS_24, OTHERS_32 = "a new address in another entity's /24", "another entity's address"
OWN_16 = "a new /24 in the entity's own /16"
KNOWN_12, KNOWN_32 = "another entity's /12", "another entity's /32"
OTHERS_48, OTHERS_64 = "a new /64 in another entity's /48", "another entity's /64"
OWN_32, OWN_48 = "a new /48 in the entity's own /32", "a new /64 in the entity's own /48"

IPV4_WEIGHTS = {ANYWHERE: 1.0, CROWD: 1.0, OTHERS_24: 0.25, OTHERS_32: 0.125, OWN_16: 0.75}
"""Weights of the attackers in the mixture, IPv4. They are divided by their sum."""

IPV6_WEIGHTS = {
    ANYWHERE: 1.0,
    CROWD: 0.3,
    KNOWN_12: 0.03,
    KNOWN_32: 0.3,
    OTHERS_48: 1.0,
    OTHERS_64: 0.3,
    OWN_32: 0.3,
    OWN_48: 0.1,
}
"""The same for IPv6. IPv4's weights do badly there, because most of IPv6 is empty and nobody comes from anywhere."""


def settings() -> dict[str, Any]:
    """Return all constants by name, as JSON can hold them."""
    return {
        "network_weight": NETWORK_WEIGHT,
        "discounts": list(DISCOUNTS),
        "escape": [EXTRA_LOST, EXTRA_COUNT, LEAST_ESCAPE],
        "ipv4_levels": list(IPV4_LEVELS),
        "ipv4_weights": IPV4_WEIGHTS,
        "ipv6_levels": list(IPV6_LEVELS),
        "ipv6_weights": IPV6_WEIGHTS,
    }
