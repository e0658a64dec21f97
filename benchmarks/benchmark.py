"""Measure ipinsights and its peers, and the growth of its cost with its parameters.

Units are records per second, rows per second and microseconds.

Run by ``make bench``. Every measurement is a process of its own; rounds are interleaved, so that what else the machine
does falls on all alike. Compare the ratios: they hold on other machines. PyTorch is measured where it is installed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ipinsights._system import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TUTORIAL = {"num_entity_vectors": 20_000, "vector_dim": 128, "mini_batch_size": 1000, "learning_rate": 0.01,
            "random_negative_sampling_rate": 5}  # fmt: skip
DEFAULTS = {"num_entity_vectors": 20_000, "vector_dim": 128, "mini_batch_size": 10_000}
# What is varied, one at a time, around the tutorial's settings.
GROWTH = {
    "num_entity_vectors": [20_000, 1_000_000, 5_000_000],
    "vector_dim": [32, 128, 512],
    "num_ip_encoder_layers": [0, 1, 2, 3],
    "random_negative_sampling_rate": [1, 5, 20],
    "shuffled_negative_sampling_rate": [0, 1, 5],
    "mini_batch_size": [100, 1000, 10_000],
}
# Entity vectors and rows of whole jobs.
JOBS = [(20_000, 1_000_000), (1_000_000, 1_000_000), (5_000_000, 1_000_000), (2_000_000, 10_000_000)]
PARTS = ("peers", "growth", "files", "jobs")
EARLIER = "earlier"
STEP = Path(__file__).with_name("benchmark_step.py")
# What is compared with an earlier commit.
COMPARED: dict[str, dict[str, Any]] = {
    "tutorial": TUTORIAL,
    "defaults": DEFAULTS,
    "tutorial, 32 dimensions": {**TUTORIAL, "vector_dim": 32},
    "tutorial, 512 dimensions": {**TUTORIAL, "vector_dim": 512},
    "tutorial, 3 layers": {**TUTORIAL, "num_ip_encoder_layers": 3},
    "tutorial, batches of 100": {**TUTORIAL, "mini_batch_size": 100},
    "tutorial, 1,000,000 entity vectors": {**TUTORIAL, "num_entity_vectors": 1_000_000},
    "defaults, 1,000,000 entity vectors": {**DEFAULTS, "num_entity_vectors": 1_000_000},
}
# Variable that carries the option of this name to each measurement.
QUANTILE = "IPINSIGHTS_BENCHMARK_QUANTILE"
# Larger numbers are shown without decimals.
_WHOLE_FROM = 1000
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# Name, kind of learner, environment: PyTorch in each of its modes.
PEERS = [
    ("ipinsights", "cpu", {}),
    ("plain Gluon loop", "gluon-plain", {}),
    ("our learner for devices and hosts, in Gluon", "gluon", {}),
    ("PyTorch, sparse Adam, one thread", "torch-sparse", ONE_THREAD),
    ("PyTorch, fused dense Adam, one thread", "torch-dense", ONE_THREAD),
    ("PyTorch, fused dense Adam, all threads", "torch-dense", {}),
]


@click.command()
@click.option("-o", "--output-dir", default="bench", show_default=True, type=click.Path(path_type=Path))
@click.option("--rounds", default=5, show_default=True, help="Interleaved rounds; medians and spreads are over them.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of the file to read and to score.")
@click.option(
    "--vary",
    "names",
    type=click.Choice([*GROWTH, "cores"]),
    multiple=True,
    default=[*GROWTH, "cores"],
    help="What to vary for the growth.",
)
@click.option("--quantile", help="Quantile of the times of base batches, instead of their mean, on a busy machine.")
@click.option(
    "--part", "parts", type=click.Choice([*PARTS, EARLIER]), multiple=True, default=PARTS, help="What to measure."
)
@click.option("--earlier", type=click.Path(path_type=Path), help="Checkout of an earlier commit, for --part earlier.")
def main(
    output_dir: Path,
    rounds: int,
    rows: int,
    names: tuple[str, ...],
    parts: tuple[str, ...],
    quantile: str | None,
    earlier: Path | None,
) -> None:
    """Measure all or some parts, and write results.md, results.json and growth.svg.

    The plot needs matplotlib.
    """
    measured_parts: dict[str, Callable[[int], dict[str, dict[str, list[float]]]]] = {
        "peers": peers,
        "growth": lambda rounds: all_growth(names, rounds),
        "files": lambda rounds: {"files": files(rows, rounds)},
        "jobs": jobs,
        EARLIER: lambda rounds: beside_earlier(earlier, rounds),
    }
    if EARLIER in parts and earlier is None:
        raise click.UsageError("--part earlier needs --earlier FOLDER, a checkout of an earlier commit.")
    if quantile:
        os.environ[QUANTILE] = quantile
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / "results.json"
    # What was measured before and is not asked for now stays.
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results["machine"] = f"{available_cpus()} cores, {platform.processor() or platform.machine()}"
    for part in parts:
        results.update(measured_parts[part](rounds))
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (output_dir / "results.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))
    if find_spec("matplotlib"):
        from benchmark_plots import draw_all

        draw_all(output_dir)


def peers(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure ourselves next to others, at two settings."""
    return {
        "peers at the tutorial's settings": beside_peers(TUTORIAL, rounds),
        "peers at the defaults": beside_peers(DEFAULTS, rounds),
    }


