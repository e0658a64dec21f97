"""The simulation behind the page on several hosts, against sums worked by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "benchmark_hosts.py"


@pytest.fixture(scope="module")
def script() -> Any:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_hosts", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["benchmark_hosts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Punctual:
    """A generator in whose world nobody is late."""

    def normal(self, mean: float, _spread: float, *, size: int) -> Any:
        """Return the mean each time."""
        return np.full(size, mean)


@pytest.mark.parametrize(
    ("num_hosts", "changes", "expected"),
    [
        (1, {"alone": 3.0, "sum": 5.0, "peer": 5.0, "latency": 5.0, "byte": 5.0}, 3.0),
        # The largest part is 1.04 times the mean, of what is not the encoder's
        (16, {"alone": 3.0, "dense": 1.0}, 3.08),
        # A sum, three peers, and a message there and back
        (4, {"sum": 2.0, "peer": 1.0, "latency": 0.5}, 6.0),
        # 197,128 bytes in two parts, of which each host sends one and gets the sum of the other
        (2, {"byte": 1.0}, 197_128.0),
    ],
)
def test_a_step_is_the_sum_of_its_parts(
    script: Any, num_hosts: int, changes: dict[str, float], expected: float
) -> None:
    """The slowest host, work, latency and bytes of the sum."""
    zero = dict.fromkeys(("alone", "dense", "sum", "peer", "latency", "byte"), 0.0)
    assert script.simulate_step(num_hosts, script.Constants(**{**zero, **changes}), Punctual()) == pytest.approx(
        expected
    )
