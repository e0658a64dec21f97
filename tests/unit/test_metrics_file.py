"""Metrics of each epoch in a file of JSON lines."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import ipinsights
from ipinsights.errors import ClientError
from ipinsights.testing import run_command
from ipinsights.training.epoch_records import MetricsFile

if TYPE_CHECKING:
    from pathlib import Path

LOGINS = [(f"user_{n % 9}", f"10.{n % 9}.{n % 7}.{n}") for n in range(200)]
SIZES: dict[str, Any] = {"num_entity_vectors": 20, "vector_dim": 8, "mini_batch_size": 50, "epochs": 2}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_epoch(tmp_path: Path) -> None:
    """Each line has the model's metrics, the numbers of records and batches, and the time."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("of a run before\n")
    before = time.time()
    ipinsights.IPInsights(**SIZES, progress=False, callbacks=[MetricsFile(path)]).fit(LOGINS)
    first, second = lines_of(path)
    assert list(first) == [
        "epoch", "accuracy", "cross_entropy", "validation_auc", "seconds", "num_batches", "num_records", "time",
    ]  # fmt: skip
    assert [(line["epoch"], line["num_batches"], line["num_records"]) for line in (first, second)] == [
        (1, 12, 600), (2, 24, 1200),
    ]  # fmt: skip
    assert first["validation_auc"] is None
    assert 0 < first["accuracy"] < 1
    assert before - 1 <= first["time"] <= second["time"] <= time.time() + 1


def test_a_file_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    """The place and the reason are named."""
    with pytest.raises(ClientError) as caught:
        MetricsFile(tmp_path / "none" / "metrics.jsonl")
    path = tmp_path / "none" / "metrics.jsonl"
    assert str(caught.value) == f"The metrics file {path} cannot be written: No such file or directory."


def test_the_command_writes_it_and_a_resumed_job_goes_on(tmp_path: Path) -> None:
    """`train --metrics-file` has the validation AUC, and a resumed job appends its lines."""
    (tmp_path / "rows.csv").write_text("".join(f"{entity},{ip}\n" for entity, ip in LOGINS))
    command = ("train", "--train", "rows.csv", "--validation", "rows.csv", "--model-dir", "model", "--quiet",
               "--checkpoint-dir", "saved", "--metrics-file", "metrics.jsonl")  # fmt: skip
    done = run_command(*command, "--max-seconds", "0.001", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_command(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = lines_of(tmp_path / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == list(range(1, 101))
    assert all(0 < line["validation_auc"] <= 1 for line in lines)
