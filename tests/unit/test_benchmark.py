"""The benchmark scripts: their plots, and the memory of a job against the formula."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib, the extra `report`")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Write results as the scripts would, into a folder."""
    growth = {
        "num_entity_vectors": ["20000", "5000000"],
        "vector_dim": ["32", "128"],
        "num_ip_encoder_layers": ["0", "1"],
        "random_negative_sampling_rate": ["1", "5"],
        "mini_batch_size": ["100", "1000"],
        "cores": ["1", "2"],
    }
    measured = {f"growth with {name}": {v: [4e5, 5e5, 7e5] for v in values} for name, values in growth.items()}
    (tmp_path / "results.json").write_text(json.dumps(measured))
    times = {"first": 3.0, "epoch": 9.0, "peak": 1e9, "formula": 2e9}
    jobs = [
        {"kind": "rows", "settings": {"rows": 1000}, **times},
        {"kind": "rows", "settings": {"rows": 9000}, **times},
        {"kind": "entities", "settings": {"num_entity_vectors": 20_000}, **times},
        {"kind": "largest", "settings": {"num_entity_vectors": 9_000_000}, **times},
    ]
    (tmp_path / "scale.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return tmp_path


def run(script: str, *arguments: Any, cwd: Path) -> str:
    """Run a script to its good end, and give what it prints."""
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def test_plots_say_what_they_show(results: Path) -> None:
    """Plots show labelled axes with units, the measured values and a legend.

    The small SVG files are compared as text.
    """
    run("benchmark_plots.py", results, cwd=results)
    growth, scale = ((results / name).read_text() for name in ("growth.svg", "scale.svg"))
    for text in ("thousand records per second", "entity vectors", "cores", "5 M"):
        assert f">{text}</text>" in growth
    for text in ("GB of memory", "measured peak", "formula", "one epoch", "until the first batch"):
        assert f">{text}</text>" in scale
    assert max(len(growth), len(scale)) < 100_000


@pytest.mark.slow
@pytest.mark.long
def test_a_job_takes_the_memory_that_was_foretold(tmp_path: Path) -> None:
    """A job takes the memory of the formula to a fifth, in addition to Python and the engine."""
    given = ["-H", "vector_dim=64", "-H", "mini_batch_size=1000"]
    for vectors in (1000, 500_000):
        run("benchmark_scale.py", "entities", vectors, *given, cwd=tmp_path)
    small, large = (json.loads(line) for line in (tmp_path / "bench" / "scale.jsonl").read_text().splitlines())
    assert large["peak"] - small["peak"] == pytest.approx(large["formula"] - small["formula"], rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cpu", "gluon-plain"])
def test_a_step_can_be_measured(kind: str, tmp_path: Path) -> None:
    """Ours and a peer's, each by itself."""
    settings = {"num_entity_vectors": 100, "vector_dim": 8, "mini_batch_size": 100, "learning_rate": 0.01}
    assert float(run("benchmark_step.py", kind, json.dumps(settings), cwd=tmp_path)) > 0
