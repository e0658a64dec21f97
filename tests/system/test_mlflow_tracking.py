"""The MLflow callback with the real MLflow and a SQLite store, in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ipinsights
from ipinsights.errors import ClientError

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
LOGINS = [(f"user_{n % 9}", f"10.{n % 9}.{n % 7}.{n}") for n in range(200)]
PROGRAM = f"""
import json, mlflow, ipinsights
mlflow.set_tracking_uri("sqlite:///runs.db")
mlflow.set_experiment("logins")
logins = {LOGINS!r}

def fit(name):
    callback = ipinsights.MLflowCallback(run_name=name)
    ipinsights.IPInsights(vector_dim=8, epochs=2, progress=False, callbacks=[callback]).fit(logins)

fit("own")
with mlflow.start_run(run_name="given") as given:
    fit("not used")
    assert mlflow.active_run() is not None
client = mlflow.MlflowClient()
runs = client.search_runs([client.get_experiment_by_name("logins").experiment_id], order_by=["start_time"])
print(json.dumps([{{
    "name": run.info.run_name, "status": run.info.status, "dim": run.data.params["vector_dim"],
    "metrics": sorted(run.data.metrics),
    "steps": [metric.step for metric in client.get_metric_history(run.info.run_id, "accuracy")],
}} for run in runs]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_runs_are_tracked(tmp_path: Path) -> None:
    """The callback's own run ends, an active run stays open, and epochs are steps."""
    python = tmp_path / "env" / "bin" / "python"
    run(*UV, "venv", "--python", sys.executable, tmp_path / "env", cwd=tmp_path)
    # MLflow's server needs gunicorn below 27, our endpoint 27. Neither is used here.
    install: tuple[str | Path, ...] = (*UV, "pip", "install", "--python", python)
    run(*install, "mlflow>=3", "numba", "orjson", "prometheus-client", "rich", "threadpoolctl", "tqdm", cwd=tmp_path)
    run(*install, "--no-deps", ROOT, cwd=tmp_path)
    (tmp_path / "track.py").write_text(PROGRAM)
    runs = json.loads(run(python, "track.py", cwd=tmp_path).splitlines()[-1])
    expected = {"status": "FINISHED", "dim": "8", "metrics": ["accuracy", "cross_entropy", "seconds"], "steps": [1, 2]}
    assert runs == [{"name": "own", **expected}, {"name": "given", **expected}]


def test_a_missing_mlflow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    model = ipinsights.IPInsights(vector_dim=8, progress=False, callbacks=[ipinsights.MLflowCallback()])
    with pytest.raises(
        ClientError, match=r"^Tracking needs MLflow, which is not installed: pip install mlflow-skinny\.$"
    ):
        model.fit(LOGINS)
