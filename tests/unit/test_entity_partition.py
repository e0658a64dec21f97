"""The partition of the entity table.

Cuts, exchanged pairs, and what hosts do together with their rows.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.training.entity_partition import EntityPartition, StreamedTable, batch_spans, cut_points, used_rows
from ipinsights.training.learners.cpu import CPULearner

from .thread_group import on_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipinsights.training.collectives import ProcessGroup

VALUES = Hyperparameters(num_entity_vectors=40, vector_dim=8, mini_batch_size=10)


def drawn(size: int = 200) -> Pairs:
    """Draw pairs of few entities, of which each is another pair."""
    rng = np.random.default_rng(5)
    return Pairs((rng.zipf(1.3, size) % 97).astype(np.uint64), np.arange(size, dtype=np.uint32))


def divided(size: int, work: Callable[[EntityPartition, Pairs], Any], *, pairs: Pairs | None = None,
            is_sharded: bool = False, values: Hyperparameters = VALUES) -> list[Any]:  # fmt: skip
    """Divide pairs between hosts, and call a function with each host's partition and pairs."""
    whole = pairs or drawn()

    def one(group: ProcessGroup) -> Any:
        read = whole[group.rank :: group.size] if is_sharded else whole
        return work(*EntityPartition.divide(group, read, values, is_sharded=is_sharded))

    return on_hosts(size, one)


