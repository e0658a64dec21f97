"""Measure ipinsights beside its peers and how its cost grows: records a second, rows a second, microseconds.

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
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipinsights.sampling import Records

TUTORIAL = {"num_entity_vectors": 20_000, "vector_dim": 128, "mini_batch_size": 1000, "learning_rate": 0.01,
            "random_negative_sampling_rate": 5}  # fmt: skip
DEFAULTS = {"num_entity_vectors": 20_000, "vector_dim": 128, "mini_batch_size": 10_000}
# What is varied, one at a time, around the tutorial's settings.
GROWTH = {
    "num_entity_vectors": [20_000, 200_000, 1_000_000],
    "vector_dim": [32, 128, 512],
    "num_ip_encoder_layers": [0, 1, 2, 3],
    "random_negative_sampling_rate": [1, 5, 20],
    "mini_batch_size": [100, 1000, 10_000],
}
SECONDS = 3.0
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
@click.option("--measure", hidden=True, help="Internal: one measurement, KIND=JSON of hyperparameters.")
def main(output_dir: Path, rounds: int, rows: int, measure: str | None) -> None:
    """Measure everything, and write results.md and results.json."""
    if measure:
        kind, _, settings = measure.partition("=")
        print(records_per_second(kind, json.loads(settings)))
        return
    results = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0))},
        "peers at the tutorial's settings": beside_peers(TUTORIAL, rounds),
        "peers at the defaults": beside_peers(DEFAULTS, rounds),
        **{f"growth with {name}": growth(name, values, rounds) for name, values in GROWTH.items()},
        "files": files(rows, rounds),
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (output_dir / "results.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))


def beside_peers(settings: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Give records a second of each peer in each round."""
    peers = [peer for peer in PEERS if not peer[1].startswith("torch") or find_spec("torch")]
    return interleaved({name: lambda k=kind, e=env: measured(k, settings, e) for name, kind, env in peers}, rounds)


def growth(name: str, values: list[int], rounds: int) -> dict[str, list[float]]:
    """Give records a second for each value of a hyperparameter, in each round."""
    return interleaved({str(v): lambda v=v: measured("cpu", {**TUTORIAL, name: v}, {}) for v in values}, rounds)


