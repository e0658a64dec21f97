"""Measure scoring and extraction inside engines, next to the command line.

The examples of the page "Run on engines" are run in local mode on two processors. Each engine is installed with its
pinned versions in an environment of its own below the folder build/engines, which takes minutes the first time. For
example:

    python benchmarks/benchmark_engines.py
    python benchmarks/benchmark_engines.py --engine dask --engine duckdb

Processor time is that of all processes of an engine, without their start, and so is that of the command: what it takes
for one row is subtracted. Shown are medians. Ratios are of speeds: above 1 is faster. docs/explanation/performance.md
has the results. Spark needs Java 17.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from benchmark_extract import LINES

from ipinsights.data.ipv4 import format_ips
from ipinsights.testing import save_random_model

ROOT = Path(__file__).resolve().parents[1]
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
NUM_ENTITIES = 20_000
NUM_PAIR_FILES = 16
NUM_LOG_FILES = 8
SCORING = "import sys, ipinsights; ipinsights.score_arrow; print({'mxnet', 'pandas'} & {*sys.modules} or 'none')"


@dataclass(frozen=True)
class Engine:
    """An engine's environment."""

    name: str
    python: Path

    @classmethod
    def install(cls, name: str, folder: Path) -> Engine:
        """Return an engine, installed with this package if it is not there yet."""
        engine = cls(name, folder / name / "bin" / "python")
        if not engine.python.exists():
            run([*UV, "venv", "--python", sys.executable, folder / name], folder)
        pins = ROOT / "requirements" / "engines" / f"{name}.txt"
        command = [*UV, "pip", "install", "--python", engine.python, "--requirements", pins, "--reinstall-package"]
        run([*command, "ipinsights", ROOT], folder)
        return engine

    def jobs(self, data: Path, runs: int) -> dict[str, list[float]]:
        """Return the medians of clock and processor seconds of the engine's jobs."""
        command = [self.python, ROOT / "benchmarks" / "engine_jobs.py", self.name, data, runs]
        settings = {"PYSPARK_PYTHON": str(self.python), "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0"}
        done = run(command, data, settings)
        return {job: np.median(found, axis=0).tolist() for job, found in json.loads(done.splitlines()[-1]).items()}


