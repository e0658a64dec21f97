"""The history of a model: which entity was seen at which address, and how often.

It is personal data. Entities are 64-bit hashes under a fixed key, addresses are in clear. An IPv4 row takes 8 bytes, an
IPv6 row 12, and an entity 12. Of an IPv6 address only the upper half, its /64, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model.pair_counting import concatenate, count_rows, hash_numbers, numbered, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ipinsights.model.pair_counting import Addresses, CountedPairs

__all__ = ["FamilyRows", "PairHistory", "column_types"]


@dataclass(frozen=True)
class FamilyRows:
    """Distinct pairs of one address family, sorted by entity and then by address."""

    # Index of the first row of each entity, and the number of all rows at the end, shape (num_entities + 1,).
    starts: NDArray[np.uint32]
    addresses: Addresses  # IPv4 addresses (uint32), or the upper halves of IPv6 addresses (uint64), shape (n,)
    counts: NDArray[np.uint32]  # how often each pair occurred, at least 1, shape (n,)

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def owners(self) -> NDArray[np.int64]:
        """Entity number of each row, shape (n,)."""
        starts = self.starts.astype(np.int64)
        return np.repeat(np.arange(len(starts) - 1), starts[1:] - starts[:-1])

    @cached_property
    def num_events(self) -> int:
        """How many events the rows stand for."""
        return int(self.counts.sum(dtype=np.int64))

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays in the order of their attributes."""
        return self.starts, self.addresses, self.counts

    def check(self, num_entities: int) -> None:
        """Raise a ValueError if the arrays do not fit together: the file they come from is damaged."""
        sizes = np.diff(self.starts.astype(np.int64))
        if len(sizes) != num_entities or self.starts[0] != 0 or self.starts[-1] != len(self) or (sizes < 0).any():
            raise ValueError("the rows of its history do not fit its entities")
        is_new_owner = np.zeros(len(self) + 1, dtype=bool)
        is_new_owner[self.starts] = True
        ascending = self.addresses[1:] > self.addresses[:-1]
        if len(self.counts) != len(self) or not (ascending | is_new_owner[1:-1]).all() or not self.counts.all():
            raise ValueError("the rows of its history are not sorted and counted")