def interleaved(measurements: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all measurements once a round."""
    found: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, run in measurements.items():
            found[name].append(run())
            print(f"{name}: {found[name][-1]:,.1f}", file=sys.stderr, flush=True)
    return found


def measured(kind: str, settings: dict[str, Any], environment: dict[str, str]) -> float:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", f"{kind}={json.dumps(settings)}"]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return float(done.stdout)


def records_per_second(kind: str, settings: dict[str, Any]) -> float:
    """Train on random rows for some seconds after a warm-up of one base batch; negatives count, as in the log."""
    build = {"cpu": our_step, "gluon": our_step, "gluon-plain": gluon_step}.get(kind, torch_step)
    train = build(kind, settings)
    batches = base_batches(settings)
    train(next(batches))
    start, num_records = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        records = next(batches)
        train(records)
        num_records += len(records)
    return num_records / (time.perf_counter() - start)


def base_batches(settings: dict[str, Any]) -> Iterator[Records]:
    """Give base batches of random rows without end; making them is part of what is measured."""
    from ipinsights.batches import BaseBatches
    from ipinsights.hyperparameters import Hyperparameters

    values = Hyperparameters(**settings)
    rng = np.random.default_rng(1)
    num_rows = 50 * values.mini_batch_size
    rows = rng.integers(values.num_entity_vectors, size=num_rows).astype(np.int32)
    batches = BaseBatches(rows, rng.integers(2**32, size=num_rows, dtype=np.uint32), values, seed=1)
    for epoch in range(2**31):
        for batch in batches.epoch(epoch):
            yield batch.records


def our_step(kind: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Give what trains on a base batch with one of our learners."""
    from ipinsights.cpu_learner import CPULearner
    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.learner import Learner
    from ipinsights.metrics import RunningClassification

    learner = {"cpu": CPULearner, "gluon": Learner}[kind](Hyperparameters(**settings))
    metrics = RunningClassification()

    def train(records: Records) -> None:
        for labels, scores in learner.learn(records):
            metrics.update(labels, scores)

    return train


def gluon_step(_: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Give what trains on a base batch as one would write it down in Gluon: the same network, metrics after a step."""
    from ipinsights._mxnet import mx
    from ipinsights.encoder import octet_rows
    from ipinsights.hyperparameters import Hyperparameters
    from ipinsights.metrics import RunningClassification
    from ipinsights.model import IPEncoder

    class Net(mx.gluon.HybridBlock):
        def __init__(self, values: Hyperparameters) -> None:
            super().__init__()
            with self.name_scope():
                self.entities = mx.gluon.nn.Embedding(values.num_entity_vectors, values.vector_dim, sparse_grad=True)
                self.ip_encoder = IPEncoder(values.vector_dim, values.num_ip_encoder_layers)

        def hybrid_forward(self, F: Any, rows: Any, octets: Any) -> Any:
            return F.sum(self.entities(rows) * self.ip_encoder(octets), axis=1)

    values = Hyperparameters(**settings)
    net, loss_of, metrics = Net(values), mx.gluon.loss.SigmoidBCELoss(), RunningClassification(lag=0)
    net.initialize()
    net.hybridize()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": values.learning_rate})

    def train(records: Records) -> None:
        for start in range(0, len(records), values.mini_batch_size):
            batch = records[start : start + values.mini_batch_size]
            rows, octets = (mx.nd.array(x, dtype="int32") for x in (batch.entity_rows, octet_rows(batch.ips)))
            with mx.autograd.record():
                scores = net(rows, octets)
                loss = loss_of(scores, mx.nd.array(batch.labels))
            loss.backward()
            trainer.step(len(batch))
            metrics.update(batch.labels, scores)

    return train


def torch_step(kind: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Give what trains on a base batch with PyTorch: the same network, lazy (sparse) or fused dense Adam."""
    import torch
    from torch.nn import functional

    from ipinsights.encoder import octet_rows

    dim, size, sparse = settings["vector_dim"], settings["mini_batch_size"], kind == "torch-sparse"
    entities = torch.nn.Embedding(settings["num_entity_vectors"], dim, sparse=sparse)
    octets, layer = torch.nn.Embedding(1024, dim // 4), torch.nn.Linear(dim, dim)
    rest = [*octets.parameters(), *layer.parameters(), *([] if sparse else entities.parameters())]
    optimizers = [torch.optim.Adam(rest, lr=0.01, fused=True)]
    optimizers += [torch.optim.SparseAdam(entities.parameters(), lr=0.01)] if sparse else []

    def train(records: Records) -> None:
        rows, labels = torch.from_numpy(records.entity_rows.astype(np.int64)), torch.from_numpy(records.labels)
        places = torch.from_numpy(octet_rows(records.ips).astype(np.int64))
        for start in range(0, len(records), size):
            part = slice(start, start + size)
            ips = layer(functional.relu(octets(places[part]).flatten(1)))
            scores = (entities(rows[part]) * ips).sum(1)
            loss = functional.binary_cross_entropy_with_logits(scores, labels[part])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    return train


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
            "seconds to score one line": lambda: ipinsights(*score_one),
            "seconds of --help": lambda: ipinsights("--help"),
            "microseconds of a single pair": lambda: single_pair(model),
        }
        return interleaved(measurements, rounds)


def write_rows(path: Path, num_rows: int) -> None:
    """Write random rows of 20,000 users."""
    from ipinsights.testing import csv_text

    rng = np.random.default_rng(2)
    users = [f"user_{user}" for user in rng.integers(20_000, size=num_rows).tolist()]
    path.write_text(csv_text(users, rng.integers(2**32, size=num_rows, dtype=np.uint32)), encoding="ascii")


def reading(path: Path) -> float:
    """Give the seconds of reading a file into arrays."""
    from ipinsights.data import read_pairs

    start = time.perf_counter()
    read_pairs(path)
    return time.perf_counter() - start


def ipinsights(*arguments: str) -> float:
    """Give the seconds of a command, from start to end."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "ipinsights", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def single_pair(model: Path) -> float:
    """Give the microseconds of scoring one pair with a loaded model."""
    from ipinsights.predictor import Predictor

    predictor = Predictor.load(model)
    pair = np.array([5], dtype=np.uint64), np.array([2**31], dtype=np.uint32)
    predictor.score(*pair)
    start = time.perf_counter()
    for _ in range(2000):
        predictor.score(*pair)
    return (time.perf_counter() - start) / 2000 * 1e6


def markdown(results: dict[str, Any]) -> str:
    """Give the results as tables: median, smallest and largest of the rounds, and the ratio to the first row."""
    lines = [f"{results['machine']['cores']} cores, {results['machine']['processor']}"]
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
