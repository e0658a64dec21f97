"""Attackers: addresses have the stated source, victims are matched, and pairs are unknown."""

from __future__ import annotations

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.attackers import Attack, Pairing, draw_attacks
from ipinsights.evaluation.prefix_counts import PrefixCounts
from ipinsights.synthetic.ip_ranges import Ranges

NUM_ENTITIES = 30


def history_of(rng: np.random.Generator) -> PrefixCounts:
    """Return rows of entities, each in two of 60 /16 networks."""
    numbers = np.concatenate([np.arange(NUM_ENTITIES), rng.integers(NUM_ENTITIES, size=3000)])
    networks = 0x0A00 + 2 * numbers + rng.integers(2, size=len(numbers))
    ips = (networks << 16) + rng.integers(2**10, size=len(numbers)) * 7
    return PrefixCounts(Pairs(numbers.astype(np.uint64), ips.astype(np.uint32)))


def drawn(rng: np.random.Generator, *, with_ranges: bool = True) -> tuple[PrefixCounts, Pairing, dict[str, Attack]]:
    """Return training rows, 500 ordinary events and the attacks on them by attacker."""
    history = history_of(rng)
    numbers = np.sort(rng.integers(NUM_ENTITIES, size=500))
    ordinary = Pairing(numbers, (0x0A000000 + (2 * numbers << 16) + rng.integers(2**16, size=500)).astype(np.uint32))
    ranges = Ranges(np.array([0x20000000], dtype=np.uint32), np.array([0x20FFFFFF], dtype=np.uint32))
    attacks = draw_attacks(history, ordinary, ranges=ranges if with_ranges else None, rng=rng)
    return history, ordinary, {attack.name: attack for attack in attacks}


def test_victims_are_matched_and_never_at_home(rng: np.random.Generator) -> None:
    """Each ordinary event is attacked once as its entity, by a pair that is not known.

    Known pairs are those of training and of the ordinary events.
    """
    history, ordinary, attacks = drawn(rng)
    own = set(zip(ordinary.numbers.tolist(), ordinary.ips.tolist(), strict=True))
    for attack in attacks.values():
        assert len(attack.victims) + attack.num_removed == len(ordinary)
        assert attack.pairs.numbers.tolist() == ordinary.numbers[attack.victims].tolist()
        assert (history.counts(attack.pairs.numbers, attack.pairs.ips, 32) == 0).all()
        assert own.isdisjoint(zip(attack.pairs.numbers.tolist(), attack.pairs.ips.tolist(), strict=True))


def test_where_they_come_from(rng: np.random.Generator) -> None:
    """The addresses of each attacker come from the networks that its name states."""
    history, _, attacks = drawn(rng)
    assert list(attacks) == ["random addresses", "announced ranges", "other entities' addresses",
                             "other entities' networks", "the victim's own /16"]  # fmt: skip
    # 500 uniform draws: some in every eighth of the addresses
    assert len(np.unique(attacks["random addresses"].pairs.ips >> 29)) == 8
    assert np.unique(attacks["announced ranges"].pairs.ips >> 24).tolist() == [0x20]
    addresses, networks, own = (list(attacks.values())[place].pairs for place in (2, 3, 4))
    assert (history.crowd_counts(addresses.ips, 32) > 0).all()
    assert (history.crowd_counts(networks.ips, 24) > 0).all()
    assert (history.crowd_counts(networks.ips, 32) == 0).all()
    for pairs in (addresses, networks):
        assert (history.counts(pairs.numbers, pairs.ips, 16) == 0).all()
    assert (history.counts(own.numbers, own.ips, 16) > 0).all()
    assert (history.counts(own.numbers, own.ips, 24) == 0).all()


def test_without_ranges_who_needs_them_stays_away(rng: np.random.Generator) -> None:
    """The others attack as before."""
    assert "announced ranges" not in drawn(rng, with_ranges=False)[2]


def test_where_nobody_else_is_there_is_no_attack(rng: np.random.Generator) -> None:
    """A lone entity has no others to come from: the attacks are given up, and counted."""
    history = PrefixCounts(Pairs(np.zeros(5, dtype=np.uint64), np.arange(5, dtype=np.uint32)))
    ordinary = Pairing(np.zeros(20, dtype=np.int64), np.arange(100, 120, dtype=np.uint32))
    attacks = {attack.name: attack for attack in draw_attacks(history, ordinary, ranges=None, rng=rng)}
    for name in ("other entities' addresses", "other entities' networks"):
        assert (len(attacks[name].pairs), attacks[name].num_removed) == (0, 20)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_seed_gives_one_set_of_attacks(seed: int) -> None:
    """So that two evaluations can be compared."""
    first, second = (drawn(np.random.default_rng(seed))[2] for _ in range(2))
    for name, attack in first.items():
        assert attack.pairs.ips.tolist() == second[name].pairs.ips.tolist()
