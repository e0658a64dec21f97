"""What must never change: the scores of an old model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

DATA = Path(__file__).parents[1] / "data"
IPINSIGHTS = [sys.executable, "-m", "ipinsights"]


class TestArtifact:
    """A model of the first version."""

    def test_it_scores_as_it_did_when_it_was_made(self, tmp_path: Path) -> None:
        """Scores and other columns are those of the golden files, to 1e-6.

        Only the order of additions may differ.
        """
        golden = DATA / "golden"
        output = tmp_path / "scores.csv"
        command = ["score", golden / "pairs.csv", "--model-dir", golden, "--extended", "--output", output]
        subprocess.run([*IPINSIGHTS, *map(str, command)], check=True)
        pd.testing.assert_frame_equal(pd.read_csv(output), pd.read_csv(golden / "scores.csv"), rtol=1e-6, atol=1e-6)