@dataclass(frozen=True)
class PairHistory:
    """Distinct pairs of entity and address with their counts.

    >>> import numpy as np
    >>> entities = np.array([7, 7, 3], dtype=np.uint64)
    >>> history = PairHistory.from_pairs(entities, np.array([1, 1, 2], dtype=np.uint32))
    >>> history.entities, history.ipv4.addresses, history.ipv4.counts
    (array([3, 7], dtype=uint64), array([2, 1], dtype=uint32), array([1, 2], dtype=uint32))
    """

    # Hashes of the distinct entities, ascending, shape (num_entities,).
    entities: NDArray[np.uint64]
    ipv4: FamilyRows
    ipv6: FamilyRows | None = None  # None for a model of IPv4 only

    @classmethod
    def from_pairs(
        cls,
        entities: NDArray[np.uint64],
        ips: NDArray[np.uint32],
        ipv6: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None,
    ) -> PairHistory:
        """Build a history from the entity hashes and addresses of rows of data, (n,) each.

        Of IPv6 addresses these are the upper halves. None for a model of IPv4 only.
        """
        return cls.from_counts((entities, ips, None), None if ipv6 is None else (*ipv6, None))

    @classmethod
    def from_counts(cls, ipv4: CountedPairs, ipv6: CountedPairs | None = None) -> PairHistory:
        """Build a history from counted pairs in any order. The counts of equal pairs are added.

        A family has entity hashes, addresses and counts, (n,) each. Counts of None are all 1.
        """
        families = [family for family in (ipv4, ipv6) if family is not None]
        entities, numbers = numbered(np.concatenate([family[0] for family in families]))
        parts = np.split(numbers, [len(ipv4[0])])
        rows = [
            FamilyRows(*count_rows(part, family[1], family[2], len(entities)))
            for part, family in zip(parts, families, strict=False)
        ]
        return cls(entities, *rows)

    @property
    def num_rows(self) -> int:
        """Number of distinct pairs of both families."""
        return sum(map(len, self._families))

    @property
    def num_events(self) -> int:
        """Number of events that the pairs stand for."""
        return sum(family.num_events for family in self._families)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by the names of their members in an artifact."""
        names = ("starts", "addresses", "counts")
        arrays: dict[str, NDArray[Any]] = {"entities": self.entities}
        for prefix, family in zip(("ipv4", "ipv6"), self._families, strict=False):
            arrays.update({f"{prefix}_{name}": array for name, array in zip(names, family.arrays, strict=True)})
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PairHistory:
        """Return the history of some :attr:`arrays`. Missing or contradictory ones are a ValueError."""
        families = ("ipv4", "ipv6") if "ipv6_starts" in arrays else ("ipv4",)
        names = [f"{family}_{name}" for family in families for name in ("starts", "addresses", "counts")]
        if missing := [name for name in ("entities", *names) if name not in arrays]:
            raise ValueError(f"its history has no {missing[0]}")
        rows = [FamilyRows(*(arrays[name] for name in names[start : start + 3])) for start in range(0, len(names), 3)]
        history = cls(arrays["entities"], *rows)
        if not (history.entities[1:] > history.entities[:-1]).all():
            raise ValueError("the entities of its history are not sorted")
        for family in rows:
            family.check(len(history.entities))
        return history

    def numbers(self, entities: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of each entity hash, ``num_entities`` if unknown, shape (n,)."""
        at = np.searchsorted(self.entities, entities)
        found = self.entities.take(at, mode="clip") == entities if len(self.entities) else np.zeros(len(at), dtype=bool)
        return np.where(found, at, len(self.entities))

    def num_rows_of(self, entity: int) -> int:
        """Return the number of distinct pairs of an entity, given its hash, 0 if unknown."""
        number = int(self.numbers(np.array([entity], dtype=np.uint64))[0])
        if number == len(self.entities):
            return 0
        return sum(int(family.starts[number + 1]) - int(family.starts[number]) for family in self._families)

    def merge(self, *others: PairHistory) -> PairHistory:
        """Return the history of the rows of all: as if it had been built from all of them at once."""
        histories = (self, *others)
        ipv6 = [history.counted(history.ipv6) for history in histories if history.ipv6 is not None]
        ipv4 = [history.counted(history.ipv4) for history in histories]
        return PairHistory.from_counts(concatenate(ipv4), concatenate(ipv6) if ipv6 else None)

    def counted(self, rows: FamilyRows) -> CountedPairs:
        """Return the entity hashes, addresses and counts of the rows of a family, (n,) each."""
        return self.entities[rows.owners], rows.addresses, rows.counts

    def empty(self) -> PairHistory:
        """Return a history of the same address families without any rows."""
        nothing = [(family.addresses[:0], family.counts[:0]) for family in self._families]
        return PairHistory.from_counts(*((self.entities[:0], *columns) for columns in nothing))

    def forget(self, entity: int) -> PairHistory:
        """Return the history without the rows, the counts and the hash of an entity."""
        return PairHistory.from_counts(*(without(self.counted(family), entity) for family in self._families))

    def bounded(self, rows_per_entity: int) -> PairHistory:
        """Return the history with the most frequent rows of each entity only, by address family.

        Of equally frequent ones, those whose mixed address is least are kept: a sample that depends on no order.
        """
        if all((np.diff(family.starts.astype(np.int64)) <= rows_per_entity).all() for family in self._families):
            return self
        return PairHistory.from_counts(*(self._most_frequent(family, rows_per_entity) for family in self._families))

    @property
    def _families(self) -> tuple[FamilyRows, ...]:
        return (self.ipv4,) if self.ipv6 is None else (self.ipv4, self.ipv6)

    def _most_frequent(self, rows: FamilyRows, rows_per_entity: int) -> CountedPairs:
        owners = rows.owners
        order = np.lexsort((hash_numbers(rows.addresses), -rows.counts.astype(np.int64), owners))
        rank = np.arange(len(rows)) - rows.starts.astype(np.int64)[owners]
        kept = order[rank < rows_per_entity]
        return self.entities[owners[kept]], rows.addresses[kept], rows.counts[kept]


def column_types(*, has_ipv6: bool) -> dict[str, str]:
    """Return the type of each of the :attr:`PairHistory.arrays` by name."""
    types = {"entities": "<u8", "ipv4_starts": "<u4", "ipv4_addresses": "<u4", "ipv4_counts": "<u4"}
    ipv6 = {"ipv6_starts": "<u4", "ipv6_addresses": "<u8", "ipv6_counts": "<u4"}
    return {**types, **ipv6} if has_ipv6 else types
