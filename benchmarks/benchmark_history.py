"""Measure what a history costs: training, scoring, loading and memory.

Training and scoring are whole commands, with and without the history, in interleaved rounds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import benchmark
import benchmark_scale
import click

TRAIN = ("--quiet", "-H", "num_entity_vectors=40000", "-H", "vector_dim=128", "-H", "epochs=2")
LOAD = """
import resource, sys, time
from pathlib import Path
import numpy as np
from ipinsights.inference.scorers import load_scorer
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
load_scorer(sys.argv[1])
before, start = resident(), time.perf_counter()
scorer = load_scorer(sys.argv[1], "history")
scorer.score(np.array([5], dtype=np.uint64), np.array([2**31], dtype=np.uint32))
print(time.perf_counter() - start, resident() - before)
"""


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--rows", "num_rows", default=1_000_000, show_default=True, help="Rows to train and score.")
@click.option("--pairs", "num_pairs", default=10_000_000, show_default=True, help="Rows of the large history.")
def main(rounds: int, num_rows: int, num_pairs: int) -> None:
    """Print the seconds of commands with and without a history, and the cost of a large one."""
    with tempfile.TemporaryDirectory() as folder:
        data, large = Path(folder, "rows.csv"), Path(folder, "large.csv")
        benchmark_scale.write_rows(data, num_rows, 20_000)
        seconds = benchmark.interleaved(commands(data, Path(folder)), rounds)
        click.echo(benchmark.markdown({"machine": "", "seconds": seconds}))
        benchmark_scale.write_rows(large, num_pairs, 1_000_000)
        loaded, occupied = large_history(large, Path(folder, "large"))
        click.echo(f"{num_pairs:,} pairs: loaded in {loaded:.1f} s, {occupied / num_pairs:.0f} bytes a pair.")


def commands(data: Path, folder: Path) -> dict[str, partial[float]]:
    """Return the commands to be measured, training before scoring."""
    plain, kept, out = str(folder / "plain"), str(folder / "kept"), str(folder / "scores.csv")
    train = ("train", "--train", str(data), *TRAIN)
    return {
        "train": partial(benchmark.ipinsights, *train, "--model-dir", plain),
        "train --keep-history": partial(benchmark.ipinsights, *train, "--model-dir", kept, "--keep-history"),
        "score": partial(benchmark.ipinsights, "score", str(data), "--model-dir", kept, "-o", out),
        "score --scorer history": partial(
            benchmark.ipinsights, "score", str(data), "--model-dir", kept, "-o", out, "--scorer", "history"
        ),
    }


def large_history(data: Path, model: Path) -> tuple[float, float]:
    """Return the seconds and bytes of the derived tables of a large history.

    A first score is part of both.
    """
    size = ("-H", "num_entity_vectors=2000000", "-H", "vector_dim=16", "-H", "epochs=1")
    benchmark.ipinsights("train", "--train", str(data), "--model-dir", str(model), "--quiet", "--keep-history", *size)
    done = subprocess.run([sys.executable, "-c", LOAD, str(model)], stdout=subprocess.PIPE, check=True)  # noqa: S603
    seconds, occupied = map(float, done.stdout.split())
    return seconds, occupied


if __name__ == "__main__":
    main()
