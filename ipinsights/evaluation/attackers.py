"""Attackers of growing strength: whom they pretend to be, and from where they come.

Each attacker attacks once for every ordinary event, pretending to be that event's entity. So attacked entities are as
active as ordinary ones, and a score that only knows how active an entity is tells nothing. (Drawing victims uniformly
over entities, as the AWS tutorial does, lets exactly that score reach an AUC of 0.84 on the tutorial's own data.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.sampling import random_ips

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipinsights.evaluation.prefix_counts import PrefixCounts
    from ipinsights.synthetic.ip_ranges import Ranges

__all__ = ["Attack", "Pairing", "draw_attacks"]

_ROUNDS = 20
_HOST = np.uint32(0xFF)
_LOWER_HALF = np.uint32(0xFFFF)


@dataclass(frozen=True)
class Pairing:
    """Entities of training, by number, with addresses, both (n,)."""

    numbers: NDArray[np.int64]
    ips: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ips)

    def __getitem__(self, part: NDArray[np.int64] | NDArray[np.bool_]) -> Pairing:
        """Return the selected pairs."""
        return Pairing(self.numbers[part], self.ips[part])


@dataclass(frozen=True)
class Attack:
    """What one attacker does.

    Attributes
    ----------
    name
        Where the addresses are from.
    victims
        The ordinary event that each attack is matched with, shape (m,), ascending.
    pairs
        Entities attacked and addresses used, (m,).
    num_removed
        Ordinary events that found no attack: whatever was drawn is what the entity itself uses.
    """

    name: str
    victims: NDArray[np.int64]
    pairs: Pairing
    num_removed: int


def draw_attacks(
    history: PrefixCounts, ordinary: Pairing, *, ranges: Ranges | None, rng: np.random.Generator
) -> list[Attack]:
    """Return the attacks of every attacker, the weakest first.

    A pair that occurs in training or among the ordinary events is no attack, and drawn anew.

    Parameters
    ----------
    history
        Training rows.
    ordinary
        Ordinary events of entities that training saw.
    ranges
        Announced ranges. Without them the attacker who needs them is left out.
    rng
        Source of all randomness.
    """
    draw = _Draw(history, ordinary, rng)
    proposals: dict[str, Callable[[Pairing], tuple[NDArray[np.uint32], NDArray[np.bool_]]]] = {
        "random addresses": draw.anywhere,
        "other entities' addresses": draw.address_of_another,
        "other entities' networks": draw.network_of_another,
        "the victim's own /16": draw.own_neighbourhood,
    }
    if ranges is not None:
        proposals = {
            "random addresses": draw.anywhere,
            "announced ranges": lambda victims: (ranges.draw_anywhere(len(victims), rng=rng), _all(victims)),
            **proposals,
        }
    return [draw.attack(name, propose) for name, propose in proposals.items()]


class _Draw:
    """Draws addresses for victims, again and again until they are an attacker's."""

    def __init__(self, history: PrefixCounts, ordinary: Pairing, rng: np.random.Generator) -> None:
        self._history = history
        self._ordinary = ordinary
        self._rng = rng
        self._ordinary_keys = np.sort(_keys(ordinary))

    def attack(self, name: str, propose: Callable[[Pairing], tuple[NDArray[np.uint32], NDArray[np.bool_]]]) -> Attack:
        """Return the attacks of an attacker.

        ``propose`` returns an address for each victim and a mask of the addresses that are attacks.
        """
        ips = np.zeros(len(self._ordinary), dtype=np.uint32)
        missing = np.arange(len(self._ordinary))
        for _ in range(_ROUNDS):
            victims = self._ordinary[missing]
            proposed, good = propose(victims)
            good = good & ~self._is_own(Pairing(victims.numbers, proposed))
            ips[missing[good]] = proposed[good]
            missing = missing[~good]
        victims_left = np.delete(np.arange(len(ips)), missing)
        pairs = Pairing(self._ordinary.numbers, ips)[victims_left]
        return Attack(name, victims_left, pairs, num_removed=len(missing))

    def anywhere(self, victims: Pairing) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Propose random IPv4 addresses, as SageMaker's own metric does.

        An eighth of these addresses cannot be the source of a connection.
        """
        return random_ips(len(victims), rng=self._rng), _all(victims)

    def address_of_another(self, victims: Pairing) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Propose the address of a random training row of another entity."""
        numbers, ips = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        return ips, numbers != victims.numbers

    def network_of_another(self, victims: Pairing) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Propose an unseen host in the /24 of a random training row of another entity."""
        numbers, ips = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        ips = (ips & ~_HOST) | (random_ips(len(victims), rng=self._rng) & _HOST)
        return ips, (numbers != victims.numbers) & (self._history.crowd_counts(ips, 32) == 0)

    def own_neighbourhood(self, victims: Pairing) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Propose a /24 that the victim never used, in the /16 of a random training row of theirs."""
        _, ips = self._history.row(self._rng.integers(*self._history.rows_of(victims.numbers)))
        ips = (ips & ~_LOWER_HALF) | (random_ips(len(victims), rng=self._rng) & _LOWER_HALF)
        return ips, self._history.counts(victims.numbers, ips, 24) == 0

    def _is_own(self, pairs: Pairing) -> NDArray[np.bool_]:
        """Return a mask of the pairs that occur in training or among the ordinary events."""
        keys = _keys(pairs)
        at = np.minimum(np.searchsorted(self._ordinary_keys, keys), len(self._ordinary_keys) - 1)
        own: NDArray[np.bool_] = self._ordinary_keys[at] == keys
        return own | (self._history.counts(pairs.numbers, pairs.ips, 32) > 0)


def _all(victims: Pairing) -> NDArray[np.bool_]:
    return np.ones(len(victims), dtype=bool)


def _keys(pairs: Pairing) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = (pairs.numbers.astype(np.uint64) << np.uint64(32)) | pairs.ips
    return keys
