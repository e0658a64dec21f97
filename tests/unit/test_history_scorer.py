"""History scores are those of the formulas, computed for one pair at a time."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.inference.history_density import steps
from ipinsights.inference.history_scorer import HistoryScorer, HistoryTables
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

ENTITIES = [0, 3, 2**63, 2**64 - 1]
UNKNOWN = 99
# Few bits that differ, so that much is shared; both ends of the address space are among them.
IPV4 = st.tuples(st.sampled_from([0, 0x0A000000, 0xC0A80000, 2**32 - 2**20]), st.integers(0, 2**20 - 1)).map(sum)
IPV6 = st.tuples(
    st.sampled_from([0, 0x20010DB800000000, 0x2A000000 << 32, 2**64 - 2**36]), st.integers(0, 2**36 - 1)
).map(sum)
DISCOUNTS = {0: 0.0, 1: 0.6, 2: 0.4}
IPV4_LEVELS = [0, 8, 12, 16, 20, 24, 28, 32]
IPV6_LEVELS = [0, 12, 24, 32, 36, 40, 48, 56, 64]

Pairs = list[tuple[int, int]]


def rows(addresses: st.SearchStrategy[int], least: int = 0) -> st.SearchStrategy[Pairs]:
    """Return a strategy for rows of few entities."""
    few = st.lists(addresses, min_size=1, max_size=4).flatmap(st.sampled_from)
    return st.lists(st.tuples(st.sampled_from(ENTITIES), few), min_size=least, max_size=12)


def built(ipv4: Pairs, ipv6: Pairs | None = None) -> PairHistory:
    """Return the history of some rows."""
    entities, ips = (np.array([row[part] for row in ipv4], dtype=kind) for part, kind in ((0, "u8"), (1, "u4")))
    further = None if ipv6 is None else tuple(np.array([row[part] for row in ipv6], dtype=np.uint64) for part in (0, 1))
    return PairHistory.from_pairs(entities, ips, None if further is None else (further[0], further[1]))


class Formulas:
    """The formulas, for one pair at a time and in plain Python.

    A prefix is a tuple of the family and its bits as a text, so that the family is the first step of a longer path.
    """

    def __init__(self, ipv4: Pairs, ipv6: Pairs | None) -> None:
        self.has_both = ipv6 is not None
        self.events: Counter[tuple[int, str]] = Counter()
        for family, bits, pairs in ((4, 32, ipv4), (6, 64, ipv6 or [])):
            self.events.update((entity, f"{family}{address:0{bits}b}") for entity, address in pairs)

    def own(self, entity: int, prefix: str) -> int:
        """Return the events of an entity below a prefix."""
        return sum(count for (other, path), count in self.events.items() if other == entity and path.startswith(prefix))

    def others(self, entity: int, prefix: str) -> int:
        """Return the events of other entities below a prefix."""
        return sum(count for (other, path), count in self.events.items() if other != entity and path.startswith(prefix))

    def path(self, family: int, address: int) -> list[str]:
        """Return the prefixes of an address, the shortest first."""
        bits, levels = (32, IPV4_LEVELS) if family == 4 else (64, IPV6_LEVELS)
        prefixes = [f"{family}{address:0{bits}b}"[: 1 + level] for level in levels]
        return ["", *prefixes] if self.has_both else prefixes

    def score(self, entity: int, family: int, address: int) -> float:
        """Return the score without the network."""
        path = self.path(family, address)
        log_p = log_crowd = 0.0
        for parent, child in itertools.pairwise(path):
            # The first character of a path is the family, which is one bit like any other.
            share, escape, crowd = self.step(entity, parent, child, len(child) - len(parent))
            log_p += math.log(share + escape * crowd)
            log_crowd += math.log(crowd)
        attack = self.attack(entity, family, path, math.exp(log_crowd), address)
        return log_p - math.log(attack)

    def step(self, entity: int, parent: str, child: str, bits: int) -> tuple[float, float, float]:
        """Return share, escape and crowd of a step."""
        inside = {path[: len(child)] for (_, path) in self.events if path.startswith(parent)}
        counts = [self.own(entity, each) for each in inside]
        total = sum(counts)
        lost = sum(DISCOUNTS.get(count, 0.1) for count in counts)
        escape = min(max((0.1 + lost) / (total + 2), 1e-6), 1 - 1e-6) if total else 1.0
        own = self.own(entity, child)
        share = 2**bits * (1 - escape) * (own - DISCOUNTS.get(own, 0.1)) / (total - lost) if own else 0.0
        pairs = {(other, path[: len(child)]) for (other, path) in self.events if path.startswith(parent)}
        others = {pair for pair in pairs if pair[0] != entity}
        here = sum(path == child for _, path in others)
        crowd = (2**bits * here + len(inside) + 1) / (len(others) + len(inside) + 1)
        return share, escape, crowd

    def attack(self, entity: int, family: int, path: list[str], crowd: float, address: int) -> float:
        """Return the density of the attackers' mixture."""
        by_length = {len(prefix) - 1: prefix for prefix in path if prefix}
        scale = 2 if self.has_both else 1
        own, others = self.own(entity, ""), max(self.others(entity, ""), 1)

        def of_others(length: int) -> float:
            return scale * 2.0**length * self.others(entity, by_length[length]) / others

        def of_own(length: int) -> float:
            return scale * 2.0**length * self.own(entity, by_length[length]) / max(own, 1)

        def seen(length: int) -> bool:
            return any(name.startswith(by_length[length]) for _, name in self.events)

        def known(length: int) -> float:
            distinct = len({name[: 1 + length] for _, name in self.events if name[0] == "6"})
            family_step = self.step(entity, "", "6", 1)[2]
            return family_step * 2.0**length / max(distinct, 1) * (self.others(entity, by_length[length]) > 0)

        if family == 4:
            terms = [1.0, crowd, 0.25 * of_others(24) * (not seen(32)), 0.125 * of_others(32)]
            return (sum(terms) + 0.75 * of_own(16) * (not self.own(entity, by_length[24]))) / 3.125
        anywhere = 8.0 if address >> 61 == 1 else 1e-6
        terms = [anywhere, 0.3 * crowd, 0.03 * known(12) * (not seen(32)), 0.3 * known(32) * (not seen(48))]
        terms += [of_others(48) * (not seen(64)), 0.3 * of_others(64)]
        terms += [0.3 * of_own(32) * (not self.own(entity, by_length[48]))]
        return (sum(terms) + 0.1 * of_own(48) * (not self.own(entity, by_length[64]))) / 3.33


