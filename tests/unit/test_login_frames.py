"""Simulated logins as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ipinsights import simulate_logins
from ipinsights.testing import run_command

if TYPE_CHECKING:
    from pathlib import Path


def test_frames_hold_what_the_command_writes(tmp_path: Path) -> None:
    """The same seed gives the rows of ``ipinsights simulate``, in their order."""
    options = ["--users", "20", "--days", "4", "--seed", "3", "--no-access-log"]
    assert run_command("simulate", *options, "-o", tmp_path, folder=tmp_path).returncode == 0
    logins = simulate_logins(20, 4, seed=3)
    for name in ("train", "validation", "test"):
        frame = getattr(logins, name)
        assert frame.equals(pd.read_csv(tmp_path / f"{name}.csv", names=frame.columns.tolist()))
    assert logins.test["label"].mean() == 0.5
