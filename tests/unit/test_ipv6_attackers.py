"""Attackers from IPv6: each comes from where it says, and no attack is what the victim did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.ipv6 import Ipv6Pairs
from ipinsights.evaluation.attackers import Pairing
from ipinsights.evaluation.ipv6_attackers import draw_ipv6_attacks
from ipinsights.evaluation.prefix_counts import Ipv6PrefixCounts

if TYPE_CHECKING:
    from ipinsights.evaluation.attackers import Attack

NUM_ENTITIES = 30


def draw(size: int, rng: np.random.Generator) -> Ipv6Pairs:
    """Draw rows of entities that have some /64 in two /48 of a /32 of their own."""
    entities = rng.integers(NUM_ENTITIES, size=size).astype(np.uint64)
    site, subnet = rng.integers(2, size=size).astype(np.uint64), rng.integers(9, size=size).astype(np.uint64)
    upper = (np.uint64(0x2A000000) + entities) << np.uint64(32) | site << np.uint64(16) | subnet
    return Ipv6Pairs(entities, upper, rng.integers(2**63, size=size).astype(np.uint64))


def rows_of(pairs: Pairing) -> set[tuple[int, int, int]]:
    """Return entities with both halves of their addresses."""
    return set(zip(pairs.numbers.tolist(), *pairs.ips.T.tolist(), strict=True))


class Case:
    """Training rows, ordinary events, and the attacks on them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.train = draw(600, rng)
        self.history = Ipv6PrefixCounts(self.train)
        test = draw(500, rng)
        self.ordinary = Pairing(self.history.numbers(test.entities), np.column_stack([test.upper, test.lower]))
        found = draw_ipv6_attacks(self.history, self.ordinary, rng=rng)
        self.attacks = {attack.name: attack for attack in found}

    def networks(self, length: int) -> set[int]:
        """Return the networks of the training rows."""
        return set((self.train.upper >> np.uint64(64 - length)).tolist())

    def own(self, attack: Attack, length: int) -> list[bool]:
        """Return for each attack whether the victim was on its network."""
        counts = self.history.counts(attack.pairs.numbers, attack.pairs.upper, length)
        return [count > 0 for count in counts.tolist()]


@pytest.fixture(scope="module")
def case(seed: int) -> Case:
    """Draw once for all tests, under a seed that changes."""
    return Case(seed)


def test_the_weakest_attacker_is_first(case: Case) -> None:
    """The six attackers are sorted by strength."""
    assert list(case.attacks) == [
        "random addresses", "other entities' /32", "other entities' addresses", "other entities' /48",
        "the victim's own /32", "the victim's own /48",
    ]  # fmt: skip


def test_victims_are_those_of_ordinary_events(case: Case) -> None:
    """Each attack is on the entity of one event, and each event has an attack if possible."""
    for attack in case.attacks.values():
        assert attack.pairs.numbers.tolist() == case.ordinary.numbers[attack.victims].tolist()
        assert len(attack.victims) + attack.num_removed == len(case.ordinary)
        assert len(set(attack.victims.tolist())) == len(attack.victims)


def test_no_attack_is_what_the_victim_did(case: Case) -> None:
    """No attack is a pair of training or of the ordinary events, by the whole address."""
    numbers = case.history.numbers(case.train.entities)
    done = set(zip(numbers.tolist(), case.train.upper.tolist(), case.train.lower.tolist(), strict=True))
    done |= rows_of(case.ordinary)
    for attack in case.attacks.values():
        assert not done & rows_of(attack.pairs)


def test_random_addresses_are_in_use(case: Case) -> None:
    """Random addresses are in 2000::/3, and in no network of training."""
    upper = case.attacks["random addresses"].pairs.upper
    assert set((upper >> np.uint64(61)).tolist()) == {1}
    assert not set((upper >> np.uint64(32)).tolist()) & case.networks(32)


@pytest.mark.parametrize(
    ("name", "length"), [("other entities' /32", 32), ("other entities' /48", 48), ("other entities' addresses", 64)]
)
def test_attackers_from_networks_of_others(case: Case, name: str, length: int) -> None:
    """Their networks are of training, and but for the /32 of all they are not the victim's."""
    attack = case.attacks[name]
    upper = attack.pairs.upper
    assert set((upper >> np.uint64(64 - length)).tolist()) <= case.networks(length)
    if length > 32:
        assert not any(case.own(attack, length))


@pytest.mark.parametrize(("length", "new_at"), [(32, 48), (48, 64)])
def test_attackers_next_to_the_victim(case: Case, length: int, new_at: int) -> None:
    """Attacks next to the victim are in a new part of the victim's own network."""
    attack = case.attacks[f"the victim's own /{length}"]
    assert len(attack.victims) > 0
    assert all(case.own(attack, length))
    assert not any(case.own(attack, new_at))


def test_attacks_that_cannot_be_drawn_are_counted() -> None:
    """Where there is one entity, there is no other."""
    nothing = np.zeros(1, dtype=np.uint64)
    history = Ipv6PrefixCounts(Ipv6Pairs(nothing, nothing + np.uint64(2**61), nothing))
    ordinary = Pairing(np.zeros(3, dtype=np.int64), np.column_stack([np.zeros(3), np.arange(3)]).astype(np.uint64))
    attacks = draw_ipv6_attacks(history, ordinary, rng=np.random.default_rng(0))
    removed = {attack.name: attack.num_removed for attack in attacks}
    assert removed["other entities' addresses"] == removed["other entities' /48"] == 3
    assert removed["random addresses"] == 0


def test_the_same_seed_draws_the_same(seed: int) -> None:
    """The same seed draws the same attacks to the bit."""
    one, other = Case(seed), Case(seed)
    for name, attack in one.attacks.items():
        assert attack.pairs.ips.tolist() == other.attacks[name].pairs.ips.tolist()
