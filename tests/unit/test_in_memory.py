"""Training on rows in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks
from ipinsights.training.in_memory import missing_memory_reported, train_in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.training.trainer import Trainer

SMALL = Hyperparameters(num_entity_vectors=20, vector_dim=8, mini_batch_size=32, epochs=2)
RNG = np.random.default_rng(3)
PAIRS = PlantedNetworks.draw(5, rng=RNG).pairs(100, rng=RNG)


def test_a_model_has_arrays_of_its_own(tmp_path: Path) -> None:
    """Another training leaves them alone, and what is written of them reads back equal."""
    model = train_in_memory(SMALL, PAIRS, seed=1)
    kept = {name: array.copy() for name, array in model.params.items()}
    train_in_memory(SMALL, PAIRS, seed=2)
    artifact.write(tmp_path, model)
    for name, array in artifact.load(tmp_path).params.items():
        assert np.array_equal(array, kept[name])
        assert np.array_equal(model.params[name], kept[name])


def test_a_run_that_is_stopped_before_its_first_batch_has_no_model() -> None:
    """The caller learns of the interrupt instead."""

    @contextlib.contextmanager
    def stopped(trainer: Trainer) -> Iterator[None]:
        trainer.state.stop = True
        yield

    with pytest.raises(KeyboardInterrupt):
        train_in_memory(SMALL, PAIRS, stopped_by=stopped)


def test_missing_memory_is_reported_with_the_model_s_sizes() -> None:
    """A MemoryError becomes an error with the model's sizes and the cure."""
    with pytest.raises(ClientError) as caught, missing_memory_reported(SMALL):
        raise MemoryError
    assert str(caught.value) == (
        "There is not enough memory to train this model: 20 x 8 entity vectors and Adam's two moments of each take up "
        "to 0.0 GB. Lower num_entity_vectors or vector_dim, or use a larger machine."
    )
