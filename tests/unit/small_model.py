"""Files of small models, whole and changed, and why a damaged one is refused."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.artifact import Artifact, meta_data, parameter_shapes
from ipinsights.model.bloom import BloomFilter
from ipinsights.training.learners.cpu import CPULearner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


NUM_ROWS = 10
KNOWN = np.array([2**40 + 7, 2**33, 2**63 + 12345], dtype=np.uint64)
FOREIGN = "A model that AWS's container trained cannot be read: train one with ipinsights, on the same data."
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


def saved(
    folder: Path, *, seed: int = 0, num_layers: int = 2, symbol: str | None = "{}", **facts: Any
) -> tuple[CPULearner, Path]:
    """Save a small model; return its learner and its file."""
    values = Hyperparameters(NUM_ROWS, 6, num_ip_encoder_layers=num_layers, learning_rate=1e-5)
    learner = CPULearner(values, seed=seed)
    known = BloomFilter.of(KNOWN, NUM_ROWS)
    training = {"seed": seed, **facts}
    file = save(
        folder, params=learner.parameters(), symbol=symbol, known_entities=known, hyperparameters=values,
        training=training,
    )  # fmt: skip
    return learner, file


def refusal_of(path: Path) -> str:
    """Return the error message for an invalid path."""
    with pytest.raises(ClientError) as caught:
        artifact.load(path)
    return str(caught.value)


def members_of(path: Path) -> dict[str, bytes]:
    """Return the members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, **members: bytes | None) -> Path:
    """Write the model again with changed members (``meta_json`` is meta.json).

    None omits one.
    """
    changes = {name.replace("_json", ".json"): content for name, content in members.items()}
    contents = {**members_of(path), **changes}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def with_meta(path: Path, **changes: Any) -> Path:
    """Write the model again with some of its meta data changed."""
    meta = json.loads(members_of(path)["meta.json"])
    return rewritten(path, meta_json=json.dumps({**meta, **changes}).encode())
