"""Counts of a history by prefix: of each entity's own rows, and of all rows.

A table has a line for each node that several rows share. Most rows are alone on a long prefix. All of these whose
counts are equal share a line, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.inference.history_counts import CrowdCounts, OwnCounts, tenths_of
from ipinsights.inference.prefix_trie import PrefixTrie

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.inference.prefix_trie import AddressFamily, Found
    from ipinsights.model.pair_history import FamilyRows

__all__ = ["CrowdTable", "OwnTable", "RowsByAddress"]

# Counts up to here are common: rows that are alone and have the same ones share a line of a table.
_SMALL = 2**10


@dataclass(frozen=True)
class RowsByAddress:
    """The rows of a history in the order of their addresses."""

    distinct: NDArray[Any]  # distinct addresses, ascending, shape (m,)
    order: NDArray[np.int64]  # rows in the order of their addresses, shape (n,)
    bounds: NDArray[np.int64]  # begins of the rows of each address in that order, and their end, shape (m + 1,)

    @classmethod
    def of(cls, addresses: NDArray[Any]) -> RowsByAddress:
        """Sort the addresses of rows, shape (n,)."""
        order = np.argsort(addresses, kind="stable")
        ascending = addresses[order]
        begins = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
        return cls(ascending[begins], order, np.append(begins, len(addresses)))

    def ranks(self) -> NDArray[np.int64]:
        """Return the rank of each row's address among the distinct ones, shape (n,)."""
        ranks = np.empty(len(self.order), dtype=np.int64)
        ranks[self.order] = np.repeat(np.arange(len(self.distinct)), np.diff(self.bounds))
        return ranks


class OwnTable:
    """Counts of each entity's own rows, at least one, by prefix.

    ``ranks`` are those of each row's address among the distinct ones, shape (n,).
    """

    def __init__(self, family: AddressFamily, rows: FamilyRows, ranks: NDArray[np.int64]) -> None:
        self.trie = PrefixTrie(family, rows.addresses, rows.owners, ranks)
        self.shared = self.trie.shared_levels()
        self._counts = rows.counts
        counts = rows.counts.astype(np.int64)
        examples, alone = _alone([counts])
        lines = _own_lines(counts[examples], tenths_of(counts[examples]), np.ones(len(examples)))
        sums = _running_sums(counts)
        self._tables = []
        for branch in self.trie.branches(self.shared, alone):
            inner = sums[branch.inner_ends] - sums[branch.inner_starts]
            tenths = np.add.reduceat(tenths_of(inner), branch.firsts) if len(inner) else inner
            shared = _own_lines(sums[branch.ends] - sums[branch.starts], tenths, branch.num_inside)
            self._tables.append(np.concatenate([shared, lines, _own_lines(*np.zeros((3, 1)))]))

    def drop_shared(self) -> None:
        """Free memory that is needed to build the table of the crowd, and not to look up."""
        self.shared = self.shared[:0].copy()

    def look_up(self, found: Found) -> list[OwnCounts]:
        """Return the counts at each level of the family."""
        counts = self._counts.take(found.rows) * (found.num_levels > len(self._tables))
        last = (counts - tenths_of(counts) / 10).astype(np.float32)
        nothing = OwnCounts.nothing(len(last))
        inner = [OwnCounts(*columns) for columns in _looked_up(self.trie, self._tables, found)]
        return [*inner, OwnCounts(last, nothing.rate, nothing.escape, nothing.num_inside)]


