"""A stopped job saves the current model and ends well, at any stage of the job."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, csv_text, make_container_tree
from ipinsights.training.checkpoint import CheckpointDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NUM_ROWS = 20_000
# Entities one after the other, so that a job stopped early has not come to the last ones.
ROWS = "".join(f"user_{row},10.{row >> 16}.{row >> 8 & 255}.{row & 255}\n" for row in range(NUM_ROWS))
LONG = {"num_entity_vectors": "100000", "vector_dim": "128", "mini_batch_size": "100", "epochs": "1000"}


def train(base: Path) -> list[str | Path]:
    """Return the command that trains the job of a folder tree."""
    return [sys.executable, "-m", "ipinsights", "train", "--base-dir", base]


def stop_at(base: Path, *lines: str) -> tuple[int, str]:
    """Run a job, send SIGTERM when its log has each line, and return exit code and log."""
    expected = list(lines)
    with subprocess.Popen(train(base), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        log = []
        for read in job.stdout:
            log.append(read)
            if expected and expected[0] in read:
                job.send_signal(signal.SIGTERM)
                del expected[0]
        return job.wait(), "".join(log)


def stop_while_it_writes(base: Path, pattern: str) -> tuple[int, str]:
    """Run a job, send SIGTERM while it writes a file, and return exit code and log.

    The job is halted for the moment in which the signal is sent, so that this moment is within the writing. If it had
    written before anybody looked, it is run again.
    """
    while True:
        log = base / "log"
        with log.open("w") as stream, subprocess.Popen(train(base), stdout=stream, stderr=subprocess.STDOUT) as job:
            was_sent = False
            while job.poll() is None and not was_sent:
                if list(base.glob(pattern)):
                    job.send_signal(signal.SIGSTOP)
                    if was_sent := bool(list(base.glob(pattern))):
                        job.send_signal(signal.SIGTERM)
                    job.send_signal(signal.SIGCONT)
                time.sleep(0.0005)
        if was_sent:
            return job.returncode, log.read_text()


def model(base: Path) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of the model in a folder tree."""
    return {name: np.array(array) for name, array in artifact.load(base / "model").params.items()}


def test_a_stopped_job_saves_what_is_trained_so_far(tmp_path: Path) -> None:
    """A stopped job ends with 0, a valid model, the usual last lines and no failure file.

    The model has fewer batches than an epoch.
    """
    base = make_container_tree(tmp_path, hyperparameters=LONG, channels={"train": ROWS})
    code, log = stop_at(base, "batch=0 train")
    assert code == 0
    assert "SIGTERM received: stopping." in log
    assert "completed" not in log
    assert log.rstrip().splitlines()[-2:-1] == [
        line for line in log.splitlines() if "Test data is not provided." in line
    ]
    summary = artifact.load(base / "model").summary()
    facts = summary["training"]
    assert facts["num_epochs"] == 0
    assert 0 < facts["num_batches"] < 3 * NUM_ROWS / 100
    assert facts["num_records"] == 100 * facts["num_batches"]
    assert 0 < summary["num_known_entities"] <= facts["num_records"] / 3
    assert not (base / "output" / "failure").exists()


@pytest.mark.slow
def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    """A job that is stopped twice writes its model all the same."""
    base = make_container_tree(tmp_path, hyperparameters=LONG, channels={"train": ROWS})
    code, log = stop_at(base, "batch=0 train", "SIGTERM received: stopping.")
    assert code == 0
    assert log.count("SIGTERM received: stopping.") == 2
    assert artifact.load(base / "model").meta["training"]["num_batches"] > 0


def test_a_job_stopped_before_it_trains_leaves_nothing(tmp_path: Path) -> None:
    """No model is better than an untrained one."""
    base = make_container_tree(tmp_path, hyperparameters=LONG, channels={"train": ROWS * 50})
    code, log = stop_at(base, "Final configuration")
    assert code == 0
    assert "SIGTERM received: stopping." in log
    assert list((base / "model").iterdir()) == []
    assert not (base / "output" / "failure").exists()


@pytest.mark.slow
def test_a_validation_is_broken_off_and_done_again(tmp_path: Path, rng: np.random.Generator) -> None:
    """An interrupted validation is repeated by the same command, with the same final model.

    The interrupted epoch is saved as trained but not complete.
    """
    networks = PlantedNetworks.draw(50, rng=rng)
    many = csv_text(["user_1"] * 400_000, np.arange(400_000, dtype=np.uint32))
    values = {**LONG, "num_entity_vectors": "200", "epochs": "2"}
    channels = {"train": networks.csv(1000, rng=rng), "validation": many}
    base = make_container_tree(tmp_path / "stopped", hyperparameters=values, channels=channels)
    (base / "checkpoints").mkdir()
    code, log = stop_at(base, "epoch=0, train binary_classification_cross_entropy")
    assert code == 0
    assert "discriminator_auc" not in log
    facts = artifact.load(base / "model").meta["training"]
    assert (facts["num_epochs"], facts["num_batches"], facts["validation_auc"]) == (0, 30, None)
    resumed = subprocess.run(train(base), capture_output=True, text=True, check=True)
    assert re.findall(r"epoch=(\d), validation discriminator_auc", resumed.stdout) == ["0", "1"]
    whole = make_container_tree(tmp_path / "whole", hyperparameters=values, channels=channels)
    subprocess.run(train(whole), capture_output=True, check=True)
    assert all((model(whole)[name] == array).all() for name, array in model(base).items())
    ours, theirs = (artifact.load(place / "model").meta["training"] for place in (base, whole))
    assert ours == theirs


@pytest.mark.slow
def test_a_checkpoint_that_is_being_written_is_finished(tmp_path: Path) -> None:
    """The job writes the checkpoint to its end, and then a model of the same state."""
    values = {**LONG, "mini_batch_size": "10000"}
    base = make_container_tree(tmp_path, hyperparameters=values, channels={"train": ROWS})
    (base / "checkpoints").mkdir()
    code, log = stop_while_it_writes(base, "checkpoints/.checkpoint-0*")
    assert code == 0
    assert "SIGTERM received: stopping." in log
    assert not list((base / "checkpoints").glob(".*.partial"))
    newest = CheckpointDirectory(base / "checkpoints", keep=2).load_newest()
    assert newest is not None
    assert artifact.load(base / "model").meta["training"]["num_batches"] == newest[1].counters["num_batches"]


@pytest.mark.slow
def test_a_model_that_is_being_written_is_finished(tmp_path: Path) -> None:
    """Training was over: the signal has come too late to change anything."""
    base = make_container_tree(tmp_path, hyperparameters={**LONG, "epochs": "1"}, channels={"train": ROWS})
    code, log = stop_while_it_writes(base, "model/.model_algo-1.*")
    assert code == 0
    assert "SIGTERM received: stopping." in log
    assert "completed 100.0 % of epochs" in log
    assert [path.name for path in (base / "model").iterdir()] == ["model_algo-1"]
    assert artifact.load(base / "model").meta["training"]["num_epochs"] == 1
