"""An evaluation from files to a report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ipinsights
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluate import evaluate_model
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.protocol import evaluate_ipv4
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
        expected = evaluate_ipv4(Predictor.load(folder / "model"), read_pairs(train), TestSet(read_pairs(test)), seed=5)
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


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows of each family and a model of both."""
    folder, ipv6 = tmp_path_factory.mktemp("both"), [("user_1", "2a00:1::1"), ("user_2", "2a00:2::1")] * 100
    ipv4 = [(f"user_{number % 5}", f"11.{number % 5}.0.{number % 9}") for number in range(300)]
    model = ipinsights.IPInsights(vector_dim=4, epochs=1, progress=False, keep_history=True, ipv6=True)
    model.fit(ipv4 + ipv6).save(folder / "model")
    for name, rows in (("ipv4", ipv4), ("ipv6", ipv6), ("both", ipv4 + ipv6)):
        (folder / f"{name}.csv").write_text("".join(f"{entity},{ip}\n" for entity, ip in rows))
    return folder


class TestBothFamilies:
    """Tests whose rows are of other families than those of training."""

    @pytest.mark.parametrize(
        ("train", "ordinary", "attack", "line"),
        [
            ("both", "ipv4", "2b00::1", "Set aside: 0 ordinary events and 1 labelled attacks from IPv6. Training "
             "and test must both have ordinary IPv6 events to evaluate them."),
            ("both", "ipv6", "203.0.1.9", "Set aside: 0 ordinary events and 1 labelled attacks from IPv4. Training "
             "and test must both have ordinary IPv4 events to evaluate them."),
            ("ipv4", "both", "2b00::1", "Set aside: 200 ordinary events and 1 labelled attacks from IPv6. Training "
             "and test must both have ordinary IPv6 events to evaluate them."),
        ],
    )  # fmt: skip
    def test_rows_of_a_family_that_is_not_evaluated(
        self, both: Path, tmp_path: Path, train: str, ordinary: str, attack: str, line: str
    ) -> None:
        """Rows of a family without training rows are counted, and the other family is evaluated."""
        rows = (both / f"{ordinary}.csv").read_text().splitlines()
        test = tmp_path / "test.csv"
        test.write_text("".join([*(f"{row},0\n" for row in rows), f"user_1,{attack},1\n"]))
        shown: list[str] = []
        evaluate_model(model_dir=both / "model", train=both / f"{train}.csv", test=test, echo=shown.append)
        assert len(shown) == 1
        assert line in " ".join(shown[0].split())

    def test_nothing_is_set_aside(self, both: Path) -> None:
        """Both families are evaluated, and no line is about a family that is not."""
        shown: list[str] = []
        rows = both / "both.csv"
        evaluate_model(model_dir=both / "model", train=rows, test=rows, echo=shown.append)
        assert len(shown) == 2
        assert "labelled" not in "".join(shown)

    @pytest.mark.parametrize(("train", "test"), [("ipv4", "ipv6"), ("ipv6", "ipv4")])
    def test_no_family_in_common(self, both: Path, tmp_path: Path, train: str, test: str) -> None:
        """Training and test without a common family are refused, with a report or without."""
        first, second = both / f"{train}.csv", both / f"{test}.csv"
        for report_dir in (None, tmp_path):
            with pytest.raises(ClientError) as caught:
                evaluate_model(model_dir=both / "model", train=first, test=second, report_dir=report_dir)
            assert str(caught.value) == (
                f"{first} and {second} have no address family in common. Give training rows of the family of the test."
            )
