"""Memory: what a model takes, what there is, and a refusal with both numbers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from ipinsights.capacity import available_bytes, check_memory, training_bytes
from ipinsights.errors import ClientError
from ipinsights.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from pathlib import Path

LARGE = Hyperparameters(num_entity_vectors=1_000_000, vector_dim=128, num_ip_encoder_layers=1)


def machine(root: Path, *, free_gb: float, **files: str) -> Path:
    """Write what a kernel tells; files are named with two underscores for a slash and one for a dot."""
    told = {"proc/meminfo": f"MemTotal:  99 kB\nMemAvailable:   {int(free_gb * 1e9) // 1024} kB\n"}
    told.update({f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    for name, text in told.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def test_a_model_takes_twelve_bytes_a_number_and_a_row_sixteen() -> None:
    """By hand: a million vectors of 128, octets 1024 x 32, a layer 128 x 129, and four bytes an entity."""
    numbers = 1_000_000 * 128 + 1024 * 32 + 128 * 129
    assert training_bytes(LARGE, num_rows=1000) == 12 * numbers + 4_000_000 + 16_000


def test_the_narrowest_limit_counts(tmp_path: Path) -> None:
    """Of the machine, or of the group, whose own use is subtracted; "max" is no limit."""
    assert available_bytes(tmp_path) is None
    assert available_bytes(machine(tmp_path, free_gb=4)) == pytest.approx(4e9, abs=1024)
    limits = {"memory.max": "max\n", "memory.current": "100\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == pytest.approx(4e9, abs=1024)
    limits = {"memory.max": "3000000000\n", "memory.current": "500000000\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == 2_500_000_000
    limits = {"memory/memory.limit_in_bytes": "2000000000\n", "memory/memory.usage_in_bytes": "1000\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == 1_999_999_000


def test_what_does_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    """Before anything is allocated, and with the cure."""
    with pytest.raises(ClientError) as refused:
        check_memory(LARGE, num_rows=0, root=machine(tmp_path, free_gb=1.5))
    assert str(refused.value) == (
        "The model does not fit into memory: 1000000 entity vectors of 128 dimensions take 1.5 GB to train (12 bytes a "
        "number: the weights and Adam's two moments), and 1.5 GB are free. Lower num_entity_vectors or vector_dim, or "
        "use a larger machine."
    )


def test_a_large_model_is_told_of_and_a_small_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The original's log stays as it is for models of the original's users."""
    caplog.set_level(logging.INFO, "ipinsights")
    small = Hyperparameters(num_entity_vectors=20_000, vector_dim=128)
    check_memory(small, num_rows=2_000_000, root=machine(tmp_path, free_gb=2))
    assert caplog.messages == []
    check_memory(LARGE, num_rows=10_000_000, root=tmp_path)
    assert caplog.messages == ["Training 1000000 entity vectors of 128 dimensions takes 1.7 GB of memory at its peak."]
