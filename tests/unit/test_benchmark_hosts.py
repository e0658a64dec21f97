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
    """Give the script as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_hosts", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["benchmark_hosts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Punctual:
    """A generator in whose world nobody is late."""

    def normal(self, mean: float, _spread: float, *, size: int) -> Any:
        """Give the mean each time."""
        return np.full(size, mean)


def constants(script: Any, **changes: float) -> Any:
    """Give constants of zero, with changes."""
    names = ("worker", "update_row", "update_encoder", "merge_row", "merge_encoder", "message", "rows", "byte")
    return script.Constants(**{**dict.fromkeys(names, 0.0), "encoder_bytes": 0, **changes})


@pytest.mark.parametrize(
    ("num_hosts", "changes", "expected"),
    [
        (1, {"worker": 2.0, "rows": 100.0, "update_row": 0.01, "message": 5.0}, 3.0),
        (8, {"worker": 2.0}, 2.0),
        # There and back with each of seven others
        (8, {"encoder_bytes": 1000, "byte": 0.001}, 14.0),
        # Half of a hundred rows of 524 bytes, there and back
        (2, {"rows": 100.0, "byte": 0.001}, 52.4),
        # Ten requests with two servers take what was measured, and a further server two more
        (2, {"message": 1.0}, 1.0),
        (7, {"message": 1.0}, 2.0),
    ],
)
def test_a_step_is_the_sum_of_its_parts(
    script: Any, num_hosts: int, changes: dict[str, float], expected: float
) -> None:
    """Computing, the table's and the encoder's way over the wire, updates, messages."""
    assert script.simulate_step(num_hosts, constants(script, **changes), Punctual()) == pytest.approx(expected)


def test_the_encoder_is_as_large_as_the_network_says(script: Any) -> None:
    """Octet table, one layer, its bias."""
    assert script._encoder_elements() * 4 == 197_120