@given(rows(IPV4, 1), st.lists(IPV4, max_size=4))
def test_ipv4_scores_are_those_of_the_formulas(ipv4: Pairs, further: list[int]) -> None:
    """The score of every entity, known or not, at any address is that of the formulas."""
    tables, formulas = HistoryTables(built(ipv4)), Formulas(ipv4, None)
    asked = [*dict.fromkeys([ip for _, ip in ipv4] + further)]
    for entity in [*ENTITIES[:2], ENTITIES[3], UNKNOWN]:
        numbers = tables.history.numbers(np.full(len(asked), entity, dtype=np.uint64))
        scores = tables.densities(numbers, np.array(asked, dtype=np.uint32)).log_ratio
        assert scores == pytest.approx([formulas.score(entity, 4, ip) for ip in asked], abs=1e-4)


@given(rows(IPV4), rows(IPV6), st.lists(IPV6, max_size=3), st.lists(IPV4, max_size=2))
def test_scores_of_both_families_are_those_of_the_formulas(
    ipv4: Pairs, ipv6: Pairs, further: list[int], further_ipv4: list[int]
) -> None:
    """The family is the first step: an entity that never used it pays for that."""
    if not ipv4 and not ipv6:
        return
    tables, formulas = HistoryTables(built(ipv4, ipv6)), Formulas(ipv4, ipv6)
    for family, pairs, more in ((4, ipv4, further_ipv4), (6, ipv6, further)):
        asked = [*dict.fromkeys([address for _, address in pairs] + more)]
        addresses = np.array(asked, dtype=np.uint32) if family == 4 else np.array(asked, dtype=np.uint64)
        for entity in [*ENTITIES, UNKNOWN] if asked else []:
            numbers = tables.history.numbers(np.full(len(asked), entity, dtype=np.uint64))
            scores = tables.densities(numbers, addresses).log_ratio
            assert scores == pytest.approx([formulas.score(entity, family, each) for each in asked], abs=1e-4)


@given(rows(IPV4, 1))
def test_escape_and_shares_of_one_entity_sum_to_one(ipv4: Pairs) -> None:
    """What an entity gives to known prefixes and to new ones is all there is, at every step."""
    pairs = [(7, ip) for _, ip in ipv4]
    tables = HistoryTables(built(pairs))
    addresses = np.array(sorted({ip for _, ip in pairs}), dtype=np.uint32)
    taken = steps(tables.evidence(np.zeros(len(addresses), dtype=np.int64), addresses))
    for step, (parent, level) in zip(taken, itertools.pairwise(IPV4_LEVELS), strict=True):
        children: dict[tuple[int, int], float] = {}
        for place, address in enumerate(addresses.tolist()):
            children[address >> (32 - parent), address >> (32 - level)] = float(step.share[place]) / 2 ** (
                level - parent
            )
        for place, address in enumerate(addresses.tolist()):
            known = sum(share for (above, _), share in children.items() if above == address >> (32 - parent))
            assert known + float(step.escape[place]) == pytest.approx(1, abs=1e-5)


