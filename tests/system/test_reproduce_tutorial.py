"""The script that reproduces the AWS tutorial."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce_tutorial.py"


@pytest.mark.slow
def test_little_data(tmp_path: Path) -> None:
    """The script trains on simulated data, and prints its numbers next to those of real jobs."""
    options = ["--users", "60", "--epochs", "2", "--data-dir", str(tmp_path), "-o", str(tmp_path / "report.md")]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert done.stdout == report
    assert re.findall("^## (.*)$", report, re.MULTILINE) == [
        "Accuracy / cross-entropy of each epoch",
        "The same inside epoch 0, cumulative",
        "Validation AUC (R = 1, S = 0)",
        "Detection: attack if the score is below -threshold",
        "Counters and speed",
        "Length of the embeddings, 5 % / 50 % / 95 % (the original: entity 5-15, address 3-5)",
    ]
    found = re.search(r"^\| epoch 1 \| (0\.\d+) \|", report.split("## Validation AUC")[1], re.MULTILINE)
    assert found
    assert float(found[1]) > 0.95
