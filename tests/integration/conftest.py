"""What several integration tests share: a model of random parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of random parameters, which no test changes."""
    folder = tmp_path_factory.mktemp("model")
    return save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
