"""Negatives: how a batch of rows becomes labelled records."""

from __future__ import annotations

import numpy as np
import pytest

from ipinsights.model.sampling import Records, expand, random_ips


def expand_rows(num_rows: int, *, num_random: int, num_shuffled: int, rng: np.random.Generator) -> Records:
    """Expand rows that can be told apart: entity 10 + i at address 1000 + i."""
    rows = np.arange(num_rows, dtype=np.int32)
    ips = np.arange(1000, 1000 + num_rows, dtype=np.uint32)
    return expand(rows + 10, ips, num_random=num_random, num_shuffled=num_shuffled, rng=rng)


class TestExpand:
    """The K-fold expansion."""

    @pytest.mark.parametrize(("num_random", "num_shuffled"), [(1, 1), (5, 1), (0, 1), (3, 0)])
    def test_each_row_becomes_one_positive_and_its_negatives(
        self, num_random: int, num_shuffled: int, rng: np.random.Generator
    ) -> None:
        """Each row becomes K = 1 + R + S records of its entity, one of them positive.

        The positive record has the row's own address.
        """
        records = expand_rows(50, num_random=num_random, num_shuffled=num_shuffled, rng=rng)
        assert len(records) == 50 * (1 + num_random + num_shuffled)
        assert np.bincount(records.entity_rows, minlength=60)[10:].tolist() == [1 + num_random + num_shuffled] * 50
        positive = records.labels == 1
        assert sorted(records.entity_rows[positive].tolist()) == list(range(10, 60))
        assert (records.ips[positive].astype(int) - records.entity_rows[positive] == 990).all()
        assert set(records.labels[~positive].tolist()) <= {0.0}

    def test_shuffled_negatives_are_permutations_of_the_batch(self, rng: np.random.Generator) -> None:
        """With R = 0 each address is in S negatives, and almost none has its own row's entity."""
        records = expand_rows(500, num_random=0, num_shuffled=2, rng=rng)
        negative = records.labels == 0
        assert np.bincount(records.ips[negative] - 1000).tolist() == [2] * 500
        num_own = np.count_nonzero(records.ips[negative].astype(int) - records.entity_rows[negative] == 990)
        assert num_own < 20  # Poisson with mean 2

    def test_a_lone_row_is_its_own_shuffled_negative(self, rng: np.random.Generator) -> None:
        """The original does not exclude it either: its own test trains on one pair alone."""
        records = expand_rows(1, num_random=0, num_shuffled=1, rng=rng)
        assert records.ips.tolist() == [1000, 1000]
        assert sorted(records.labels.tolist()) == [0.0, 1.0]

    def test_records_are_mixed(self, rng: np.random.Generator) -> None:
        """Positives are spread evenly over the batches that the records are cut into."""
        records = expand_rows(1000, num_random=5, num_shuffled=1, rng=rng)
        positives = records.labels.reshape(7, 1000).sum(axis=1)
        assert (abs(positives - 1000 / 7) < 6 * np.sqrt(1000 / 7)).all()

    def test_a_seed_gives_the_same_records(self) -> None:
        """All randomness comes from the generator that is passed in."""
        first, second = (expand_rows(20, num_random=2, num_shuffled=1, rng=np.random.default_rng(3)) for _ in range(2))
        assert first.ips.tolist() == second.ips.tolist()
        assert first.labels.tolist() == second.labels.tolist()

    def test_types_are_what_the_network_takes(self, rng: np.random.Generator) -> None:
        """Rows int32, addresses uint32, labels float32; slices copy nothing."""
        records = expand_rows(4, num_random=1, num_shuffled=1, rng=rng)
        columns = (records.entity_rows, records.ips, records.labels)
        assert [column.dtype.name for column in columns] == ["int32", "uint32", "float32"]
        assert np.shares_memory(records[2:5].ips, records.ips)
        assert len(records[2:5]) == 3


class TestRecords:
    """A slice of records."""

    def test_every_column_is_sliced(self) -> None:
        """Entities, addresses and labels of the same records, of the same types, and no copies."""
        records = Records(
            np.arange(4, dtype=np.int32), np.arange(10, 14, dtype=np.uint32), np.array([0, 1, 1, 0], dtype=np.float32)
        )
        part = records[1:3]
        columns = [part.entity_rows, part.ips, part.labels]
        assert [column.tolist() for column in columns] == [[1, 2], [11, 12], [1.0, 1.0]]
        assert all(column.base is not None for column in columns)


class TestRandomIps:
    """Uniformly random addresses."""

    def test_every_octet_is_uniform(self, rng: np.random.Generator) -> None:
        """All 256 values are equally frequent at each octet position (chi-square, six sigma)."""
        ips = random_ips(200_000, rng=rng)
        for shift in (24, 16, 8, 0):
            counts = np.bincount((ips >> shift) & 255, minlength=256)
            chi_square = ((counts - 200_000 / 256) ** 2 / (200_000 / 256)).sum()
            assert abs(chi_square - 255) < 6 * np.sqrt(2 * 255)