@given(rows(IPV4, 1), st.lists(IPV4, min_size=1, max_size=5))
def test_an_empty_crowd_is_uniform(ipv4: Pairs, asked: list[int]) -> None:
    """Where there is nobody else, every address is as likely by others' traffic."""
    tables = HistoryTables(built([(7, ip) for _, ip in ipv4]))
    densities = tables.densities(np.zeros(len(asked), dtype=np.int64), np.array(asked, dtype=np.uint32))
    assert densities.crowd == pytest.approx(np.ones(len(asked)), rel=1e-5)


def test_a_whole_network() -> None:
    """All 65,536 addresses of a /16 are found, and the next one is unknown from /16 on."""
    ips = np.arange(0x0A000000, 0x0A010000, dtype=np.uint32)
    tables = HistoryTables(PairHistory.from_pairs(np.full(len(ips), 7, dtype=np.uint64), ips))
    zeros = np.zeros(len(ips), dtype=np.int64)
    own = tables.evidence(zeros, ips).own
    assert (own[-1].count == 1).all()
    assert (own[3].count == 65536).all()
    beside = tables.evidence(zeros[:1], np.array([0x0A010000], dtype=np.uint32)).own
    assert [int(counts.count[0]) for counts in beside] == [65536, 65536, 65536, 0, 0, 0, 0, 0]


def test_merged_counts_score_as_repeated_rows() -> None:
    """Counts over a thousand, which have lines of their own in the tables, are exact."""
    pairs = [(3, 1)] * 1023 + [(3, 2)] * 1024 + [(0, 2)] * 5
    tables, formulas = HistoryTables(built(pairs)), Formulas(pairs, None)
    scores = tables.densities(np.array([1, 1, 0]), np.array([1, 2, 1], dtype=np.uint32)).log_ratio
    assert scores == pytest.approx([formulas.score(e, 4, ip) for e, ip in ((3, 1), (3, 2), (0, 1))], abs=1e-4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a random model whose history has two entities."""
    save_random_model(tmp_path, num_entities=16, vector_dim=4, rng=np.random.default_rng(0))
    history = built([(3, 1), (3, 2), (0, 2)])
    record = HistoryRecord([{"kind": "training", "num_rows": 3, "num_entities": 2, "fingerprint": "f"}])
    artifact.replace_history(tmp_path, artifact.load(tmp_path), history, record)
    return tmp_path


class TestScorer:
    """A model with a history."""

    def test_the_network_counts_a_twentieth(self, model: Path) -> None:
        """The score is that of the history plus 0.05 of the dot product, but for unknown entities."""
        scorer = HistoryScorer(artifact.load(model))
        entities, ips = np.array([3, 0, UNKNOWN, 3], dtype=np.uint64), np.array([1, 2, 3, 2**31], dtype=np.uint32)
        alone = scorer.log_ratios(entities, ips)
        dot = scorer.predictor.score(entities, ips)
        expected = alone + 0.05 * dot * np.array([1, 1, 0, 1])
        assert scorer.score(entities, ips) == pytest.approx(expected, abs=1e-6)
        assert scorer.entity_known(entities).tolist() == [True, True, False, True]

    def test_order_does_not_matter(self, model: Path) -> None:
        """Each row has its score, wherever it stands."""
        scorer = HistoryScorer(artifact.load(model))
        entities, ips = np.array([3, 0, UNKNOWN, 3], dtype=np.uint64), np.array([1, 2, 3, 2**31], dtype=np.uint32)
        order = np.array([2, 0, 3, 1])
        assert scorer.score(entities[order], ips[order]).tolist() == scorer.score(entities, ips)[order].tolist()
        assert len(scorer.score(entities[:0], ips[:0])) == 0

    def test_ipv6_without_ipv6(self, model: Path) -> None:
        """A history of IPv4 only refuses IPv6 addresses."""
        scorer = HistoryScorer(artifact.load(model))
        with pytest.raises(ClientError) as refused:
            scorer.log_ratios(np.array([3], dtype=np.uint64), np.array([1], dtype=np.uint64))
        assert str(refused.value) == "This model was trained without IPv6. Train it with ipv6 to score IPv6 addresses."

    def test_memory_of_a_pair(self, model: Path) -> None:
        """The tables of many pairs take less than 120 bytes each, the mapped history included."""
        del model
        rng = np.random.default_rng(0)
        entities = rng.integers(0, 3000, size=50_000).astype(np.uint64)
        history = PairHistory.from_pairs(entities, rng.integers(0, 2**32, size=50_000, dtype=np.uint32))
        assert len(pickle.dumps(HistoryTables(history))) / history.num_rows < 120
