"""The rule of sizes: what is given stays, and the rest follows from rows and entities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.training.automatic_sizes import Sizes, choose_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def entities(num_rows: int, num_entities: int) -> NDArray[np.uint64]:
    """Return rows of entities, each about as often as any other."""
    hashes = hash_entities([f"user_{number}" for number in range(num_entities)])
    return np.take(hashes, np.arange(num_rows) % num_entities)


@pytest.mark.parametrize(
    ("num_rows", "num_entities", "sizes"),
    [
        (300, 300, Sizes(600, 128, 32, 100)),
        (3_000, 600, Sizes(1200, 128, 32, 11)),
        (100_000, 2_000, Sizes(4000, 128, 1000, 10)),
        (2_000_000, 10_000, Sizes(20_000, 128, 10_000, 10)),
    ],
)
def test_sizes_follow_from_the_data(num_rows: int, num_entities: int, sizes: Sizes) -> None:
    """Twice the entities, a hundredth of the rows, and at least 3,000 steps."""
    assert choose_sizes(entities(num_rows, num_entities), records_per_row=3) == sizes


def test_given_sizes_stay_and_others_follow_from_them() -> None:
    """A larger batch takes fewer steps an epoch, so that there are more epochs."""
    rows = entities(10_000, 500)
    assert choose_sizes(rows, records_per_row=3, mini_batch_size=1000) == Sizes(1000, 128, 1000, 100)
    assert choose_sizes(rows, records_per_row=30, mini_batch_size=1000).epochs == 10
    given = Sizes(7, 4, 5, 6)
    assert choose_sizes(rows, records_per_row=3, **vars(given)) == given


@pytest.mark.parametrize("num_entities", [1, 2, 3, 10, 50])
def test_few_entities_get_rows_of_their_own(num_entities: int) -> None:
    """At most a tenth of few entities shares a row, or the table is eight times the usual size."""
    rows = entities(num_entities, num_entities)
    size = choose_sizes(rows, records_per_row=3).num_entity_vectors
    counts = np.unique(rows % np.uint64(size), return_counts=True)[1]
    assert 2 * num_entities <= size <= 16 * num_entities
    assert size == 16 * num_entities or counts[counts > 1].sum() <= 0.1 * num_entities


def test_a_table_grows_where_the_hash_collides_often() -> None:
    """Hashes that are all even fill half of an even number of rows: they get more rows."""
    odd_luck = np.arange(0, 4000 * 2000, 4000, dtype=np.uint64)
    assert choose_sizes(odd_luck, records_per_row=3).num_entity_vectors == 32_000


def test_no_rows_have_the_sizes_of_one() -> None:
    """A model of IPv6 rows alone has a network that is not trained."""
    none, one = (choose_sizes(np.zeros(num_rows, dtype=np.uint64), records_per_row=3) for num_rows in (0, 1))
    assert none == one
