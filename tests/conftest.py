"""Fixtures of all tests: a random seed that is printed, and logging restored after commands."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest

from ipinsights.model import mxnet_package
from ipinsights.testing import logger_restored

if TYPE_CHECKING:
    from collections.abc import Iterator


# Speed is no test's business: a busy machine is no failure.
hypothesis.settings.register_profile("ours", deadline=None, derandomize="TEST_SEED" in os.environ)
hypothesis.settings.load_profile("ours")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Return a generator with a new seed each time, which a failing test prints.

    The variable TEST_SEED chooses the seed.
    """
    seed = int(os.environ.get("TEST_SEED", secrets.randbits(32)))
    request.node.add_report_section("setup", "seed", f"rng seed {seed}")
    return np.random.default_rng(seed)


# Files of which every test needs MXNet.
collect_ignore = [] if mxnet_package.is_installed() else [
    "unit/test_network.py", "unit/test_mxnet.py", "unit/test_kvstore_collectives.py",
    "unit/test_predictor.py",
]  # fmt: skip


# From files that take minutes to files that take seconds.
_FOLDERS = ("system", "integration", "contract", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no process works on one when all others are done."""

    def rank(item: pytest.Item) -> int:
        """Return the position of the folder of a test."""
        folder = item.path.parent.name
        return _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)

    items.sort(key=rank)


@pytest.fixture
def mx() -> Any:
    """Return MXNet; without it the test is skipped."""
    if not mxnet_package.is_installed():
        pytest.skip("needs MXNet")
    from ipinsights.model._mxnet import mx

    return mx


@pytest.fixture(scope="session", autouse=True)
def kernels_compiled() -> None:
    """Compile all kernels, so that no log of a test has a line about a compilation."""
    code = "from ipinsights.training.learners.compilation import load_kernels; load_kernels()"
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)


@pytest.fixture
def unmeasured() -> dict[str, str]:
    """Return the environment of a process that is limited, where coverage is not measured.

    The limits would hold for coverage's data, too.
    """
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


@pytest.fixture(autouse=True)
def package_logger_restored() -> Iterator[None]:
    """Leave the package's logger as it was found, whatever a command set up."""
    with logger_restored():
        yield
