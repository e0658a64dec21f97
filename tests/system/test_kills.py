"""A run that is killed again and again ends with the model of one that was left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NUM_KILLS = 20
HYPERPARAMETERS = ("num_entity_vectors=4000", "vector_dim=64", "mini_batch_size=200", "epochs=4")


def command(folder: Path, model: str) -> list[str]:
    """Return the command that trains on the folder's rows, with frequent checkpoints.

    There is a checkpoint after every second base batch.
    """
    given = [word for assignment in HYPERPARAMETERS for word in ("-H", assignment)]
    options = ["--train", f"{folder}/rows.csv", "--model-dir", f"{folder}/{model}", "--quiet", *given]
    return [sys.executable, "-m", "ipinsights", "train", *options]


def parameters(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of the model in a folder."""
    return {name: np.array(array) for name, array in artifact.load(folder).params.items()}


def names_in(checkpoints: Path) -> set[str]:
    """Return the names of all files, partial files included.

    A run is therefore also killed while it saves.
    """
    return {path.name for path in checkpoints.iterdir()} if checkpoints.exists() else set()


def kill_while_it_trains(resumable: list[str], checkpoints: Path, rng: np.random.Generator, *, saving: bool) -> bool:
    """Start or resume the run, and kill it after new files appear or while it saves.

    Tells whether it was killed.
    """
    before = names_in(checkpoints)
    with subprocess.Popen(resumable) as process:
        while process.poll() is None:
            new = names_in(checkpoints) - before
            if is_half_written(new) if saving else new:
                break
            time.sleep(0.0005)
        if not saving:
            time.sleep(rng.exponential(0.01))
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def is_half_written(names: set[str]) -> bool:
    """Return whether there is a partial file, except for the directory's write test."""
    return any(name.startswith(".checkpoint-0") for name in names)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    """After twenty kills at random times, parameters are the same, to the bit.

    Every second kill occurs during saving.
    """
    networks = PlantedNetworks.draw(500, rng=rng)
    (tmp_path / "rows.csv").write_text(networks.csv(20_000, rng=rng))
    subprocess.run(command(tmp_path, "whole"), check=True)
    checkpoints = tmp_path / "checkpoints"
    resumable = [*command(tmp_path, "killed"), "--checkpoint-dir", str(checkpoints), "--checkpoint-every", "6"]
    num_hit_saves = 0
    for number in range(NUM_KILLS):
        assert kill_while_it_trains(resumable, checkpoints, rng, saving=number % 2 == 1)
        num_hit_saves += is_half_written(names_in(checkpoints))
    assert num_hit_saves > 0
    assert not (tmp_path / "killed").exists() or not list((tmp_path / "killed").glob("model*"))
    subprocess.run(resumable, check=True)
    whole, killed = parameters(tmp_path / "whole"), parameters(tmp_path / "killed")
    assert all((whole[name] == killed[name]).all() for name in whole)
