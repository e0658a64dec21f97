"""What several integration tests share: a model of random parameters, and its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import save_random_model

from .running_server import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of random parameters, which no test changes."""
    folder = tmp_path_factory.mktemp("model")
    return save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server of two workers and payloads of up to 1 MB."""
    log = tmp_path_factory.mktemp("server") / "log"
    with Running(model, log, "--workers", "2", "--max-payload-mb", "1") as served:
        yield served


@pytest.fixture(scope="module")
def score(model: Path) -> float:
    """Return the score of the pair in most requests."""
    return float(Predictor.load(model).score(hash_entities(["user_1"]), np.array([0xC0A80102], dtype=np.uint32))[0])
