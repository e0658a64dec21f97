"""A training job of a second, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.testing import Done, PlantedNetworks, run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path


SMALL = {"num_entity_vectors": "40", "vector_dim": "8", "mini_batch_size": "20", "epochs": "2", "learning_rate": "0.01",
         "batch_metrics_publish_interval": "4"}  # fmt: skip


ROWS = PlantedNetworks.draw(20, rng=np.random.default_rng(1)).csv(99, rng=np.random.default_rng(2))


def given(values: Mapping[str, str]) -> list[str]:
    """Return hyperparameters as options."""
    return [word for name, value in values.items() for word in ("-H", f"{name}={value}")]


def train_on(folder: Path, text: str | bytes = ROWS, *options: object, **changes: str) -> Done:
    """Train on one file in a folder, into its folder ``model``."""
    (folder / "rows.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    command = ["train", "--train", "rows.csv", "--model-dir", "model", *given({**SMALL, **changes}), *options]
    return run_command(*command, folder=folder)


CLEANING = (
    "\n`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
    "and counts the others."
)


def refusal_of(done: Done | subprocess.CompletedProcess[str]) -> str:
    """Return the message of a command that failed by the user's fault and printed nothing else."""
    assert done.returncode == 2
    assert done.stderr.startswith("ClientError: ")
    assert done.stderr.endswith("\n")
    return done.stderr[len("ClientError: ") : -1]
