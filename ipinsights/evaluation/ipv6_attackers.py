"""Attackers from IPv6, of growing strength.

As with IPv4, an attack uses the entity of an ordinary event, see :mod:`ipinsights.evaluation.attackers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.evaluation.attackers import Draw, Pairing, everybody
from ipinsights.model.pair_counting import hash_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.evaluation.attackers import Attack, Proposal
    from ipinsights.evaluation.prefix_counts import Ipv6PrefixCounts

__all__ = ["draw_ipv6_attacks"]

_ALL_BITS = np.uint64(2**64 - 1)
_GLOBAL_UNICAST = np.uint64(0x2000000000000000)


def draw_ipv6_attacks(history: Ipv6PrefixCounts, ordinary: Pairing, *, rng: np.random.Generator) -> list[Attack]:
    """Return the attacks of every attacker on ordinary events, the weakest first.

    A pair of entity and whole address that occurs in training or among the ordinary events is drawn anew.
    """
    draw = _Ipv6Draw(history, ordinary, rng)
    return draw.attacks(
        {
            "random addresses": draw.anywhere,
            "other entities' /32": draw.provider_of_another,
            "other entities' addresses": draw.address_of_another,
            "other entities' /48": draw.site_of_another,
            "the victim's own /32": lambda victims: draw.own_network(victims, 32, new_at=48),
            "the victim's own /48": lambda victims: draw.own_network(victims, 48, new_at=64),
        }
    )


class _Ipv6Draw(Draw):
    def __init__(self, history: Ipv6PrefixCounts, ordinary: Pairing, rng: np.random.Generator) -> None:
        owners, upper = history.row(np.arange(len(history)))
        super().__init__(Pairing(owners, np.column_stack([upper, history.lower])), ordinary, _keys, rng)
        self._history = history
        self._providers = np.unique(upper >> np.uint64(32)) << np.uint64(32)

    def anywhere(self, victims: Pairing) -> Proposal:
        """Propose any address of 2000::/3, the part of IPv6 that is in use."""
        return self._inside(np.full(len(victims), _GLOBAL_UNICAST), 3), everybody(victims)

    def provider_of_another(self, victims: Pairing) -> Proposal:
        """Propose any address in one of the /32 of training, each as often."""
        return self._inside(self._rng.choice(self._providers, len(victims)), 32), everybody(victims)

    def address_of_another(self, victims: Pairing) -> Proposal:
        """Propose the address of a random training row of another entity."""
        rows = self._rng.integers(len(self._history), size=len(victims))
        numbers, upper = self._history.row(rows)
        return np.column_stack([upper, self._history.lower[rows]]), numbers != victims.numbers

    def site_of_another(self, victims: Pairing) -> Proposal:
        """Propose any address in the /48 of a random training row of another entity."""
        addresses, is_other = self.address_of_another(victims)
        return self._inside(addresses[:, 0], 48), is_other

    def own_network(self, victims: Pairing, length: int, *, new_at: int) -> Proposal:
        """Propose a network that the victim never used, near a random training row of theirs."""
        _, own = self._history.row(self._rng.integers(*self._history.rows_of(victims.numbers)))
        addresses = self._inside(own, length)
        return addresses, self._history.counts(victims.numbers, addresses[:, 0], new_at) == 0

    def _inside(self, networks: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
        """Return random addresses (n, 2) of networks (n,) of a length."""
        hosts = _ALL_BITS >> np.uint64(length)
        upper, lower = (self._rng.integers(_ALL_BITS, size=len(networks), dtype=np.uint64, endpoint=True) for _ in "ab")
        return np.column_stack([(networks & ~hosts) | (upper & hosts), lower])


def _keys(pairs: Pairing) -> NDArray[np.uint64]:
    """Return a hash of entity and address.

    Among a billion pairs, two have the same hash with a probability of 3 %.
    """
    mixed = pairs.numbers.astype(np.uint64)
    for part in pairs.ips.T:
        mixed = hash_numbers(mixed ^ part)
    return mixed