class CrowdTable:
    """Counts of everybody's rows, at least one, by prefix.

    ``num_prefixes`` are the numbers of distinct prefixes by length.
    """

    def __init__(self, family: AddressFamily, by_address: RowsByAddress, own: OwnTable, rows: FamilyRows) -> None:
        distinct, order, bounds = by_address.distinct, by_address.order, by_address.bounds
        self.trie = PrefixTrie(family, distinct)
        own_shared = own.shared[order]
        event_sums = _running_sums(rows.counts[order])
        entities, events = np.diff(bounds), np.diff(event_sums[bounds])
        self._last = np.column_stack([np.append(entities, 0), np.append(events, 0)]).astype(np.float32)
        examples, alone = _alone([entities, events])
        lines = _crowd_lines(entities[examples], entities[examples], np.ones(len(examples)), events[examples])
        self.num_prefixes = {family.bits: len(distinct)}
        self._tables = []
        shared = self.trie.shared_levels()
        # Of each entity on each prefix, the first row begins a prefix of its own.
        inner_sums = _running_sums(own_shared <= 0)
        for branch in self.trie.branches(shared, alone):
            sums, inner_sums = inner_sums, _running_sums(own_shared <= branch.level + 1)
            starts, ends = bounds[branch.starts], bounds[branch.ends]
            numbers = [values[ends] - values[starts] for values in (sums, inner_sums, event_sums)]
            nodes = _crowd_lines(numbers[0], numbers[1], branch.num_inside, numbers[2])
            self._tables.append(np.concatenate([nodes, lines, _crowd_lines(*np.zeros((4, 1)))]))
            self.num_prefixes[family.levels[branch.level]] = int(np.count_nonzero(shared <= branch.level))

    def ranks(self, addresses: NDArray[Any]) -> NDArray[np.int64]:
        """Return how many distinct addresses are less than each address (n,), shape (n,)."""
        # Binary searches in ascending order find what they need in the processor's cache.
        order = np.argsort(addresses)
        ranks = np.empty(len(addresses), dtype=np.int64)
        ranks[order] = np.searchsorted(self.trie.addresses, addresses[order])
        return ranks

    def look_up(self, found: Found) -> list[CrowdCounts]:
        """Return the counts at each level of the family."""
        is_there = found.num_levels > len(self._tables)
        entities, events = self._last.take(np.where(is_there, found.rows, -1), axis=0, mode="wrap").T
        nothing = CrowdCounts.nothing(len(events))
        inner = [CrowdCounts(*columns) for columns in _looked_up(self.trie, self._tables, found)]
        return [*inner, CrowdCounts(entities, nothing.inside, nothing.num_parts, events)]


def _running_sums(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sums of all values before each index and at the end, shape (n + 1,)."""
    sums = np.zeros(len(values) + 1, dtype=np.int32 if values.dtype == bool else np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _own_lines(counts: NDArray[Any], tenths: NDArray[Any], num_inside: NDArray[Any]) -> NDArray[np.float32]:
    """Return the lines of a table, shape (n, 4)."""
    return np.column_stack([*vars(OwnCounts.of(counts, tenths, num_inside)).values()])


def _crowd_lines(
    entities: NDArray[Any], inside: NDArray[Any], num_inside: NDArray[Any], events: NDArray[Any]
) -> NDArray[np.float32]:
    """Return the lines of a table, shape (n, 4)."""
    return np.column_stack([entities, inside, num_inside + 1, events]).astype(np.float32)


def _alone(numbers: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Choose the lines of rows that are alone. Rows with the same small numbers share one.

    Return a row for each line, shape (num_lines,), and the index of the line of each row, shape (n,). Indices are
    negative, counted from the end of a table that has one more line.
    """
    keys = reduce(lambda key, column: key * _SMALL + np.minimum(column, _SMALL - 1), numbers)
    is_common = reduce(np.logical_and, [column < _SMALL - 1 for column in numbers])
    other, common = np.flatnonzero(~is_common), keys[is_common]
    example = np.zeros(_SMALL ** len(numbers), dtype=np.int64)
    example[common] = np.flatnonzero(is_common)
    classes = np.flatnonzero(np.bincount(common))
    number = np.zeros(len(example), dtype=np.int32)
    number[classes] = len(other) + np.arange(len(classes))
    lines = np.empty(len(keys), dtype=np.int32)
    lines[other] = np.arange(len(other))
    lines[is_common] = number[common]
    return np.concatenate([other, example[classes]]), lines - (len(other) + len(classes) + 1)


def _looked_up(trie: PrefixTrie, tables: list[NDArray[np.float32]], found: Found) -> list[NDArray[np.float32]]:
    """Return the columns of the table of each level but the last, (k, n) each."""
    nodes = trie.nodes_of(found)
    return [
        np.ascontiguousarray(table.take(at, axis=0, mode="wrap").T) for table, at in zip(tables, nodes, strict=True)
    ]
