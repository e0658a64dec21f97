"""Training on several hosts, each of which owns a range of the entity table.

Rows of the table never travel. Ranges are cut where the numbers of training pairs are about equal. All hosts take the
same number of steps, each with a part of every batch that is in proportion to its pairs.
"""

from __future__ import annotations

import logging
import math
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.entity_hash import distinct_entity_rows, entity_rows
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.training.collectives import ProcessGroup
    from ipinsights.training.learners.learner import Learner

__all__ = ["EntityPartition", "StreamedTable", "batch_spans", "cut_points", "used_rows"]

_logger = logging.getLogger(__name__)

# No host holds more than this multiple of its equal share of the table.
_LARGEST_RANGE = 1.25
# Tables of more rows than this are counted in blocks, so that a sum of the counts has a few MB at most.
_COUNTED_ROWS, _BLOCK_ROWS = 2**20, 256
_NO_PAIRS = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)


@dataclass(frozen=True)
class EntityPartition:
    """The ranges of all hosts, and the batches that follow from their pairs."""

    group: ProcessGroup
    cuts: NDArray[np.int64]  # first row of the table of each host, and the number of rows, (num_hosts + 1,)
    # First pair of each base batch on each host, and the number of pairs, (num_batches + 1, num_hosts).
    spans: NDArray[np.int64]
    ips: Sequence[NDArray[np.uint32]]  # addresses of the pairs of each host in their order, by rank

    @classmethod
    def divide(
        cls, group: ProcessGroup, pairs: Pairs, hyperparameters: Hyperparameters, *, is_sharded: bool
    ) -> tuple[EntityPartition, Pairs]:
        """Cut the table, and return the partition with the pairs of this host.

        Every host calls this. ``is_sharded`` if each host has read files of its own, so that pairs are exchanged.
        Otherwise all have read all. It is a ClientError if they did not, or if the table has fewer rows than the job
        has hosts.
        """
        num_rows = hyperparameters.num_entity_vectors
        if num_rows < group.size:
            raise ClientError(
                f"num_entity_vectors is {num_rows} for {group.size} hosts, and each needs a row of the entity table. "
                "Use fewer hosts."
            )
        rows = entity_rows(pairs.entities, num_rows)
        cuts = _shared_cuts(group, rows, num_rows)
        owners = np.searchsorted(cuts[1:], rows, side="right")
        own, ips = _exchanged(group, pairs, owners) if is_sharded else _selected(group, pairs, owners)
        spans = batch_spans([len(each) for each in ips], hyperparameters.mini_batch_size)
        partition = cls(group, cuts, spans, ips)
        partition._warn_of_a_large_entity(own, num_rows)
        return partition, own

    @property
    def first(self) -> int:
        """First row of this host's range."""
        return int(self.cuts[self.group.rank])

    def local_hyperparameters(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """Return the hyperparameters of this host's learner, which has a part of the table."""
        longest = int(np.diff(self.spans[:, self.group.rank]).max(initial=1))
        num_rows = int(self.cuts[self.group.rank + 1]) - self.first
        return replace(hyperparameters, num_entity_vectors=num_rows, mini_batch_size=max(1, longest))

    def local_rows(self, entities: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the rows (n,) of this host's range for entities (n,) that it owns."""
        return entity_rows(entities, int(self.cuts[-1])) - np.int32(self.first)

    def shuffled_ips(self, index: int, count: int, *, rng: np.random.Generator) -> list[NDArray[np.uint32]]:
        """Return this host's parts of ``count`` permutations of the addresses of a base batch.

        The generator is in the same state on all hosts.
        """
        begins, ends = self.spans[index : index + 2]
        union = np.concatenate([ips[begin:end] for ips, begin, end in zip(self.ips, begins, ends, strict=True)])
        end = int((ends - begins)[: self.group.rank + 1].sum())
        part = slice(end - int((ends - begins)[self.group.rank]), end)
        return [union[rng.permutation(len(union))[part]] for _ in range(count)]

    def score(self, learner: Learner, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the scores (n,) of rows of the whole table and addresses, (n,) each.

        Every host calls this.
        """
        scores = np.zeros(len(rows), dtype=np.float32)
        own = (rows >= self.first) & (rows < self.cuts[self.group.rank + 1])
        scores[own] = learner.score(rows[own] - np.int32(self.first), ips[own])
        self.group.allreduce(scores)
        return scores

    def from_first(self, pairs: Pairs | None) -> Pairs | None:
        """Return the pairs of the first host on every host."""
        if not self.group.gather({"has_pairs": pairs is not None})[0]["has_pairs"]:
            return None
        given = (pairs.entities, pairs.ips) if pairs and self.group.rank == 0 else _NO_PAIRS
        entities, ips = (self.group.all_parts(part)[0] for part in given)
        return Pairs(entities, ips)

    def align_encoders(self, learner: Learner, *, num_steps: int) -> None:
        """Send the first host's encoder to all hosts if their encoders differ."""
        nothing = np.empty(0, dtype=np.int32)
        state = {name: np.array(array[0 : array.shape[0]]) for name, array in learner.state_dict(nothing).items()}
        checksum = zlib.crc32(b"".join(array.tobytes() for array in state.values()))
        if len({facts["checksum"] for facts in self.group.gather({"checksum": checksum})}) == 1:
            return
        _logger.warning("The hosts round differently: all continue with the address encoder of the first host.")
        for name, array in state.items():
            sent = array.ravel() if self.group.rank == 0 else np.empty(0, dtype=np.float32)
            state[name] = self.group.all_parts(sent)[0].reshape(array.shape)
        learner.load_state_dict(state, nothing, num_steps=num_steps)

    def _warn_of_a_large_entity(self, own: Pairs, num_rows: int) -> None:
        """Log the share of an entity that has more pairs than a host should have."""
        rows = entity_rows(own.entities, num_rows) - self.first
        largest = max(facts["most"] for facts in self.group.gather({"most": int(np.bincount(rows).max(initial=0))}))
        total = sum(len(ips) for ips in self.ips)
        if largest * self.group.size > total and self.group.size > 1:
            _logger.warning(
                "One row of the entity table has %.0f %% of the training pairs, more than the %.0f %% of a host: its "
                "host sets the pace of all.", 100 * largest / total, 100 / self.group.size,
            )  # fmt: skip


class StreamedTable:
    """The whole entity table, read slice by slice from the hosts that own its rows.

    The first host reads slices and calls :meth:`close`. Meanwhile the others call :meth:`serve`. The ``shape`` is that
    of the whole table.
    """

    def __init__(self, partition: EntityPartition, learner: Learner) -> None:
        self._partition = partition
        self._own = learner.parameters()["entity_weight"]
        self.shape = (int(partition.cuts[-1]), self._own.shape[1])

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Return a slice of rows."""
        start, stop, _ = part.indices(self.shape[0])
        self._partition.group.gather({"rows": [start, stop]})
        return self._joined(start, stop)

    def close(self) -> None:
        """Let the other hosts end."""
        self._partition.group.gather({"rows": None})

    def serve(self) -> None:
        """Send rows of this host until the first one has read all that it needs."""
        while rows := self._partition.group.gather({})[0]["rows"]:
            self._joined(*rows)

    def _joined(self, start: int, stop: int) -> NDArray[np.float32]:
        values = np.zeros((stop - start, self.shape[1]), dtype=np.float32)
        first = self._partition.first
        begin, end = max(start, first), min(stop, first + self._own.shape[0])
        if begin < end:
            found = self._own[begin - first : end - first]
            values[begin - start : end - start] = found if isinstance(found, np.ndarray) else found.asnumpy()
        self._partition.group.allreduce(values.reshape(-1))
        return values


def used_rows(
    hyperparameters: Hyperparameters, train: Pairs, validation: Pairs | None, partition: EntityPartition | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows of this host's entity table that training has, and those of all data.

    Both are ascending. No other row than those of training ever changes.
    """
    trained = _own_rows(hyperparameters, train, partition)
    if validation is None:
        return trained, trained
    return trained, np.union1d(trained, _own_rows(hyperparameters, validation, partition))


def _own_rows(hyperparameters: Hyperparameters, pairs: Pairs, partition: EntityPartition | None) -> NDArray[np.int32]:
    rows = distinct_entity_rows(pairs.entities, hyperparameters.num_entity_vectors)
    if partition is None:
        return rows
    begin, end = np.searchsorted(rows, partition.cuts[partition.group.rank : partition.group.rank + 2])
    return rows[begin:end] - np.int32(partition.first)


def cut_points(counts: NDArray[Any], num_hosts: int, num_rows: int, *, rows_per_count: int = 1) -> NDArray[np.int64]:
    """Cut a table into ranges with about equal numbers of training pairs.

    ``counts`` are those of blocks of ``rows_per_count`` rows. A range has a row at least, and 1.25 times its equal
    share of the rows at most. Returned is the first row of each range, and ``num_rows``, (num_hosts + 1,).

    >>> cut_points(np.array([2, 1, 1, 4]), 2, 4).tolist()
    [0, 3, 4]
    """
    sums = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    most = math.ceil(_LARGEST_RANGE * num_rows / num_hosts)
    cuts = [0]
    for host in range(1, num_hosts):
        wanted = int(np.abs(sums - sums[-1] * host / num_hosts).argmin()) * rows_per_count
        num_left = num_hosts - host
        lowest, highest = max(cuts[-1] + 1, num_rows - num_left * most), min(cuts[-1] + most, num_rows - num_left)
        cuts.append(min(max(wanted, lowest), highest))
    return np.array([*cuts, num_rows], dtype=np.int64)


def batch_spans(num_pairs: Sequence[int], mini_batch_size: int) -> NDArray[np.int64]:
    """Return the first pair of each base batch on each host, (num_batches + 1, num_hosts).

    >>> batch_spans([4, 1], 2).tolist()
    [[0, 0], [2, 0], [4, 1]]
    """
    number = -(-sum(num_pairs) // (mini_batch_size * len(num_pairs)))
    return np.arange(number + 1, dtype=np.int64)[:, np.newaxis] * np.array(num_pairs, np.int64) // max(1, number)


def _shared_cuts(group: ProcessGroup, rows: NDArray[np.int32], num_rows: int) -> NDArray[np.int64]:
    block = 1 if num_rows <= _COUNTED_ROWS else _BLOCK_ROWS
    counts = np.bincount(rows // block, minlength=-(-num_rows // block)).astype(np.float32)
    group.allreduce(counts)
    return cut_points(counts, group.size, num_rows, rows_per_count=block)


def _exchanged(group: ProcessGroup, pairs: Pairs, owners: NDArray[np.intp]) -> tuple[Pairs, list[NDArray[np.uint32]]]:
    """Send each pair to its owner, and return this host's pairs and the addresses of all."""
    parts = [pairs[owners == host] for host in range(group.size)]
    entities = np.concatenate(group.exchange([part.entities for part in parts]))
    own = Pairs(entities, np.concatenate(group.exchange([part.ips for part in parts])))
    return own, group.all_parts(own.ips)


def _selected(group: ProcessGroup, pairs: Pairs, owners: NDArray[np.intp]) -> tuple[Pairs, list[NDArray[np.uint32]]]:
    """Return this host's pairs among those that all hosts have read, and the addresses of all."""
    ips = [pairs.ips[owners == host] for host in range(group.size)]
    read = [facts["read"] for facts in group.gather({"read": [len(pairs), zlib.crc32(np.concatenate(ips).data)]})]
    if any(facts != read[0] for facts in read):
        raise ClientError(
            f"Hosts read different training data, of {', '.join(str(number) for number, _ in read)} rows. Give all the "
            "same, or declare the channel ShardedByS3Key."
        )
    return pairs[owners == group.rank], ips
