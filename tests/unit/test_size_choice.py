"""Which sizes are given, and which follow from the data."""

from __future__ import annotations

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError, MissingSizesError
from ipinsights.training.automatic_sizes import SizeChoice

ALL = ("num_entity_vectors", "vector_dim", "mini_batch_size", "epochs")
TRAIN = Pairs(np.arange(6400, dtype=np.uint64), np.arange(6400, dtype=np.uint32))


@pytest.mark.parametrize(
    ("assignments", "given", "chosen"),
    [
        ({}, None, ALL),
        ({"epochs": "3"}, None, ALL[:3]),
        ({"num_entity_vectors": "auto", "epochs": "3"}, None, ALL[:3]),
        ({"num_entity_vectors": "9"}, None, ()),
        ({"num_entity_vectors": "9", "vector_dim": " auto "}, None, ("vector_dim",)),
        ({"num_entity_vectors": "9", "vector_dim": "8"}, None, ()),
        ({}, {}, ()),
        ({"epochs": "auto"}, {"epochs": "3"}, ("epochs",)),
        ({"learning_rate": "auto"}, {"vector_dim": "auto"}, ()),
    ],
)
def test_what_is_chosen(assignments: dict[str, str], given: dict[str, str] | None, chosen: tuple[str, ...]) -> None:
    """All that is missing without required sizes and without a map, else what is auto."""
    assert SizeChoice.of(assignments, given).chosen == chosen


def test_assignments_take_precedence_over_the_map() -> None:
    """A value of the map stays where no assignment replaces it."""
    choice = SizeChoice.of({"epochs": "2", "vector_dim": "auto"}, {"epochs": "3", "vector_dim": "5", "weight_decay": 0})
    assert choice.given == {"epochs": "2", "weight_decay": 0}


def test_faults_are_found_before_data_is_read() -> None:
    """Invalid values and missing required sizes are refused before rows are read."""
    with pytest.raises(ClientError, match=r"^Hyperparameter 'epochs' must be an integer, at least 1"):
        SizeChoice.of({"epochs": "0"}).check()
    with pytest.raises(MissingSizesError, match=r"^Hyperparameter 'vector_dim' is required and missing") as caught:
        SizeChoice.of({"num_entity_vectors": "9"}).check()
    assert caught.value.names == ("vector_dim",)
    with pytest.raises(MissingSizesError) as caught:
        SizeChoice.of({"epochs": "0"}, {}).check()
    assert caught.value.names == ("num_entity_vectors", "vector_dim")


def test_chosen_sizes_follow_from_the_rows_and_the_given_ones() -> None:
    """Chosen sizes follow `choose_sizes` for the rows and the given sizes.

    A batch of 64 rows takes 300 steps an epoch with two negatives.
    """
    assert SizeChoice.of({"num_entity_vectors": "9", "epochs": "auto", "mini_batch_size": "64"}).given == {
        "num_entity_vectors": "9",
        "mini_batch_size": "64",
    }
    completed = SizeChoice.of({"learning_rate": "0.01"}).complete(TRAIN)
    assert completed == {
        "learning_rate": "0.01",
        "num_entity_vectors": "12800",
        "vector_dim": "128",
        "mini_batch_size": "64",
        "epochs": "10",
    }
