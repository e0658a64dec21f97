"""``ipinsights tune`` by command line: a study in two runs, and training with its result."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, run_command

from .terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

FIXED = ("-H", "num_entity_vectors=40", "-H", "vector_dim=8", "-H", "mini_batch_size=100", "-H", "epochs=1")


def write_rows(folder: Path, rng: np.random.Generator) -> None:
    """Write planted rows to train on and to validate."""
    planted = PlantedNetworks.draw(20, rng=rng)
    (folder / "train.csv").write_text(planted.csv(1000, rng=rng))
    (folder / "validation.csv").write_text(planted.csv(300, rng=rng))


@pytest.mark.slow
def test_search_in_two_sittings(tmp_path: Path, rng: np.random.Generator) -> None:
    """A second run adds the missing trials, and training accepts the file of the best map."""
    write_rows(tmp_path, rng)
    data = ("--train", "train.csv", "--validation", "validation.csv")
    search = ("tune", *data, "--tune", "learning_rate=0.001:0.1", *FIXED, "--study", "study.db")
    first = run_command(*search, "--trials", "2", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    second = run_command(*search, "--trials", "3", "-o", "best.json", "--plot", "search.png", folder=tmp_path)
    assert second.returncode == 0, second.stderr
    trials = [line.split(":")[0] for line in (first.stderr + second.stderr).splitlines() if line.startswith("trial")]
    assert trials == ["trial 1", "trial 2", "trial 3"]
    shown = on_terminal(*search, "--trials", "3", "-o", "best.json", folder=tmp_path, width=120)
    assert shown.lines == [
        "Next: ipinsights train --train train.csv --model-dir model --hyperparameters best.json", "",
    ]  # fmt: skip
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    best = json.loads((tmp_path / "best.json").read_text())
    assert list(best) == ["num_entity_vectors", "vector_dim", "mini_batch_size", "epochs", "learning_rate"]
    trained = run_command("train", *data, "--model-dir", "model", "--hyperparameters", "best.json", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert artifact.load(tmp_path / "model").hyperparameters.learning_rate == float(best["learning_rate"])


def test_one_trial(tmp_path: Path, rng: np.random.Generator) -> None:
    """Trials go to standard error, the best map to standard output, and the plot to its file."""
    write_rows(tmp_path, rng)
    ran = run_command(
        "tune", "--train", "train.csv", "--validation", "validation.csv", "--tune", "learning_rate=0.001:0.1",
        *FIXED, "--study", "study.db", "--trials", "1", "--stop-early", "--plot", "search.png",
        folder=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    best = json.loads(ran.stdout)
    (told,) = (line for line in ran.stderr.splitlines() if line.startswith("trial"))
    assert re.fullmatch(rf"trial 1: AUC [01]\.\d{{5}}, learning_rate {re.escape(best['learning_rate'])}", told)
    assert 0.001 <= float(best["learning_rate"]) <= 0.1
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_tune(tmp_path: Path, rng: np.random.Generator) -> None:
    """A search that names no hyperparameter ends with one sentence and exit code 2."""
    write_rows(tmp_path, rng)
    ran = run_command(
        "tune",
        "--train",
        "train.csv",
        "--validation",
        "validation.csv",
        "--study",
        "s.db",
        *FIXED,
        folder=tmp_path,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "ClientError: There is nothing to tune: name at least one hyperparameter.\n"
