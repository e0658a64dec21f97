"""Base batches: the order of rows, padding, and draws that depend only on their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.training.batches import BaseBatch, BaseBatches, PartitionedBatches
from ipinsights.training.entity_partition import EntityPartition

from .thread_group import on_hosts

if TYPE_CHECKING:
    from ipinsights.training.collectives import ProcessGroup


def numbered(num_rows: int, *, seed: int = 0) -> BaseBatches:
    """Return batches of ten distinguishable rows: entity i at address 1000 + i."""
    values = Hyperparameters(num_entity_vectors=40, vector_dim=8, mini_batch_size=10)
    rows = np.arange(num_rows)
    return BaseBatches(rows.astype(np.int32), (1000 + rows).astype(np.uint32), values, seed=seed)


def test_rows_keep_their_order_and_the_last_batch_is_padded_with_the_first_rows() -> None:
    """Base batches of 23 rows in every epoch: 0-9, 10-19, and 20-22 with 0-6 again."""
    batches = numbered(23)
    assert len(batches) == 3
    for epoch in range(2):
        given = list(batches.epoch(epoch))
        assert [batch.num_rows for batch in given] == [10, 10, 3]
        positives = [batch.records.entity_rows[batch.records.labels == 1].tolist() for batch in given]
        assert [sorted(rows) for rows in positives] == [
            list(range(10)),
            list(range(10, 20)),
            [0, 1, 2, 3, 4, 5, 6, 20, 21, 22],
        ]


def test_fewer_rows_than_a_batch_are_repeated() -> None:
    """Three rows fill a batch of ten: four, three and three times."""
    (batch,) = numbered(3).epoch(0)
    assert (len(batch.records), batch.num_rows) == (30, 3)
    assert np.bincount(batch.records.entity_rows[batch.records.labels == 1]).tolist() == [4, 3, 3]


def test_negatives_are_new_in_each_batch_and_epoch_and_with_each_seed() -> None:
    """No two expansions of the same rows are alike."""
    drawn = [next(numbered(10, seed=seed).epoch(epoch)).records.ips.tolist() for seed in range(2) for epoch in range(2)]
    drawn.append(list(numbered(20).epoch(0))[1].records.ips.tolist())
    assert len({tuple(ips) for ips in drawn}) == 5


def test_an_epoch_can_begin_anywhere() -> None:
    """An epoch that begins at its third batch has the same batches from there on."""
    whole, rest = list(numbered(50).epoch(4)), list(numbered(50).epoch(4, first=2))
    assert [batch.records.ips.tolist() for batch in rest] == [batch.records.ips.tolist() for batch in whole[2:]]
    assert [batch.records.labels.tolist() for batch in rest] == [batch.records.labels.tolist() for batch in whole[2:]]


class TestPartitioned:
    """Hosts that train together."""

    values = Hyperparameters(num_entity_vectors=40, vector_dim=8, mini_batch_size=10)

    def parts(self, num_hosts: int) -> list[list[BaseBatch]]:
        """Return the base batches of each host on 63 rows of entities, of which the first has half."""
        rng = np.random.default_rng(1)
        entities = np.concatenate([np.zeros(31), rng.integers(40, size=32)]).astype(np.uint64)
        whole = Pairs(entities, np.arange(63, dtype=np.uint32))

        def batches(group: ProcessGroup) -> list[BaseBatch]:
            partition, own = EntityPartition.divide(group, whole, self.values, is_sharded=False)
            made = PartitionedBatches(partition, partition.local_rows(own.entities), own.ips, self.values, seed=3)
            found = list(made.epoch(1))
            assert len(found) == len(made)
            last = next(made.epoch(1, first=len(made) - 1))
            assert found[-1].records.ips.tolist() == last.records.ips.tolist()
            return found

        return on_hosts(num_hosts, batches)

    @pytest.mark.parametrize("num_hosts", [1, 2, 3, 4])
    def test_all_hosts_have_as_many_and_every_row_is_in_one(self, num_hosts: int) -> None:
        """Each host's part of a batch is in proportion to its rows.

        A batch of all hosts has their numbers together, and no row is padding.
        """
        parts = self.parts(num_hosts)
        assert {len(part) for part in parts} == {-(-63 // (10 * num_hosts))}
        for together in zip(*parts, strict=True):
            assert {batch.num_all for batch in together} == {sum(batch.num_rows for batch in together)}
            assert [len(batch.records) for batch in together] == [3 * batch.num_rows for batch in together]
        positives = np.concatenate([batch.records.ips[batch.records.labels == 1] for part in parts for batch in part])
        assert np.sort(positives).tolist() == list(range(63))

    def test_shuffled_addresses_come_from_all_hosts(self) -> None:
        """Each address of a batch of all hosts is a shuffled negative once, on whichever host.

        Random ones differ.
        """
        for together in zip(*self.parts(3), strict=True):
            negatives = [batch.records.ips[batch.records.labels == 0] for batch in together]
            shuffled = np.concatenate([ips[ips < 63] for ips in negatives])
            positives = np.concatenate([batch.records.ips[batch.records.labels == 1] for batch in together])
            assert np.sort(shuffled).tolist() == np.sort(positives).tolist()
            drawn = np.concatenate([ips[ips >= 63] for ips in negatives])
            assert len(np.unique(drawn)) == len(drawn) == len(positives)