def run(command: list[Any], folder: Path, settings: dict[str, str] | None = None) -> str:
    """Run a command in a folder without the package, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    command, environment = list(map(str, command)), kept | (settings or {})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise click.ClickException(f"{command} failed:\n{done.stderr}")
    return done.stdout


def command_seconds(python: Path, data: Path, words: list[Any], runs: int) -> float:
    """Return the processor seconds of a command of ours.

    The first run is not counted: it may compile files.
    """
    found = []
    for _ in range(1 + runs):
        before = os.times()
        run([python, "-m", "ipinsights", *words], data)
        after = os.times()
        found.append(after.children_user - before.children_user + after.children_system - before.children_system)
    return statistics.median(found[1:])


def write_data(folder: Path, num_rows: int, num_lines: int) -> None:
    """Write a model, pairs as Parquet and as CSV, and logs."""
    rng = np.random.default_rng(0)
    save_random_model(folder / "model", num_entities=2 * NUM_ENTITIES, vector_dim=128, rng=rng)
    users = pa.array([f"user_{number}" for number in range(NUM_ENTITIES)])
    ips = format_ips(rng.integers(2**32, size=num_rows, dtype=np.uint32))
    pairs = pa.table({"entity": users.take(pa.array(rng.integers(NUM_ENTITIES, size=num_rows))), "ip": ips})
    pa.csv.write_csv(pairs, folder / "pairs.csv", pa.csv.WriteOptions(include_header=False, quoting_style="none"))
    (folder / "pairs").mkdir()
    for part, rows in enumerate(np.array_split(np.arange(num_rows), NUM_PAIR_FILES)):
        pq.write_table(pairs.slice(rows[0], len(rows)), folder / "pairs" / f"{part}.parquet")
    (folder / "row.csv").write_text("user_1,192.0.2.1\n", encoding="utf-8")
    (folder / "logs").mkdir()
    line = LINES["apache"]
    for part, numbers in enumerate(np.array_split(np.arange(num_lines), NUM_LOG_FILES)):
        (folder / "logs" / f"{part}.log").write_text("".join(map(line, numbers.tolist())), encoding="utf-8")
    (folder / "line.log").write_text(line(0), encoding="utf-8")


def of_the_command(python: Path, data: Path, runs: int) -> dict[str, float]:
    """Return the processor seconds of `score` and `extract`, without their start."""
    score = ["score", "--model-dir", "model", "-o", "out.csv"]
    extract = ["extract", "--format", "apache", "-o", "out.csv"]
    return {
        "score": command_seconds(python, data, [*score, "pairs.csv"], runs)
        - command_seconds(python, data, [*score, "row.csv"], runs),
        "extract": command_seconds(python, data, [*extract, "logs"], runs)
        - command_seconds(python, data, [*extract, "line.log"], runs),
    }


def import_seconds(python: Path, data: Path, runs: int) -> tuple[float, str]:
    """Return the seconds of the imports of scoring, and needless modules among them."""
    seconds, printed = {}, ""
    for code in ("", SCORING):
        found = []
        for _ in range(3 * runs):
            start = time.perf_counter()
            printed = run([python, "-c", code], data).strip()
            found.append(time.perf_counter() - start)
        seconds[code] = statistics.median(found)
    return seconds[SCORING] - seconds[""], printed


def rows_of_table(
    engine: str, jobs: dict[str, list[float]], command: dict[str, float], num_rows: int, num_lines: int
) -> list[dict[str, Any]]:
    """Return the rows of the table for an engine."""
    rows = []
    for job, (clock, cpu) in jobs.items():
        reference = command.get(job.partition(" ")[0])
        size = num_lines if job.endswith("extract") else num_rows
        has_cpu = engine != "ray"
        rows.append({
            "engine": engine,
            "job": job,
            "clock s": clock,
            "cpu s": cpu if has_cpu else None,
            "M rows a cpu s": size / cpu / 1e6 if has_cpu else None,
            "of the command's speed": reference / cpu if has_cpu and reference else None,
        })  # fmt: skip
    if "identity" in jobs:
        index = 0 if engine == "ray" else 1
        rows.append({
            "engine": engine,
            "job": f"identity / score, {('clock', 'cpu')[index]}",
            "of the command's speed": jobs["identity"][index] / jobs["score"][index],
        })  # fmt: skip
    return rows


@click.command(help=__doc__)
@click.option("--engine", "names", multiple=True, type=click.Choice(["spark", "dask", "ray", "duckdb"]),
              default=["spark", "dask", "ray", "duckdb"], help="Engine to measure, once or more often.")  # fmt: skip
@click.option("--rows", default=2_000_000, show_default=True, help="Pairs to score.")
@click.option("--lines", default=1_000_000, show_default=True, help="Lines of the logs.")
@click.option("--runs", default=3, show_default=True, help="Runs of each job.")
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / "build" / "engines",
              help="Folder of the environments.")  # fmt: skip
@click.option("--install", is_flag=True, help="Install the engines, and measure nothing.")
def main(names: tuple[str, ...], rows: int, lines: int, runs: int, folder: Path, install: bool) -> None:  # noqa: FBT001
    """Install the engines, measure their jobs, and show a table."""
    folder.mkdir(parents=True, exist_ok=True)
    engines = [Engine.install(name, folder.resolve()) for name in names]
    if install:
        return
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        write_data(data, rows, lines)
        command = of_the_command(engines[0].python, data, runs)
        table = [
            {"engine": "ipinsights", "job": job, "cpu s": cpu, "M rows a cpu s": size / cpu / 1e6}
            for (job, cpu), size in zip(command.items(), (rows, lines), strict=True)
        ]
        for engine in engines:
            table += rows_of_table(engine.name, engine.jobs(data, runs), command, rows, lines)
        seconds, imported = import_seconds(engines[0].python, data, runs)
    click.echo(pd.DataFrame(table).to_string(index=False, na_rep="", float_format="{:.2f}".format))
    click.echo(f"Importing what scoring needs: {seconds:.2f} s. Of MXNet and pandas: {imported}.")


if __name__ == "__main__":
    main()
