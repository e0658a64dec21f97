"""Models in MLflow: registered and loaded in an environment of its own.

With the scores of the command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ipinsights import IPInsights, log_mlflow_model, save_mlflow_model
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.score_arrow import score_arrow
from ipinsights.testing import save_random_model

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "how-to" / "engines" / "on_mlflow.py"
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
# MLflow's server needs gunicorn below 27, our endpoint 27. Neither is used here.
INSTALLED = ["mlflow==3.17.2", "pyspark==4.3.0", "orjson", "tqdm"]


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    registry = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "SPARK_LOCAL_IP": "127.0.0.1"}
    kept = {**kept, **registry, "PYSPARK_PYTHON": str(cwd / "env" / "bin" / "python")}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_a_registered_model_scores_alike(tmp_path: Path) -> None:
    """To the bit, with NaN for invalid rows."""
    python = tmp_path / "env" / "bin" / "python"
    run(*UV, "venv", "--python", sys.executable, tmp_path / "env", cwd=tmp_path)
    run(*UV, "pip", "install", "--python", python, *INSTALLED, cwd=tmp_path)
    # uv keeps what it has built of a folder, even where its code has changed.
    current: list[str | Path] = ["--refresh-package", "ipinsights", "--no-deps", ROOT]
    run(*UV, "pip", "install", "--python", python, *current, cwd=tmp_path)
    model = save_random_model(tmp_path / "model", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    pairs = pd.DataFrame({"entity": ["ann", None, "bob", ""] * 9, "ip": ["10.0.0.1", "10.0.0.1", "1", "10.0.0.1"] * 9})
    pairs.to_parquet(tmp_path / "pairs.parquet")
    run(python, EXAMPLE, "register", model, "logins", cwd=tmp_path)
    expected = score_arrow(model, pairs["entity"], pairs["ip"], errors="null").to_numpy(zero_copy_only=False)
    # Without Java there is no Spark.
    for command in ("score", "score_in_spark") if shutil.which("java") else ("score",):
        run(python, EXAMPLE, command, "logins", "pairs.parquet", f"{command}.parquet", cwd=tmp_path)
        scores = pd.read_parquet(tmp_path / f"{command}.parquet")["dot_product"].to_numpy(np.float32)
        assert np.array_equal(scores, expected, equal_nan=True)


@pytest.mark.parametrize("write", [save_mlflow_model, log_mlflow_model])
def test_a_missing_mlflow_is_told(write: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    assert callable(write)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    model = save_random_model(tmp_path, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    with pytest.raises(ClientError) as caught:
        write(model, "logins")
    assert str(caught.value) == "Models of MLflow need MLflow, which is not installed: pip install mlflow-skinny."


def test_an_estimator_is_saved_first() -> None:
    """A fitted model is no path, and the error says how it becomes one."""
    with pytest.raises(InvalidValueError) as caught:
        log_mlflow_model(IPInsights(), "logins")
    assert str(caught.value) == (
        "`model` must be the path of a saved model. Got an object of IPInsights: save it with its method save, and "
        "give the folder."
    )
