"""Attackers from IPv6, of growing strength.

As with IPv4, an attack uses the entity of an ordinary event.

Source of the idea of matched victims: :mod:`ipinsights.evaluation.attackers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.evaluation.attackers import Attack, Pairing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipinsights.evaluation.ipv6_prefix_counts import Ipv6PrefixCounts

    Proposal = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]

__all__ = ["Ipv6Pairing", "draw_ipv6_attacks"]

_ROUNDS = 20
_ALL_BITS = np.uint64(2**64 - 1)
_GLOBAL_UNICAST = np.uint64(0x2000000000000000)


@dataclass(frozen=True)
class Ipv6Pairing(Pairing):
    """Entities of training, by number, with IPv6 addresses, (n,) each.

    Attributes
    ----------
    ips, lower
        Upper and lower halves of the addresses.
    """

    ips: NDArray[np.uint64]  # type: ignore[assignment]
    lower: NDArray[np.uint64]

    def __getitem__(self, part: NDArray[np.int64] | NDArray[np.bool_]) -> Ipv6Pairing:
        """Return some of the pairs."""
        return Ipv6Pairing(self.numbers[part], self.ips[part], self.lower[part])


def draw_ipv6_attacks(history: Ipv6PrefixCounts, ordinary: Ipv6Pairing, *, rng: np.random.Generator) -> list[Attack]:
    """Return the attacks of every attacker, the weakest first.

    A pair of entity and whole address that occurs in training or among the ordinary events is drawn anew.

    Parameters
    ----------
    history
        Training rows.
    ordinary
        Ordinary events of entities that training saw.
    rng
        Source of all randomness.
    """
    draw = _Draw(history, ordinary, rng)
    proposals = {
        "random addresses": draw.anywhere,
        "other entities' /32": draw.provider_of_another,
        "other entities' addresses": draw.address_of_another,
        "other entities' /48": draw.site_of_another,
        "the victim's own /32": draw.own_provider,
        "the victim's own /48": draw.own_site,
    }
    return [draw.attack(name, propose) for name, propose in proposals.items()]


class _Draw:
    """Draws addresses for victims, again and again until they are an attacker's."""

    def __init__(self, history: Ipv6PrefixCounts, ordinary: Ipv6Pairing, rng: np.random.Generator) -> None:
        self._history = history
        self._ordinary = ordinary
        self._rng = rng
        owners, upper = history.row(np.arange(len(history)))
        self._own = np.sort(
            np.concatenate([_keys(owners, upper, history.lower), _keys(ordinary.numbers, ordinary.ips, ordinary.lower)])
        )
        self._providers = np.unique(upper >> np.uint64(32)) << np.uint64(32)

    def attack(self, name: str, propose: Callable[[Ipv6Pairing], Proposal]) -> Attack:
        """Return the attacks of an attacker.

        ``propose`` returns an address for each victim and a mask of the addresses that are attacks.
        """
        size = len(self._ordinary)
        upper, lower = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint64)
        missing = np.arange(size)
        for _ in range(_ROUNDS):
            victims = self._ordinary[missing]
            proposed_upper, proposed_lower, good = propose(victims)
            good = good & ~self._is_own(victims.numbers, proposed_upper, proposed_lower)
            upper[missing[good]], lower[missing[good]] = proposed_upper[good], proposed_lower[good]
            missing = missing[~good]
            if not len(missing):
                break
        victims_left = np.delete(np.arange(size), missing)
        pairs = Ipv6Pairing(self._ordinary.numbers, upper, lower)[victims_left]
        return Attack(name, victims_left, pairs, num_removed=len(missing))

    def anywhere(self, victims: Ipv6Pairing) -> Proposal:
        """Propose any address of 2000::/3, the part of IPv6 that is in use."""
        return self._inside(np.full(len(victims), _GLOBAL_UNICAST), 3, good=True)

    def provider_of_another(self, victims: Ipv6Pairing) -> Proposal:
        """Propose any address in one of the /32 of training, each as often."""
        return self._inside(self._rng.choice(self._providers, len(victims)), 32, good=True)

    def address_of_another(self, victims: Ipv6Pairing) -> Proposal:
        """Propose the address of a random training row of another entity."""
        places = self._rng.integers(len(self._history), size=len(victims))
        numbers, upper = self._history.row(places)
        return upper, self._history.lower[places], numbers != victims.numbers

    def site_of_another(self, victims: Ipv6Pairing) -> Proposal:
        """Propose any address in the /48 of a random training row of another entity."""
        numbers, upper = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        return self._inside(upper, 48, good=numbers != victims.numbers)

    def own_provider(self, victims: Ipv6Pairing) -> Proposal:
        """Propose a /48 that the victim never used, in the /32 of a random training row of theirs."""
        return self._own_network(victims, 32, new_at=48)

    def own_site(self, victims: Ipv6Pairing) -> Proposal:
        """Propose a /64 that the victim never used, in the /48 of a random training row of theirs."""
        return self._own_network(victims, 48, new_at=64)

    def _own_network(self, victims: Ipv6Pairing, length: int, *, new_at: int) -> Proposal:
        _, own = self._history.row(self._rng.integers(*self._history.rows_of(victims.numbers)))
        upper, lower, _ = self._inside(own, length, good=True)
        return upper, lower, self._history.counts(victims.numbers, upper, new_at) == 0

    def _inside(self, networks: NDArray[np.uint64], length: int, *, good: NDArray[np.bool_] | bool) -> Proposal:
        """Return random addresses of networks of a length."""
        hosts = _ALL_BITS >> np.uint64(length)
        upper, lower = (self._rng.integers(_ALL_BITS, size=len(networks), dtype=np.uint64, endpoint=True) for _ in "ab")
        return (networks & ~hosts) | (upper & hosts), lower, np.broadcast_to(good, len(networks))

    def _is_own(
        self, numbers: NDArray[np.int64], upper: NDArray[np.uint64], lower: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        keys = _keys(numbers, upper, lower)
        own: NDArray[np.bool_] = self._own.take(np.searchsorted(self._own, keys), mode="clip") == keys
        return own


def _keys(numbers: NDArray[np.int64], upper: NDArray[np.uint64], lower: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a hash of entity and address.

    Among a billion pairs, two have the same hash with a probability of 3 %.
    """
    mixed = numbers.astype(np.uint64)
    for part in (upper, lower):
        mixed = (mixed ^ part) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
