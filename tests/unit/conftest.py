"""Shared fixtures of unit tests: simulated traffic, a model, logs and a training run."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.runs.reader import read_run
from ipinsights.synthetic.logins import simulate
from ipinsights.testing import save_random_model, single_address_ranges

from .log_samples import Bench
from .training_logs import LOGS

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.runs.run import RunLog
    from ipinsights.serving.service import InferenceModel
    from ipinsights.synthetic.logins import Events


@pytest.fixture(scope="module")
def seed() -> int:
    """Return a different seed in each run, which is printed when a test fails.

    The variable TEST_SEED chooses the seed.
    Bounds on statistics are five standard deviations wide.
    """
    number = int(os.environ.get("TEST_SEED", secrets.randbits(32)))
    print(f"seed {number}")  # noqa: T201
    return number


@pytest.fixture(scope="module")
def few(seed: int) -> Events:
    """Three days of 20 users with a thousand ranges of one address each."""
    return simulate(num_users=20, num_days=3, ranges=single_address_ranges(1000), rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InferenceModel:
    """Return a model of random parameters that answers requests."""
    from ipinsights.serving.service import InferenceModel

    folder = tmp_path_factory.mktemp("model")
    return InferenceModel.load(save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(0)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a folder for logs that are extracted."""
    return Bench(tmp_path)


@pytest.fixture
def baseline() -> RunLog:
    """Return a run with known metrics at its end.

    Accuracy is 0.90625, cross-entropy 0.28125, AUC 0.953125 and throughput 1500 records per second.
    """
    return read_run(LOGS / "sagemaker-python3.7.log")
