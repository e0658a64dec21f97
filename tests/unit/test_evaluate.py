"""An evaluation from files to a report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluate import evaluate_model
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.protocol import evaluate
from ipinsights.evaluation.results import TestSet
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import PlantedNetworks, save_random_model

if TYPE_CHECKING:
    from pathlib import Path


class TestEvaluateModel:
    """From files to what is shown."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return a folder with a random model, training rows, and 120 rows to test on."""
        rng = np.random.default_rng(0)
        save_random_model(tmp_path / "model", num_entities=20, vector_dim=4, rng=rng)
        networks = PlantedNetworks.draw(10, rng=rng)
        for name, size in (("train", 300), ("test", 120)):
            (tmp_path / f"{name}.csv").write_text(networks.csv(size, rng=rng))
        return tmp_path

    def test_the_report_is_shown(self, folder: Path) -> None:
        """The text is that of the same rows in memory and the same seed, and no file is written."""
        lines: list[str] = []
        train, test = folder / "train.csv", folder / "test.csv"
        before = sorted(folder.rglob("*"))
        evaluate_model(model_dir=folder / "model", train=train, test=test, seed=5, echo=lines.append)
        expected = evaluate(Predictor.load(folder / "model"), read_pairs(train), TestSet(read_pairs(test)), seed=5)
        assert lines == [report(expected).text()]
        assert sorted(folder.rglob("*")) == before

    def test_the_report_is_written(self, folder: Path) -> None:
        """The last line names the files, and they hold what was shown."""
        lines: list[str] = []
        train, test = folder / "train.csv", folder / "test.csv"
        evaluate_model(
            model_dir=folder / "model", train=train, test=test, report_dir=folder / "report", echo=lines.append
        )
        assert lines[1] == f"Written: {folder / 'report' / 'report.html'}, report.json and model_card.md."
        found = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
        assert lines[0].splitlines()[-1] == found["headline"]
        assert found["facts"]["train_rows"] == 300

    def test_a_missing_model(self, folder: Path) -> None:
        """The path is refused before any row is read."""
        missing = folder / "missing"
        with pytest.raises(ClientError) as caught:
            evaluate_model(model_dir=missing, train=missing, test=missing)
        assert str(caught.value) == (
            f"There is no model at {missing}: give a model directory, a model_algo-1 file or a model.tar.gz."
        )
