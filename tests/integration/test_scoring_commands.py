"""Commands that use a trained model."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.testing import run_command

from .small_job import CLEANING, ROWS, refusal_of, train_on

if TYPE_CHECKING:
    from pathlib import Path

IPINSIGHTS = [sys.executable, "-m", "ipinsights"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``rows.csv`` and the ``model`` trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_on(folder, ROWS, "--quiet").returncode == 0
    return folder


class TestScore:
    """``ipinsights score``."""

    def test_standard_input_is_scored(self, trained: Path) -> None:
        """One login by hand, with all that is known of it."""
        command = ["score", "-", "--model-dir", trained / "model", "--extended"]
        done = run_command(*command, stdin="user_1, 10.0.0.1\nnobody,::1\n")
        assert refusal_of(done) == (
            "standard input:2: '::1' is no IPv4 address: it looks like IPv6; leave such rows out." + CLEANING
        )
        done = run_command(*command, stdin="user_1, 10.0.0.1\n")
        assert re.fullmatch(
            r"entity,ip,dot_product,entity_known,probability\nuser_1,10\.0\.0\.1,-?\d\S*,true,0\.\d+\n", done.stdout
        )

    def test_a_reader_who_has_enough_is_no_failure(self, trained: Path) -> None:
        """`ipinsights score | head -1` prints a line and nothing else."""
        (trained / "many.csv").write_text(ROWS * 5000)
        command = f"{' '.join(IPINSIGHTS)} score many.csv --model-dir model | head -1"
        done = subprocess.run(["sh", "-c", command], cwd=trained, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "entity,ip,dot_product\n", "")

    def test_a_file_of_scores(self, model: Path, tmp_path: Path) -> None:
        """With --output nothing is printed, and the file has the lines that are printed without it."""
        (tmp_path / "rows.csv").write_text(ROWS)
        words = ("score", tmp_path / "rows.csv", "--model-dir", model)
        done = run_command(*words, "-o", tmp_path / "scores.csv")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (tmp_path / "scores.csv").read_text() == run_command(*words).stdout

    def test_a_threshold_means_extended(self, model: Path, tmp_path: Path) -> None:
        """With --threshold alone each row has a p-value and a verdict."""
        rng = np.random.default_rng(1)
        hashes, ips = rng.integers(2**63, size=2000).astype(np.uint64), rng.integers(2**32, size=2000, dtype=np.uint32)
        Threshold.calibrate(Predictor.load(model), Pairs(hashes, ips), fpr=0.1).save(tmp_path / "t.json")
        words = ("score", "-", "--model-dir", model, "--threshold", tmp_path / "t.json")
        rows = list(csv.DictReader(io.StringIO(run_command(*words, stdin=ROWS).stdout)))
        assert list(rows[0]) == ["entity", "ip", "dot_product", "entity_known", "probability", "p_value", "verdict"]
        for row in rows:
            if row["entity_known"] == "false":
                assert row["verdict"] == "unknown_entity"
            else:
                assert (row["verdict"] == "suspicious") == (float(row["p_value"]) <= 0.1)

    def test_further_columns(self, model: Path) -> None:
        """Further columns are refused, or copied with --keep-columns."""
        text = "user_1,10.0.0.1,x\n"
        assert refusal_of(run_command("score", "-", "--model-dir", model, stdin=text)) == (
            "standard input:1: a row must have 2 columns (entity,ip), this one has 3 columns.\n"
            "With --keep-columns further columns are accepted and copied."
        )
        kept = run_command("score", "-", "--model-dir", model, "--keep-columns", stdin=text)
        assert re.fullmatch(r"entity,ip,dot_product,column_3\nuser_1,10\.0\.0\.1,-?\d[\d.]*,x\n", kept.stdout)

    @pytest.mark.parametrize("content", [
        'when,user,from,"no, te",ip\n1,user_1,10.0.0.1,"a, b",x\n2,-,10.0.0.1,c,y\n',
        '{"when":1,"user":"user_1","from":"10.0.0.1","no, te":"a, b","ip":"x"}\n',
    ])  # fmt: skip
    def test_further_columns_of_a_table(self, model: Path, tmp_path: Path, content: str) -> None:
        """Kept columns have their names and stay in the rows of their pairs.

        A name that is taken gets an underscore.
        """
        (tmp_path / "table").write_text(content)
        given = ("score", tmp_path / "table", "--model-dir", model, "--entity", "user", "--ip", "from")
        kept = run_command(*given, "--keep-columns")
        assert re.fullmatch(
            r'entity,ip,dot_product,when,"no, te",ip_\nuser_1,10\.0\.0\.1,-?[\de.-]+,1,"a, b",x\n', kept.stdout
        )
        row = json.loads(run_command(*given, "--keep-columns", "--json-lines").stdout)
        assert {**row, "dot_product": 0} == {"entity": "user_1", "ip": "10.0.0.1", "dot_product": 0, "when": "1",
                                            "no, te": "a, b", "ip_": "x"}  # fmt: skip
        assert run_command(*given).stdout.startswith("entity,ip,dot_product\nuser_1,10.0.0.1,")


class TestEmbeddings:
    """``ipinsights embeddings``."""

    @pytest.mark.parametrize("names", [(), ("--entities", "--ips")])
    def test_one_list_is_needed(self, model: Path, names: tuple[str, ...]) -> None:
        """No list or two lists of values to export are refused."""
        options = [word for name in names for word in (name, "list.txt")]
        done = run_command("embeddings", "--model-dir", model, *options, "-o", "out.csv")
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "Error: Give --entities or --ips.")

    def test_an_output_is_needed(self, model: Path) -> None:
        """Formats are chosen by its name."""
        done = run_command("embeddings", "--model-dir", model, "--ips", "list.txt")
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "Error: Missing option '-o' / '--output'.")