def all_growth(names: tuple[str, ...], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure the speed by each hyperparameter and by cores, also at the defaults."""
    found = {f"growth with {name}": growth(name, values, rounds) for name, values in GROWTH.items() if name in names}
    if "num_entity_vectors" in names:
        found["growth with num_entity_vectors at the defaults"] = growth(
            "num_entity_vectors", GROWTH["num_entity_vectors"], rounds, around=DEFAULTS
        )
    if "cores" in names:
        cores = {str(n): partial(measured, "cpu", TUTORIAL, {}, num_cores=n) for n in (1, 2)}
        found["growth with cores"] = interleaved(cores, rounds)
    return found


def beside_peers(settings: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Return records per second of each peer in each round."""
    peers = [peer for peer in PEERS if not peer[1].startswith("torch") or find_spec("torch")]
    return interleaved({name: partial(measured, kind, settings, env) for name, kind, env in peers}, rounds)


def beside_earlier(folder: Path | None, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the records a second of an earlier checkout and of this one, by settings and round."""
    assert folder
    step = folder / "benchmarks" / STEP.name
    found = {}
    for name, settings in COMPARED.items():
        runs = {
            "earlier": partial(measured, "cpu", settings, {"PYTHONPATH": str(folder)}, step=step),
            "now": partial(measured, "cpu", settings, {}),
        }
        found[f"beside an earlier commit: {name}"] = interleaved(runs, rounds)
    return found


def growth(name: str, values: list[int], rounds: int, *, around: dict[str, Any] = TUTORIAL) -> dict[str, list[float]]:
    """Return records per second for each value of a hyperparameter, in each round."""
    return interleaved({str(v): partial(measured, "cpu", {**around, name: v}, {}) for v in values}, rounds)


def interleaved(measurements: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all measurements once a round."""
    found: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, run in measurements.items():
            found[name].append(run())
            print(f"{name}: {found[name][-1]:,.1f}", file=sys.stderr, flush=True)
    return found


def measured(
    kind: str,
    settings: dict[str, Any],
    environment: dict[str, str],
    *,
    num_cores: int | None = None,
    step: Path = STEP,
) -> float:
    """Measure in a process of its own, on all cores or the first few."""
    pinned = ["taskset", "--cpu-list", f"0-{num_cores - 1}"] if num_cores else []
    quantile = [os.environ[QUANTILE]] if QUANTILE in os.environ else []
    command = [*pinned, sys.executable, str(step), kind, json.dumps(settings), *quantile]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return float(done.stdout)


def files(num_rows: int, rounds: int) -> dict[str, list[float]]:
    """Measure reading and scoring of a file, a single pair, and how soon commands answer."""
    with tempfile.TemporaryDirectory() as folder:
        data, model, one = Path(folder, "rows.csv"), Path(folder, "model"), Path(folder, "one.csv")
        write_rows(data, num_rows)
        write_rows(one, 1)
        ipinsights("train", "--train", str(one), "--model-dir", str(model), "--quiet", "-H", "epochs=1",
                   "-H", "num_entity_vectors=20000", "-H", "vector_dim=128")  # fmt: skip
        score_one = ("score", str(one), "--model-dir", str(model), "-o", str(Path(folder, "one.out")))
        score_all = ("score", str(data), "--model-dir", str(model), "-o", str(Path(folder, "rows.out")))
        measurements = {
            "rows read a second": lambda: num_rows / reading(data),
            "pairs scored a second, CSV to CSV, start-up included": lambda: num_rows / ipinsights(*score_all),
            "pairs transformed a second, CSV to JSON Lines, start-up included": lambda: (
                num_rows / transforming(data, model)
            ),
            "seconds to score one line": lambda: ipinsights(*score_one),
            "seconds of --help": lambda: ipinsights("--help"),
            "microseconds of a single pair": lambda: single_pair(model),
        }
        return interleaved(measurements, rounds)


def jobs(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure whole jobs at the defaults, from CSV to a saved model.

    The results are an epoch's records per second and the total seconds.
    """
    import benchmark_scale as scale

    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = {num_rows: Path(folder, f"{num_rows}.csv") for _, num_rows in JOBS}
        for num_rows, path in data.items():
            scale.write_rows(path, num_rows, users=1_000_000)

        def run(name: str, num_entities: int, num_rows: int) -> float:
            found = scale.job(data[num_rows], {**scale.SETTINGS, "num_entity_vectors": num_entities})
            seconds.setdefault(name, []).append(found["whole"])
            return found["speed"]

        names = {f"{num_entities:,} entity vectors, {num_rows:,} rows": (num_entities, num_rows)
                 for num_entities, num_rows in JOBS}  # fmt: skip
        speeds = interleaved({name: partial(run, name, *sizes) for name, sizes in names.items()}, rounds)
    return {"whole jobs, records a second": speeds, "whole jobs, seconds": seconds}


def write_rows(path: Path, num_rows: int) -> None:
    """Write random rows of 20,000 users."""
    from ipinsights.testing import csv_text

    rng = np.random.default_rng(2)
    users = [f"user_{user}" for user in rng.integers(20_000, size=num_rows).tolist()]
    path.write_text(csv_text(users, rng.integers(2**32, size=num_rows, dtype=np.uint32)), encoding="ascii")


def reading(path: Path) -> float:
    """Return the seconds of reading a file into arrays."""
    from ipinsights.data.pairs import read_pairs

    start = time.perf_counter()
    read_pairs(path)
    return time.perf_counter() - start


def ipinsights(*arguments: str) -> float:
    """Return the seconds of a command, from start to end."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "ipinsights", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def transforming(data: Path, model: Path) -> float:
    """Return the seconds of a batch transform into a temporary folder."""
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        return ipinsights("transform", str(data), "--model-dir", str(model), "--output-dir", folder)


def single_pair(model: Path) -> float:
    """Return the microseconds of scoring one pair with a loaded model."""
    from ipinsights.inference.predictor import Predictor

    predictor = Predictor.load(model)
    pair = np.array([5], dtype=np.uint64), np.array([2**31], dtype=np.uint32)
    predictor.score(*pair)
    start = time.perf_counter()
    for _ in range(2000):
        predictor.score(*pair)
    return (time.perf_counter() - start) / 2000 * 1e6


def markdown(results: dict[str, Any]) -> str:
    """Return tables of median, smallest and largest round, and the ratio to the first row."""
    lines = [results["machine"]]
    for title, rows in results.items():
        if title == "machine":
            continue
        lines += ["", f"### {title}", "", "| | median | smallest | largest | of the first |",
                  "| --- | --- | --- | --- | --- |"]  # fmt: skip
        first = statistics.median(next(iter(rows.values())))
        for name, values in rows.items():
            median = statistics.median(values)
            numbers = " | ".join(
                f"{value:,.{0 if value > _WHOLE_FROM else 2}f}" for value in (median, min(values), max(values))
            )
            lines.append(f"| {name} | {numbers} | {'' if title == 'files' else f'{median / first:.2f}'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
