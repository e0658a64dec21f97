"""Formulas of the history scorer: address densities of entities, crowd and attackers.

All densities are relative to the uniform one: 1 is as likely as any other address.

Source of the discounts and escapes: Chen and Goodman, An Empirical Study of Smoothing Techniques for Language Modeling,
1998 (modified Kneser-Ney). What a level discounts goes to other entities' traffic, by Witten and Bell's method C over
distinct entities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.inference.history_counts import CrowdCounts
from ipinsights.inference.prefix_trie import IPV4
from ipinsights.model import history_settings as settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ipinsights.inference.history_counts import OwnCounts
    from ipinsights.inference.prefix_trie import AddressFamily

    Floats = NDArray[np.float32]

__all__ = ["IPV4_ATTACKERS", "IPV6_ATTACKERS", "Evidence", "Step", "attack_densities", "steps"]

# Addresses outside of 2000::/3 are not routed. The density of none is 0, which has no logarithm.
_UNROUTED = 1e-6
_GLOBAL_UNICAST = np.uint64(1)
_GLOBAL_SHIFT = np.uint64(61)


@dataclass(frozen=True)
class Evidence:
    """What a history knows about some pairs of one address family."""

    family: AddressFamily
    addresses: NDArray[np.uint32] | NDArray[np.uint64]  # addresses, or upper halves of IPv6 addresses, shape (n,)
    # own, crowd: counts at each level of the family
    own: list[OwnCounts]
    crowd: list[CrowdCounts]
    num_own: Floats  # events of each entity in both families, shape (n,)
    num_events: int  # events of all entities in both families
    num_prefixes: Mapping[int, int]  # distinct prefixes of everybody by length
    root: Step | None  # the step from nothing to the address family, None for a model of one family

    @property
    def num_families(self) -> int:
        """How many address families the model knows."""
        return 1 if self.root is None else 2

    def level(self, length: int) -> int:
        """Return the index of a prefix length."""
        return self.family.levels.index(length)

    def own_events(self, length: int) -> Floats:
        """Return the entity's own events on the prefix of each address, shape (n,)."""
        return self.own[self.level(length)].count

    def other_events(self, length: int) -> Floats:
        """Return the events of other entities on the prefix of each address, shape (n,)."""
        return self.crowd[self.level(length)].events - self.own_events(length)

    def other_entities(self, length: int) -> Floats:
        """Return the number of other entities on the prefix of each address, shape (n,)."""
        return self.crowd[self.level(length)].entities - (self.own_events(length) > 0)

    def own_share(self, length: int) -> Floats:
        """Return the density of the prefix in the entity's own events, equally weighted, (n,)."""
        scale = self.num_families * 2.0**length
        num_own: Floats = np.maximum(self.num_own, 1)
        share: Floats = np.float32(scale) * self.own_events(length) / num_own
        return share

    def others_share(self, length: int) -> Floats:
        """Return the density of the prefix in other entities' events, equally weighted, (n,)."""
        scale = self.num_families * 2.0**length
        num_others = np.maximum(np.float32(self.num_events) - self.num_own, 1)
        share: Floats = np.float32(scale) * self.other_events(length) / num_others
        return share


@dataclass(frozen=True)
class Step:
    """One step along the prefixes of some addresses, (n,) each."""

    share: Floats  # density of the next prefix by the entity's own counts
    escape: Floats  # chance that the entity goes where it was not yet
    crowd: Floats  # density of the next prefix by other entities' traffic

    @property
    def factor(self) -> Floats:
        """Factor by which the step multiplies the density."""
        return self.share + self.escape * self.crowd

    @classmethod
    def of(cls, num_bits: int, parent: OwnCounts, own: Floats, everybody: CrowdCounts) -> Step:
        """Return the step from a prefix to one that is longer by ``num_bits``.

        ``parent`` are the entity's own counts on the prefix, ``own`` its discounted events on the next one, shape (n,).
        Of ``everybody``, ``entities`` are those on the next prefix, and ``inside`` and ``num_parts`` belong to the
        prefix.
        """
        width = np.float32(2**num_bits)
        others = everybody.entities - (own > 0)
        crowd = (width * others + everybody.num_parts) / (everybody.inside - parent.num_inside + everybody.num_parts)
        return cls(width * parent.rate * own, parent.escape, crowd)


