"""The history scorer: training pairs and the network in one score. HIGHER IS MORE NORMAL.

    score = log p(address | entity) - log attack(address | entity) + 0.05 * dot product

It has no fitted parameters. ``p`` comes from the entity's own rows and other entities' traffic, ``attack`` from a fixed
mixture of attackers (:mod:`ipinsights.inference.history_density`). The network sees IPv4 only: of an IPv6 address, and
of an entity that the history does not know, the score is without the dot product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.errors import ClientError
from ipinsights.inference.history_counts import CrowdCounts, OwnCounts
from ipinsights.inference.history_density import Evidence, Step, attack_densities, steps
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.prefix_tables import CrowdTable, OwnTable, RowsByAddress
from ipinsights.inference.prefix_trie import IPV4, IPV6
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.history_settings import NETWORK_WEIGHT, SCORER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.prefix_trie import AddressFamily
    from ipinsights.model.artifact import Artifact
    from ipinsights.model.pair_history import FamilyRows, PairHistory

    Addresses = NDArray[np.uint32] | NDArray[np.uint64]

__all__ = ["Densities", "HistoryScorer", "HistoryTables"]

# Rows whose intermediate results stay in the processor's cache.
_BATCH = 2**15


@dataclass(frozen=True)
class Densities:
    """Densities of some pairs, relative to uniform, (n,) each."""

    steps: list[Step]  # steps from nothing to the address
    entity: NDArray[np.float64]  # density for the entity
    crowd: NDArray[np.float64]  # density by other entities' traffic
    attackers: dict[str, NDArray[np.float32]]  # weighted densities by attacker, whose sum is that of all

    @classmethod
    def of(cls, evidence: Evidence) -> Densities:
        """Return the densities that follow from what a history knows."""
        taken = steps(evidence)
        # At most 2^64 and at least 1e-6 ^ 9: a product needs fewer logarithms than a sum, and does not overflow.
        entity, crowd = np.ones((2, len(evidence.addresses)))
        for step in taken:
            entity *= step.factor
            crowd *= step.crowd
        return cls(taken, entity, crowd, attack_densities(evidence, crowd.astype(np.float32)))

    @property
    def log_ratio(self) -> NDArray[np.float64]:
        """Logarithm of the entity's density over the attackers', in nats, shape (n,)."""
        ratio: NDArray[np.float64] = np.log(self.entity / reduce(np.add, self.attackers.values()).astype(np.float64))
        return ratio


class HistoryTables:
    """Counts of a history by prefix, derived once when a model is loaded."""

    def __init__(self, history: PairHistory) -> None:
        self.history = history
        self._ipv4 = _FamilyTables(IPV4, history.ipv4)
        self._ipv6 = None if history.ipv6 is None else _FamilyTables(IPV6, history.ipv6)
        self._num_events = history.num_events
        self._root = None if self._ipv6 is None else _Root([self._ipv4, self._ipv6])

    def densities(self, numbers: NDArray[np.int64], addresses: Addresses) -> Densities:
        """Return the densities of pairs of an entity and an address, (n,) each.

        Entities are numbers in the history. IPv4 addresses are uint32, upper halves of IPv6 addresses uint64.
        """
        return Densities.of(self.evidence(numbers, addresses))

    def evidence(self, numbers: NDArray[np.int64], addresses: Addresses) -> Evidence:
        """Return what the history knows about pairs, see :meth:`densities`."""
        is_ipv4 = addresses.dtype == np.uint32
        tables = self._ipv4 if is_ipv4 else self._ipv6
        if tables is None:
            raise ClientError("This model was trained without IPv6. Train it with ipv6 to score IPv6 addresses.")
        own, crowd = tables.look_up(numbers, addresses)
        root = None if self._root is None else self._root.step(numbers, 0 if is_ipv4 else 1)
        num_own = own[0].count if self._root is None else self._root.counts(numbers).sum(axis=1).astype(np.float32)
        return Evidence(tables.family, addresses, own, crowd, num_own, self._num_events, tables.num_prefixes, root)


class HistoryScorer:
    """Scorer of (entity, address) pairs by the history of a model. Higher is more normal."""

    name = SCORER

    def __init__(self, model: Artifact) -> None:
        if model.history is None:
            raise ClientError("This model has no history. Train it with keep_history to use the scorer 'history'.")
        self.predictor = Predictor(model)
        self.history = model.history
        # of the data that the history was built from
        self.source_fingerprints = HistoryRecord.read(model.meta).fingerprints
        self.tables = HistoryTables(model.history)

    @property
    def accepts_ipv6(self) -> bool:
        """Whether the history has IPv6 rows, so that IPv6 addresses can be scored."""
        return self.history.ipv6 is not None

    def score_rows(self, rows: Pairs) -> NDArray[np.float32]:
        """Return the score of each row, of both address families, shape (n,)."""
        if rows.addresses is None:
            return self.score(rows.entities, rows.ips)
        is_ipv6 = rows.addresses.is_ipv6
        scores = np.empty(len(is_ipv6), dtype=np.float32)
        scores[~is_ipv6] = self.score(rows.entities[~is_ipv6], rows.ips[~is_ipv6])
        scores[is_ipv6] = self.log_ratios(rows.entities[is_ipv6], rows.addresses.upper[is_ipv6])
        return scores

    def score(self, entities: NDArray[np.uint64], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the score of each entity hash and IPv4 address, in nats, shape (n,)."""
        scores = self.log_ratios(entities, ips)
        network = np.float32(NETWORK_WEIGHT) * self.predictor.score(entities, ips)
        scores += np.where(self.entity_known(entities), network, 0)
        return scores

    def entity_known(self, entities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether the history has each hashed entity (n,). The answer is exact."""
        known: NDArray[np.bool_] = self.history.numbers(entities) < len(self.history.entities)
        return known

    def log_ratios(self, entities: NDArray[np.uint64], addresses: Addresses) -> NDArray[np.float32]:
        """Return the scores of entity hashes and addresses (n,) without the network.

        IPv4 addresses are uint32, upper halves of IPv6 addresses uint64.
        """
        # The rows of an entity are neighbours in memory.
        order = np.argsort(entities)
        scores = np.empty(len(entities), dtype=np.float32)
        for start in range(0, len(entities), _BATCH):
            part = order[start : start + _BATCH]
            numbers = self.history.numbers(entities[part])
            scores[part] = self.tables.densities(numbers, addresses[part]).log_ratio
        return scores


class _FamilyTables:
    def __init__(self, family: AddressFamily, rows: FamilyRows) -> None:
        self.family = family
        self.rows = rows
        self.num_prefixes = dict.fromkeys(family.levels, 0)
        if len(rows) == 0:
            return
        by_address = RowsByAddress.of(rows.addresses)
        self._own = OwnTable(family, rows, by_address.ranks())
        self._crowd = CrowdTable(family, by_address, self._own, rows)
        self.num_prefixes = self._crowd.num_prefixes
        self._own.drop_shared()

    def look_up(self, numbers: NDArray[np.int64], addresses: Addresses) -> tuple[list[OwnCounts], list[CrowdCounts]]:
        if len(self.rows) == 0:
            size, num_levels = len(addresses), len(self.family.levels)
            return [OwnCounts.nothing(size)] * num_levels, [CrowdCounts.nothing(size)] * num_levels
        ranks = self._crowd.ranks(addresses)
        own = self._own.look_up(self._own.trie.find(addresses, ranks, numbers))
        return own, self._crowd.look_up(self._crowd.trie.find(addresses, ranks))


class _Root:
    """The step from nothing to the address family, of a model that knows two."""

    def __init__(self, families: list[_FamilyTables]) -> None:
        events = [
            np.bincount(family.rows.owners, weights=family.rows.counts, minlength=len(family.rows.starts) - 1)
            for family in families
        ]
        # (num_entities + 1, 2): the last row is that of unknown entities
        self._counts = np.append(np.column_stack(events), np.zeros((1, 2)), axis=0)
        self._entities = np.count_nonzero(self._counts, axis=0)

    def counts(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the events of each entity by family, shape (n, 2)."""
        return self._counts[numbers]

    def step(self, numbers: NDArray[np.int64], family: int) -> Step:
        counts = self.counts(numbers)
        of_families = OwnCounts.of(counts, np.zeros_like(counts), np.zeros_like(counts))
        tenths = np.rint(10 * (counts - of_families.kept)).sum(axis=1)
        parent = OwnCounts.of(counts.sum(axis=1), tenths, np.count_nonzero(counts, axis=1))
        everybody = np.array([self._entities[family], self._entities.sum(), np.count_nonzero(self._entities) + 1, 0])
        columns = np.repeat(everybody[:, np.newaxis].astype(np.float32), len(numbers), axis=1)
        return Step.of(1, parent, of_families.kept[:, family], CrowdCounts(*columns))
