"""Entities become rows of a table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ipinsights.data import entity_hash
from ipinsights.data.entity_hash import distinct_entity_rows, entity_rows, hash_entities, hash_entity_column


class TestEntities:
    """Text, hash, row."""

    def test_the_hash_is_the_same_for_ever(self) -> None:
        """A trained model is of no use if tomorrow's hash differs: these values are golden."""
        golden = [17591131420874301409, 10290692046808132054, 12185390029970081263]
        assert hash_entities(["user", "bob, the builder", "\u00fcser \U0001f600"]).tolist() == golden

    @pytest.mark.parametrize("num_distinct", [1, 300])
    @pytest.mark.parametrize("longest", ["", "x" * 600])
    def test_a_column_has_the_hashes_of_its_texts(self, num_distinct: int, longest: str) -> None:
        """Whether most of them come again or none does, however long, and in a part of a column too."""
        texts = [f"user_{number % num_distinct}" for number in range(300)] + [longest]
        column = pa.array(["before", *texts, "behind"])[1:-1]
        assert hash_entity_column(column).tolist() == hash_entities(texts).tolist()

    def test_rows_are_the_hash_modulo_the_table(self) -> None:
        """The row is the remainder, also of hashes beyond 2^63."""
        rows = entity_rows(np.array([2**64 - 1, 25, 3], dtype=np.uint64), 10)
        assert (rows.tolist(), rows.dtype.name) == ([5, 5, 3], "int32")

    def test_the_rows_that_occur_are_each_given_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ascending, and the same however many hashes are looked at together."""
        hashes = np.array([2**64 - 1, 25, 3, 13, 25, 40], dtype=np.uint64)
        assert distinct_entity_rows(hashes, 10).tolist() == [0, 3, 5]
        monkeypatch.setattr(entity_hash, "_ROWS_AT_A_TIME", 2)
        assert distinct_entity_rows(hashes, 10).tolist() == [0, 3, 5]
