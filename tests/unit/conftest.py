"""What several unit tests share: simulated traffic, a model that answers, logs, and a training run."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.runs.reader import read_run
from ipinsights.synthetic.logins import simulate
from ipinsights.testing import ruler, save_random_model

from .log_samples import Bench
from .training_logs import LOGS

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.runs.run import RunLog
    from ipinsights.serving.service import InferenceModel
    from ipinsights.synthetic.logins import Events


@pytest.fixture(scope="module")
def seed() -> int:
    """Another seed in each run, printed when a test fails; bounds on statistics are five deviations wide."""
    number = secrets.randbits(32)
    print(f"seed {number}")  # noqa: T201
    return number


@pytest.fixture(scope="module")
def few(seed: int) -> Events:
    """Three days of 20 users on a ruler of a thousand ranges."""
    return simulate(num_users=20, num_days=3, ranges=ruler(1000), rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InferenceModel:
    """Return a model of random parameters that answers requests."""
    from ipinsights.serving.service import InferenceModel

    folder = tmp_path_factory.mktemp("model")
    return InferenceModel.load(save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(0)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a folder to put logs into and to extract from."""
    return Bench(tmp_path)


@pytest.fixture
def baseline() -> RunLog:
    """Give a run with accuracy 0.90625, cross-entropy 0.28125, AUC 0.953125 and 1500 records per second at its end."""
    return read_run(LOGS / "sagemaker-python3.7.log")
