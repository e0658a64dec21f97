"""The file of a small model, and the message that a damaged one is refused with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.artifact import Artifact, meta_data, parameter_shapes
from ipinsights.model.bloom import BloomFilter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


VALUES = Hyperparameters(num_entity_vectors=10, vector_dim=6)


def save(
    directory: Path,
    *,
    params: Mapping[str, Any],
    symbol: str | None,
    known_entities: BloomFilter,
    hyperparameters: Hyperparameters,
    training: Mapping[str, Any],
) -> Path:
    """Write a model without history into a directory, and return its file."""
    meta = meta_data(hyperparameters, training)
    return artifact.write(directory, Artifact(hyperparameters, params, known_entities, meta, symbol))


def model_file(folder: Path) -> Path:
    """Write a small model."""
    params = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(VALUES).items()}
    nobody = BloomFilter(np.zeros(10, dtype=np.uint8))
    return save(folder, params=params, symbol="{}", known_entities=nobody, hyperparameters=VALUES, training={})


def refusal_of(path: Path) -> str:
    """Return the error message for an invalid path."""
    with pytest.raises(ClientError) as caught:
        artifact.load(path)
    return str(caught.value)
