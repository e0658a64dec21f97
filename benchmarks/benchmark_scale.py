"""Measure time and memory of whole jobs by rows and entities, up to the machine's limit.

Every job is ``ipinsights train`` on a file that is made here, in a process of its own, with its peak memory as the
kernel counted it. ``largest`` trains, saves, loads and scores the largest model that is not refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.training.memory_check import available_bytes, training_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULTS = Path("bench", "scale.jsonl")
IPINSIGHTS = [sys.executable, "-m", "ipinsights"]
_ROWS_AT_A_TIME = 2_000_000
# Of what is free; the rest is for rows, batches, Python and whatever else runs.
_SHARE_FOR_THE_MODEL = 0.93
SETTINGS = {"vector_dim": 128, "epochs": 1}


@click.group()
def main() -> None:
    """Measure whole jobs."""


@main.command()
@click.argument("counts", type=int, nargs=-1, required=True)
@click.option("--users", default=1_000_000, show_default=True, help="Distinct entities of the file.")
@click.option(
    "-H", "given", multiple=True, help="Other hyperparameters than the defaults at 128 dimensions, name=value."
)
def rows(counts: tuple[int, ...], users: int, given: tuple[str, ...]) -> None:
    """Train on files of the given numbers of rows."""
    settings = {**SETTINGS, "num_entity_vectors": 2 * users, **dict(each.split("=", 1) for each in given)}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "rows.csv")
            write_rows(data, count, users)
            tell("rows", {"rows": count, **settings}, job(data, settings), num_rows=count)


@main.command()
@click.argument("counts", type=int, nargs=-1, required=True)
@click.option(
    "-H", "given", multiple=True, help="Other hyperparameters than the defaults at 128 dimensions, name=value."
)
def entities(counts: tuple[int, ...], given: tuple[str, ...]) -> None:
    """Train on a million rows with the given numbers of entity vectors."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "rows.csv")
        write_rows(data, 1_000_000, max(counts) // 2)
        for count in counts:
            settings = {**SETTINGS, "num_entity_vectors": count, **dict(each.split("=", 1) for each in given)}
            tell("entities", settings, job(data, settings), num_rows=1_000_000)


@main.command()
@click.option("--vector-dim", default=128, show_default=True)
def largest(vector_dim: int) -> None:
    """Train, save, load and score the largest model that fits this machine's memory.

    It fits if all of its entity vectors have data.
    """
    free = available_bytes()
    assert free is not None
    count = int(_SHARE_FOR_THE_MODEL * free / training_bytes(Hyperparameters(1_000_000, vector_dim)) * 1_000_000)
    count = min(count, 250_000_000)
    with tempfile.TemporaryDirectory() as folder:
        data, model, output = Path(folder, "rows.csv"), Path(folder, "model"), Path(folder, "scores.csv")
        write_rows(data, 1_000_000, count // 2)
        settings = {**SETTINGS, "vector_dim": vector_dim, "num_entity_vectors": count}
        found = job(data, settings, model)
        tell("largest", settings, found, num_rows=1_000_000)
        click.echo(f"model_algo-1: {(model / 'model_algo-1').stat().st_size / 1e9:.1f} GB")
        seconds, peak, _ = run("score", data, "--model-dir", model, "-o", output)
        click.echo(f"a million pairs scored: {seconds:.1f} s, {peak / 1e9:.2f} GB at the peak, mapped file included")


def write_rows(path: Path, count: int, users: int) -> None:
    """Write random rows, pieces at a time."""
    rng = np.random.default_rng(count)
    with path.open("wb") as stream:
        for start in range(0, count, _ROWS_AT_A_TIME):
            size = min(_ROWS_AT_A_TIME, count - start)
            names = pc.binary_join_element_wise("user", pa.array(rng.integers(users, size=size)).cast("string"), "_")
            octets = [pa.array(rng.integers(256, size=size)).cast("string") for _ in range(4)]
            table = pa.table({"entity": names, "ip": pc.binary_join_element_wise(*octets, ".")})
            csv.write_csv(table, stream, csv.WriteOptions(include_header=False, quoting_style="none"))


def job(data: Path, hyperparameters: dict[str, Any], model: Path | None = None) -> dict[str, float]:
    """Train, and return seconds to first batch, of epoch and job, and peak bytes."""
    marks: dict[str, float] = {}

    def note(line: str, seconds: float) -> None:
        for name, mark in (("first", "epoch=0, batch=0 train"), ("end", "epoch=0, train")):
            if mark in line:
                marks.setdefault(name, seconds)

    given = [word for name, value in hyperparameters.items() for word in ("-H", f"{name}={value}")]
    with tempfile.TemporaryDirectory(dir=data.parent) as spare:
        seconds, peak, records = run("train", "--train", data, "--model-dir", model or spare, *given, look_on=note)
    epoch = marks["end"] - marks["first"]
    return {"first": marks["first"], "epoch": epoch, "whole": seconds, "peak": peak, "speed": records / epoch}


def run(*arguments: Any, look_on: Callable[[str, float], None] | None = None) -> tuple[float, int, int]:
    """Run a command.

    Return its seconds, its peak memory in bytes and the records in its log.
    """
    start, records = time.perf_counter(), 0
    command = [*IPINSIGHTS, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        for line in process.stdout:
            if look_on:
                look_on(line, time.perf_counter() - start)
            records = next(counted(line), records)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - start, usage.ru_maxrss * 1024, records


def counted(line: str) -> Iterator[int]:
    """Yield the records that a line of the log counts, if any."""
    if line.startswith("#metrics ") and "Total Records Seen" in line:
        yield int(json.loads(line.removeprefix("#metrics "))["Metrics"]["Total Records Seen"]["sum"])


def tell(kind: str, settings: dict[str, Any], found: dict[str, float], *, num_rows: int) -> None:
    """Print the cost of a job, and append it to the file of results."""
    hyperparameters = Hyperparameters.parse({name: value for name, value in settings.items() if name != "rows"})
    most = min(num_rows, hyperparameters.num_entity_vectors)
    formula = training_bytes(hyperparameters, num_rows=num_rows, num_used=most)
    given = ", ".join(f"{name}={value}" for name, value in settings.items() if name != "epochs")
    click.echo(
        f"{given}: first batch after {found['first']:.1f} s, epoch {found['epoch']:.1f} s "
        f"({found['first'] / found['epoch']:.0%}), {found['speed']:,.0f} records/s, whole job {found['whole']:.1f} s, "
        f"{found['peak'] / 1e9:.2f} GB at the peak, at most {formula / 1e9:.2f} GB by the formula"
    )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"kind": kind, "settings": settings, "formula": formula, **found}) + "\n")


if __name__ == "__main__":
    main()
