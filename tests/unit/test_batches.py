"""Base batches: the order of rows, padding, and draws that depend on nothing but their place."""

from __future__ import annotations

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.training.batches import BaseBatches
from ipinsights.training.collectives import ProcessGroup


def numbered(num_rows: int, *, seed: int = 0, group: ProcessGroup | None = None) -> BaseBatches:
    """Give batches of ten rows that can be told apart: entity i at address 1000 + i."""
    values = Hyperparameters(num_entity_vectors=40, vector_dim=8, mini_batch_size=10)
    rows = np.arange(num_rows)
    return BaseBatches(rows.astype(np.int32), (1000 + rows).astype(np.uint32), values, seed=seed, group=group)


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
    """From its third batch on it is what it would have been."""
    whole, rest = list(numbered(50).epoch(4)), list(numbered(50).epoch(4, first=2))
    assert [batch.records.ips.tolist() for batch in rest] == [batch.records.ips.tolist() for batch in whole[2:]]
    assert [batch.records.labels.tolist() for batch in rest] == [batch.records.labels.tolist() for batch in whole[2:]]


class TestTeam:
    """Hosts that train together."""

    def test_a_host_without_rows_left_has_empty_batches_until_the_last_host_is_done(self) -> None:
        """The host counts its own two; the group has five in an epoch."""
        batches = numbered(13, group=ProcessGroup(rank=1, size=2, num_base_batches=5))
        assert len(batches) == 2
        given = list(batches.epoch(0))
        assert [(batch.num_rows, len(batch.records)) for batch in given] == [(10, 30), (3, 30), (0, 0), (0, 0), (0, 0)]

    def test_hosts_draw_what_no_other_host_draws(self) -> None:
        """The same rows on three hosts get different negatives in each base batch."""
        drawn = [
            batch.records.ips.tolist()
            for rank in range(3)
            for batch in numbered(20, group=ProcessGroup(rank=rank, size=3, num_base_batches=2)).epoch(0)
        ]
        assert len({tuple(ips) for ips in drawn}) == 6
