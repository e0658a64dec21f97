"""Attackers of growing strength: the entities and the addresses that they use.

Each attacker attacks once for every ordinary event, pretending to be that event's entity. So attacked entities are as
active as ordinary ones, and a score that only knows how active an entity is tells nothing. (Drawing victims uniformly
over entities, as the AWS tutorial does, lets exactly that score reach an AUC of 0.84 on the tutorial's own data.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.sampling import random_ips

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipinsights.evaluation.prefix_counts import PrefixCounts
    from ipinsights.synthetic.ip_ranges import Ranges

    # An address for each victim, and a mask of the addresses that are attacks.
    Proposal = tuple[NDArray[Any], NDArray[np.bool_]]

__all__ = ["Attack", "Draw", "Pairing", "draw_attacks", "everybody"]

_ROUNDS = 20
_HOST = np.uint32(0xFF)
_LOWER_HALF = np.uint32(0xFFFF)


@dataclass(frozen=True)
class Pairing:
    """Entities of training, by number, with addresses."""

    numbers: NDArray[np.int64]  # (n,)
    ips: NDArray[Any]  # IPv4: uint32, shape (n,). IPv6: upper and lower halves, uint64, shape (n, 2)

    def __len__(self) -> int:
        return len(self.ips)

    def __getitem__(self, part: NDArray[np.int64] | NDArray[np.bool_]) -> Pairing:
        """Return the selected pairs."""
        return Pairing(self.numbers[part], self.ips[part])

    @property
    def upper(self) -> NDArray[Any]:
        """IPv4 addresses, or upper halves of IPv6 addresses, shape (n,)."""
        return self.ips if self.ips.ndim == 1 else self.ips[:, 0]


@dataclass(frozen=True)
class Attack:
    """Attacks of one attacker."""

    name: str  # where the addresses are from
    victims: NDArray[np.int64]  # the ordinary event that each attack is matched with, (m,), ascending
    pairs: Pairing  # entities attacked and addresses used, (m,)
    num_removed: int  # ordinary events that found no attack: whatever was drawn is what the entity itself uses


def draw_attacks(
    history: PrefixCounts, ordinary: Pairing, *, ranges: Ranges | None, rng: np.random.Generator
) -> list[Attack]:
    """Return the attacks of every attacker on ordinary events, the weakest first.

    A pair that occurs in training or among the ordinary events is no attack, and drawn anew. Without ``ranges`` the
    attacker who needs them is left out.
    """
    draw = _Ipv4Draw(history, ordinary, rng)
    proposals: dict[str, Callable[[Pairing], Proposal]] = {"random addresses": draw.anywhere}
    if ranges is not None:
        proposals["announced ranges"] = lambda victims: (
            ranges.draw_anywhere(len(victims), rng=rng), everybody(victims)
        )  # fmt: skip
    proposals |= {
        "other entities' addresses": draw.address_of_another,
        "other entities' networks": draw.network_of_another,
        "the victim's own /16": draw.own_neighbourhood,
    }
    return draw.attacks(proposals)


class Draw:
    """Draws addresses for victims, again and again until they are an attacker's.

    ``keys`` returns a number for each pair. ``training`` are the pairs that occur in training.
    """

    def __init__(
        self,
        training: Pairing,
        ordinary: Pairing,
        keys: Callable[[Pairing], NDArray[np.uint64]],
        rng: np.random.Generator,
    ) -> None:
        self._ordinary = ordinary
        self._rng = rng
        self._keys = keys
        self._own_keys = np.sort(np.concatenate([keys(training), keys(ordinary)]))

    def attacks(self, proposals: dict[str, Callable[[Pairing], Proposal]]) -> list[Attack]:
        """Return the attacks of each attacker by name."""
        return [self._attack(name, propose) for name, propose in proposals.items()]

    def _attack(self, name: str, propose: Callable[[Pairing], Proposal]) -> Attack:
        ips = np.zeros_like(self._ordinary.ips)
        missing = np.arange(len(ips))
        for _ in range(_ROUNDS):
            victims = self._ordinary[missing]
            proposed, good = propose(victims)
            # A pair that occurs in training or among the ordinary events is no attack.
            keys = self._keys(Pairing(victims.numbers, proposed))
            good = good & (self._own_keys.take(np.searchsorted(self._own_keys, keys), mode="clip") != keys)
            ips[missing[good]] = proposed[good]
            missing = missing[~good]
            if not len(missing):
                break
        victims_left = np.delete(np.arange(len(ips)), missing)
        pairs = Pairing(self._ordinary.numbers, ips)[victims_left]
        return Attack(name, victims_left, pairs, num_removed=len(missing))


class _Ipv4Draw(Draw):
    def __init__(self, history: PrefixCounts, ordinary: Pairing, rng: np.random.Generator) -> None:
        super().__init__(Pairing(*history.row(np.arange(len(history)))), ordinary, _keys, rng)
        self._history = history

    def anywhere(self, victims: Pairing) -> Proposal:
        """Propose random IPv4 addresses, as SageMaker's own metric does.

        An eighth of these addresses cannot be the source of a connection.
        """
        return random_ips(len(victims), rng=self._rng), everybody(victims)

    def address_of_another(self, victims: Pairing) -> Proposal:
        """Propose the address of a random training row of another entity."""
        numbers, ips = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        return ips, numbers != victims.numbers

    def network_of_another(self, victims: Pairing) -> Proposal:
        """Propose an unseen host in the /24 of a random training row of another entity."""
        ips, is_other = self.address_of_another(victims)
        ips = (ips & ~_HOST) | (random_ips(len(victims), rng=self._rng) & _HOST)
        return ips, is_other & (self._history.crowd_counts(ips, 32) == 0)

    def own_neighbourhood(self, victims: Pairing) -> Proposal:
        """Propose a /24 that the victim never used, in the /16 of a random training row of theirs."""
        _, ips = self._history.row(self._rng.integers(*self._history.rows_of(victims.numbers)))
        ips = (ips & ~_LOWER_HALF) | (random_ips(len(victims), rng=self._rng) & _LOWER_HALF)
        return ips, self._history.counts(victims.numbers, ips, 24) == 0


def everybody(victims: Pairing) -> NDArray[np.bool_]:
    """Return a mask of all victims."""
    return np.ones(len(victims), dtype=bool)


def _keys(pairs: Pairing) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = (pairs.numbers.astype(np.uint64) << np.uint64(32)) | pairs.ips
    return keys
