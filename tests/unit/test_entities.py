"""Entities become rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights import entities
from ipinsights.entities import distinct_entity_rows, entity_rows, hash_entities

if TYPE_CHECKING:
    import pytest


class TestEntities:
    """Text, hash, row."""

    def test_the_hash_is_the_same_for_ever(self) -> None:
        """A trained model is of no use if tomorrow's hash differs: these values are golden."""
        golden = [17591131420874301409, 10290692046808132054, 12185390029970081263]
        assert hash_entities(["user", "bob, the builder", "\u00fcser \U0001f600"]).tolist() == golden

    def test_rows_are_the_hash_modulo_the_table(self) -> None:
        """The row is the remainder, also of hashes beyond 2^63."""
        rows = entity_rows(np.array([2**64 - 1, 25, 3], dtype=np.uint64), 10)
        assert (rows.tolist(), rows.dtype) == ([5, 5, 3], np.int32)

    def test_the_rows_that_occur_are_each_given_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ascending, and the same however many hashes are looked at together."""
        hashes = np.array([2**64 - 1, 25, 3, 13, 25, 40], dtype=np.uint64)
        assert distinct_entity_rows(hashes, 10).tolist() == [0, 3, 5]
        monkeypatch.setattr(entities, "_ROWS_AT_A_TIME", 2)
        assert distinct_entity_rows(hashes, 10).tolist() == [0, 3, 5]
