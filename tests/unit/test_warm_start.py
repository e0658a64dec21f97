"""The initial model of a warm start must have the job's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.bloom import BloomFilter
from ipinsights.training.resume import load_initial_model

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = {"num_entity_vectors": "20", "vector_dim": "8"}


def hyperparameters(**changes: str) -> Hyperparameters:
    """Return the hyperparameters of a small model."""
    return Hyperparameters.parse({**SHAPE, **changes})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the path of a model whose parameters are 1."""
    values = hyperparameters()
    params = {name: np.ones(shape, np.float32) for name, shape in parameter_shapes(values).items()}
    known = BloomFilter.of(np.zeros(0, np.uint64), 20)
    return artifact.write(tmp_path, artifact.Artifact(values, params, known, artifact.meta_data(values, {})))


def test_a_model_of_the_same_shape_is_read(model: Path) -> None:
    """Hyperparameters that do not change a shape may differ."""
    initial = load_initial_model(model, hyperparameters(epochs="3", learning_rate="0.5"))
    assert (initial.params["entity_weight"][0:20] == 1).all()


def test_another_shape_is_refused_with_each_difference(model: Path) -> None:
    """The message has the value of the model and of the job."""
    with pytest.raises(ClientError) as caught:
        load_initial_model(model, hyperparameters(vector_dim="16", num_ip_encoder_layers="0"))
    assert str(caught.value) == (
        f"The initial model {model} has another shape than the one to be trained: vector_dim is 8 there and 16 here; "
        "num_ip_encoder_layers is 1 there and 0 here. Set the hyperparameters to the model's."
    )
