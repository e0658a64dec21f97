"""A job that is told to stop: what is trained so far is saved, and the process ends well."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from ipinsights import artifact
from ipinsights.testing import make_container_tree

if TYPE_CHECKING:
    from pathlib import Path

NUM_ROWS = 20_000
# Entities one after the other, so that a job stopped early has not come to the last ones.
ROWS = "".join(f"user_{row},10.{row >> 16}.{row >> 8 & 255}.{row & 255}\n" for row in range(NUM_ROWS))
LONG = {"num_entity_vectors": "100000", "vector_dim": "128", "mini_batch_size": "100", "epochs": "1000"}


def stop_at(line: str, base: Path) -> tuple[int, str]:
    """Run the job of a tree until its log has a line with this in it, send SIGTERM, and give exit code and log."""
    command = [sys.executable, "-m", "ipinsights", "train", "--base-dir", base]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        log = []
        for read in job.stdout:
            log.append(read)
            if line in read and line not in "".join(log[:-1]):
                job.send_signal(signal.SIGTERM)
        return job.wait(timeout=60), "".join(log)


def test_a_stopped_job_saves_what_is_trained_so_far(tmp_path: Path) -> None:
    """Exit code 0, a whole model of fewer batches than an epoch, the last lines of every job, and no failure."""
    base = make_container_tree(tmp_path, hyperparameters=LONG, channels={"train": ROWS})
    code, log = stop_at("batch=0 train", base)
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


def test_a_job_stopped_before_it_trains_leaves_nothing(tmp_path: Path) -> None:
    """No model is better than an untrained one."""
    base = make_container_tree(tmp_path, hyperparameters=LONG, channels={"train": ROWS * 50})
    code, log = stop_at("Final configuration", base)
    assert code == 0
    assert "SIGTERM received: stopping." in log
    assert list((base / "model").iterdir()) == []
    assert not (base / "output" / "failure").exists()