class TestCuts:
    """Where the table is cut."""

    @given(counts=st.lists(st.integers(0, 50), min_size=4, max_size=60), num_hosts=st.integers(1, 4))
    @settings(max_examples=100, deadline=None)
    def test_ranges_cover_the_table(self, counts: list[int], num_hosts: int) -> None:
        """Each has a row at least, and none more than a quarter above its equal share."""
        sizes = np.diff(cut_points(np.array(counts), num_hosts, len(counts)))
        assert sizes.sum() == len(counts)
        assert sizes.min() >= 1
        assert sizes.max() <= -(-5 * len(counts) // (4 * num_hosts))

    def test_ranges_have_about_equal_pairs(self) -> None:
        """The numbers of pairs differ by at most those of one row, which is not divided."""
        counts = np.random.default_rng(2).integers(100, size=10_000)
        parts = np.add.reduceat(counts, cut_points(counts, 16, len(counts))[:-1])
        assert np.abs(parts - counts.sum() / 16).max() <= 100

    def test_blocks_of_rows(self) -> None:
        """Large tables are cut between blocks."""
        assert cut_points(np.array([4, 2, 2]), 2, 30, rows_per_count=10).tolist() == [0, 11, 30]


@given(num_pairs=st.lists(st.integers(0, 500), min_size=1, max_size=5), size=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_spans_are_in_proportion(num_pairs: list[int], size: int) -> None:
    """Every pair is in one batch, and all batches of a host are equal to one pair.

    No union is larger than W x B.
    """
    spans = batch_spans(num_pairs, size)
    parts = np.diff(spans, axis=0)
    assert parts.sum(axis=0).tolist() == num_pairs
    assert len(parts) == -(-sum(num_pairs) // (size * len(num_pairs)))
    if len(parts):
        assert np.ptp(parts, axis=0).max() <= 1
        assert parts.sum(axis=1).max() < size * len(num_pairs) + len(num_pairs)


def test_used_rows_are_those_of_training_and_validation_data_in_the_range_of_a_host() -> None:
    """Rows of training and rows of all pairs are there once each, from the first of a range."""
    train, validation = drawn()[:30], drawn()[30:]

    def rows(group: ProcessGroup) -> list[list[int]]:
        partition, _ = EntityPartition.divide(group, train, VALUES, is_sharded=False)
        return [(found + partition.first).tolist() for found in used_rows(VALUES, train, validation, partition)]

    expected = [sorted({int(entity) % 40 for entity in pairs.entities}) for pairs in (train, drawn())]
    assert len(expected[0]) < len(expected[1])
    assert [found.tolist() for found in used_rows(VALUES, train, validation)] == expected
    assert [list(itertools.chain(*parts)) for parts in zip(*on_hosts(3, rows), strict=True)] == expected
    assert [found.tolist() for found in used_rows(VALUES, train, None)] == [expected[0]] * 2


class TestDivide:
    """Which pairs a host trains."""

    @pytest.mark.parametrize("size", [1, 2, 3, 4])
    @pytest.mark.parametrize("is_sharded", [False, True])
    def test_each_pair_is_the_owner_s(self, size: int, is_sharded: bool) -> None:  # noqa: FBT001
        """Each pair is on the host that owns its row, for sharded and for replicated data.

        The order is that of hosts and files.
        """
        whole, found = drawn(), divided(size, lambda partition, own: (partition, own), is_sharded=is_sharded)
        everybody = np.concatenate([own.ips for _, own in found])
        assert np.sort(everybody).tolist() == whole.ips.tolist()
        for rank, (partition, own) in enumerate(found):
            assert (whole.entities[own.ips] == own.entities).all()
            rows = partition.local_rows(own.entities)
            assert ((rows >= 0) & (rows < np.diff(partition.cuts)[rank])).all()
            assert [ips.tolist() for ips in partition.ips] == [pairs.ips.tolist() for _, pairs in found]
            order = own.ips if not is_sharded else own.ips[np.argsort(own.ips % size, kind="stable")]
            assert own.ips.tolist() == order.tolist()

    def test_a_table_smaller_than_the_hosts(self) -> None:
        """Each host needs a row."""
        with pytest.raises(ClientError) as caught:
            divided(3, lambda *_: None, values=Hyperparameters(num_entity_vectors=2, vector_dim=8))
        assert str(caught.value) == (
            "num_entity_vectors is 2 for 3 hosts, and each needs a row of the entity table. Use fewer hosts."
        )

    def test_hosts_that_have_not_read_the_same(self) -> None:
        """Hosts that have read different data are refused, with their numbers of rows."""

        def one(group: ProcessGroup) -> None:
            EntityPartition.divide(group, drawn(200 + group.rank), VALUES, is_sharded=False)

        with pytest.raises(ClientError) as caught:
            on_hosts(2, one)
        assert str(caught.value) == (
            "Hosts read different training data, of 200, 201 rows. Give all the same, or declare the channel "
            "ShardedByS3Key."
        )

    def test_an_entity_that_sets_the_pace_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        """A warning on each host has the share of the pairs."""
        caplog.set_level(logging.WARNING, logger="ipinsights")
        one = Pairs(np.full(100, 7, np.uint64), np.arange(100, dtype=np.uint32))
        sizes = divided(2, lambda _, own: len(own), pairs=one)
        assert sorted(sizes) == [0, 100]
        assert [record.getMessage() for record in caplog.records] == [
            "One row of the entity table has 100 % of the training pairs, more than the 50 % of a host: its host sets "
            "the pace of all."
        ] * 2

    def test_a_host_without_pairs_has_a_learner(self) -> None:
        """A host without pairs has a learner for one record and its range of the table."""
        one = Pairs(np.full(100, 7, np.uint64), np.arange(100, dtype=np.uint32))
        local = divided(2, lambda partition, own: (partition.local_hyperparameters(VALUES), len(own)), pairs=one)
        assert sorted(values.mini_batch_size for values, _ in local) == [1, 20]
        assert sum(values.num_entity_vectors for values, _ in local) == 40


def learner_of(partition: EntityPartition, *, seed: int = 3) -> CPULearner:
    """Return the learner of a host."""
    values = partition.local_hyperparameters(VALUES)
    return CPULearner(values, seed=seed, num_threads=1, group=partition.group, first_row=partition.first)


class TestTogether:
    """What hosts do with all rows of the table."""

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_scores_and_table_are_those_of_one_host(self, size: int) -> None:
        """Initial values, scores and the table are the same to the bit on several hosts."""
        alone = CPULearner(VALUES, seed=3)
        rows, ips = np.arange(40, dtype=np.int32), np.arange(0, 4 * 10**9, 10**8, dtype=np.uint32)

        def work(partition: EntityPartition, _: Pairs) -> tuple[list[float], list[Any]]:
            learner = learner_of(partition)
            table, read = StreamedTable(partition, learner), []
            if partition.group.rank == 0:
                read = [table[start : start + 7].tolist() for start in range(0, 40, 7)]
                table.close()
            else:
                table.serve()
            assert table.shape == (40, 8)
            return partition.score(learner, rows, ips).tolist(), read

        found = divided(size, work)
        assert [scores for scores, _ in found] == [alone.score(rows, ips).tolist()] * size
        assert list(itertools.chain(*found[0][1])) == alone.parameters()["entity_weight"].tolist()

    def test_the_first_host_s_rows_reach_all(self) -> None:
        """All hosts have the validation data of the first, or none if the first has none."""
        given = [drawn(5), drawn(9)]
        found = divided(2, lambda partition, _: (
            partition.from_first(given[partition.group.rank]), partition.from_first(None)))  # fmt: skip
        for pairs, nothing in found:
            assert (pairs.entities.tolist(), pairs.ips.tolist()) == (given[0].entities.tolist(), given[0].ips.tolist())
            assert nothing is None

    def test_encoders_that_have_drifted_apart_are_aligned(self, caplog: pytest.LogCaptureFixture) -> None:
        """All continue with the first host's, and its own rows stay each host's."""

        def work(partition: EntityPartition, _: Pairs) -> tuple[bool, dict[str, bytes]]:
            learner = learner_of(partition, seed=partition.group.rank)
            table = learner.parameters()["entity_weight"].copy()
            partition.align_encoders(learner, num_steps=0)
            partition.align_encoders(learner, num_steps=0)
            params = learner.parameters()
            is_kept = (params["entity_weight"] == table).all()
            return is_kept, {name: array.tobytes() for name, array in params.items() if name != "entity_weight"}

        caplog.set_level(logging.WARNING, logger="ipinsights")
        first, second = divided(2, work)
        expected = CPULearner(VALUES, seed=0).parameters()
        assert first == second
        assert first == (True, {name: expected[name].tobytes() for name in first[1]})
        assert [record.getMessage() for record in caplog.records] == [
            "The hosts round differently: all continue with the address encoder of the first host."
        ] * 2