def steps(evidence: Evidence) -> list[Step]:
    """Return the steps from nothing to the whole address."""
    found = [] if evidence.root is None else [evidence.root]
    levels = evidence.family.levels
    for level in range(len(levels) - 1):
        here, below = evidence.crowd[level], evidence.crowd[level + 1]
        everybody = CrowdCounts(below.entities, here.inside, here.num_parts, below.events)
        num_bits = levels[level + 1] - levels[level]
        found.append(Step.of(num_bits, evidence.own[level], evidence.own[level + 1].kept, everybody))
    return found


def attack_densities(evidence: Evidence, crowd: Floats) -> dict[str, Floats]:
    """Return the weighted density of each attacker by name, (n,) each.

    The densities add up to the density of the mixture. ``crowd`` is that of other entities' traffic, shape (n,).
    """
    is_ipv4 = evidence.family is IPV4
    attackers, weights = (IPV4_ATTACKERS, settings.IPV4_WEIGHTS) if is_ipv4 else (IPV6_ATTACKERS, settings.IPV6_WEIGHTS)
    total = sum(weights.values())
    return {name: np.float32(weights[name] / total) * density(evidence, crowd) for name, density in attackers.items()}


def _anywhere(evidence: Evidence, crowd: Floats) -> Floats:
    if evidence.family is IPV4:
        return np.ones(len(crowd), dtype=np.float32)
    is_routed = evidence.addresses.astype(np.uint64) >> _GLOBAL_SHIFT == _GLOBAL_UNICAST
    return np.where(is_routed, np.float32(8), np.float32(_UNROUTED))


def _where_people_are(_evidence: Evidence, crowd: Floats) -> Floats:
    return crowd


def _known_prefix(length: int, *, unless_seen_at: int) -> Callable[[Evidence, Floats], Floats]:
    """Return the density of an attacker to whom all prefixes of other entities are equal."""

    def density(evidence: Evidence, _crowd: Floats) -> Floats:
        each = np.full(len(evidence.addresses), 2.0**length / max(evidence.num_prefixes[length], 1), dtype=np.float32)
        if evidence.root is not None:  # the attacker chooses the address family as other entities do
            each *= evidence.root.crowd
        is_new = evidence.crowd[evidence.level(unless_seen_at)].events == 0
        return np.where(is_new & (evidence.other_entities(length) > 0), each, np.float32(0))

    return density


def _others(length: int, *, unless_seen_at: int | None = None) -> Callable[[Evidence, Floats], Floats]:
    """Return the density of an attacker who uses prefixes as often as other entities do."""

    def density(evidence: Evidence, _crowd: Floats) -> Floats:
        share = evidence.others_share(length)
        if unless_seen_at is None:
            return share
        return np.where(evidence.crowd[evidence.level(unless_seen_at)].events == 0, share, np.float32(0))

    return density


def _own(length: int, *, unless_seen_at: int) -> Callable[[Evidence, Floats], Floats]:
    """Return the density of an attacker who uses prefixes as often as the entity does."""

    def density(evidence: Evidence, _crowd: Floats) -> Floats:
        return np.where(evidence.own_events(unless_seen_at) == 0, evidence.own_share(length), np.float32(0))

    return density


IPV4_ATTACKERS = {
    settings.ANYWHERE: _anywhere,
    settings.CROWD: _where_people_are,
    settings.OTHERS_24: _others(24, unless_seen_at=32),
    settings.OTHERS_32: _others(32),
    settings.OWN_16: _own(16, unless_seen_at=24),
}
"""Density of each attacker from IPv4."""

IPV6_ATTACKERS = {
    settings.ANYWHERE: _anywhere,
    settings.CROWD: _where_people_are,
    settings.KNOWN_12: _known_prefix(12, unless_seen_at=32),
    settings.KNOWN_32: _known_prefix(32, unless_seen_at=48),
    settings.OTHERS_48: _others(48, unless_seen_at=64),
    settings.OTHERS_64: _others(64),
    settings.OWN_32: _own(32, unless_seen_at=48),
    settings.OWN_48: _own(48, unless_seen_at=64),
}
"""Density of each attacker from IPv6."""
