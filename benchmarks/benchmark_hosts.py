"""What training on several hosts costs, and where more hosts stop paying.

python benchmarks/benchmark_hosts.py simulate    # steps of up to 64 hosts, from constants that are printed
python benchmarks/benchmark_hosts.py throughput  # two hosts of one thread on this machine against one, interleaved
python benchmarks/benchmark_hosts.py table       # a table of over 2^31 elements: 2 GB of memory, 9 GB of disk
python benchmarks/benchmark_hosts.py checkpoints # what a checkpoint weighs, and how long training stands still for it
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from ipinsights.testing import PlantedNetworks, csv_text
from ipinsights.training.memory_check import available_bytes

NUM_ENTITIES = 100_000
VECTOR_DIM = 128
_RUNS = 5
# Seconds of a step of one host: the tutorial's settings in batches of 1,000, and the defaults in batches of 10,000.
_ALONE = {1000: 1000 / 1.46e6, 10_000: 10_000 / 4.28e6}
# Largest part of the tutorial's pairs by the mean part, where ranges are cut by the data.
_IMBALANCE = {1: 1.0, 4: 1.007, 16: 1.04, 64: 1.17}


@click.group()
def main() -> None:
    """Measure what several hosts cost."""


@dataclass(frozen=True)
class Constants:
    """What a step takes, in seconds.

    Attributes
    ----------
    alone
        A step of one host.
    dense
        The part of a step that every host repeats, because it is the encoder's.
    sum, peer
        Work of a host in a sum, and for each other host.
    latency, byte
        A message one way, and each byte of it.
    spread
        Standard deviation of a host's speed.
    """

    alone: float
    dense: float = 0.35e-3
    sum: float = 0.05e-3
    peer: float = 0.03e-3
    latency: float = 0.1e-3
    byte: float = 0.8e-9
    spread: float = 0.1


def simulate_step(num_hosts: int, constants: Constants, rng: np.random.Generator) -> float:
    """Return the seconds of one step.

    All hosts wait for the slowest, then sum the encoder's gradients.
    """
    imbalance = float(np.interp(np.log2(num_hosts), np.log2(list(_IMBALANCE)), list(_IMBALANCE.values())))
    own = constants.dense + (constants.alone - constants.dense) * imbalance
    if num_hosts == 1:
        return own
    slowest = own * rng.normal(1, constants.spread, size=num_hosts).max()
    sent = 2 * (num_hosts - 1) / num_hosts * buffer_bytes() * constants.byte
    return float(slowest + constants.sum + constants.peer * (num_hosts - 1) + 2 * constants.latency + sent)


def buffer_bytes() -> int:
    """Return the bytes that a step sums: octet table, one layer, its bias, and two votes."""
    return 4 * (1024 * VECTOR_DIM // 4 + VECTOR_DIM * VECTOR_DIM + VECTOR_DIM + 2)


@main.command()
@click.option("--gigabits", default=10.0, show_default=True, help="Speed of a host's network.")
@click.option("--latency", default=0.1, show_default=True, help="Milliseconds of a message one way.")
@click.option("--kvstore", is_flag=True, help="Sums by MXNet's KVStore, which take a millisecond more.")
def simulate(gigabits: float, latency: float, kvstore: bool) -> None:  # noqa: FBT001
    """Print steps, speed-ups and records a second of up to 64 hosts."""
    rng = np.random.default_rng(0)
    for batch, alone in _ALONE.items():
        constants = Constants(alone, latency=latency / 1000, byte=8e-9 / gigabits, sum=1.05e-3 if kvstore else 0.05e-3)
        click.echo(f"batches of {batch} on each host, {constants}")
        for num_hosts in (1, 2, 4, 8, 16, 32, 64):
            step = float(np.mean([simulate_step(num_hosts, constants, rng) for _ in range(1000)]))
            speed = num_hosts * batch / step
            click.echo(f"{num_hosts:3d} hosts: {1000 * step:5.2f} ms a step, speed-up {speed * alone / batch:5.1f}, "
                       f"{speed / 1e6:5.1f} M records/s")  # fmt: skip


@main.command()
@click.option("--batch", default=10_000, show_default=True, help="Size of a batch on each host.")
@click.option("--mpi", is_flag=True, help="Start the hosts with the mpiexec next to this Python, not by KVStore.")
def throughput(batch: int, *, mpi: bool) -> None:
    """Compare records a second of one process and of two hosts, one thread each.

    In the last epoch.
    """
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    speeds: dict[str, list[float]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as folder:
        data = _write_rows(Path(folder) / "train.csv", 200 * batch)
        for _ in range(_RUNS):
            for hosts, values in speeds.items():
                start = [mpiexec, "-n", hosts] if mpi else []
                options = () if mpi else ("--hosts", hosts)
                log = _run([*start, *_command(data, batch, 3, *options, "--threads", "1")])
                found = dict(re.findall(r"#throughput_metric: host=(\S+), train throughput=(\S+) records", log))
                values.append(sum(map(float, found.values())))
    for hosts, values in speeds.items():
        click.echo(f"{hosts} host{'s'[: int(hosts) - 1]}: {statistics.median(values):,.0f} records/s")
    click.echo(f"ratio: {statistics.median(two / one for one, two in zip(*speeds.values(), strict=True)):.2f}")


@main.command()
@click.option("--rows", default=17_000_000, show_default=True, help="Rows of the table, of 128 elements each.")
def table(rows: int) -> None:
    """Train a table of more than 2^31 elements on two hosts here, and print time and memory."""
    rng = np.random.default_rng(0)
    networks = PlantedNetworks.draw(2000, rng=rng)
    with tempfile.TemporaryDirectory() as folder:
        data, validation = Path(folder) / "train.csv", Path(folder) / "validation.csv"
        data.write_text(networks.csv(20_000, rng=rng))
        validation.write_text(networks.csv(2000, rng=rng))
        changes = (f"-Hnum_entity_vectors={rows}", "-Hlearning_rate=0.01", "--validation", str(validation))
        before = least = available_bytes() or 0
        log = Path(folder) / "log"
        command = _command(data, 1000, 5, "--hosts", "2", *changes)
        with log.open("w") as stream, subprocess.Popen(command, stdout=stream) as job:  # noqa: S603
            while job.poll() is None:
                least = min(least, available_bytes() or 0)
                time.sleep(0.5)
        aucs = re.findall(r"discriminator_auc <score>=(\S+)", log.read_text())
        size = (Path(folder) / "model" / "model_algo-1").stat().st_size
    click.echo(
        f"{rows * VECTOR_DIM:,} elements: {(before - least) / 1e9:.1f} GB of memory, a model of {size / 1e9:.1f} GB, "
        f"validation AUC by epoch {', '.join(aucs)}"
    )


@main.command()
def checkpoints() -> None:
    """Print the size of a host's checkpoint and the seconds it takes.

    Of one process and of two hosts.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = _write_rows(Path(folder) / "train.csv", 5 * NUM_ENTITIES)
        for num_hosts in (1, 2):
            directory = Path(folder) / f"of_{num_hosts}"
            done = _run(_command(data, 10_000, _RUNS, "--hosts", str(num_hosts), "--checkpoint-dir", str(directory)))
            seconds = [float(text) for text in re.findall(r'Wrote checkpoint ".*" in (\S+) seconds', done)]
            size = max(path.stat().st_size for path in directory.iterdir())
            click.echo(
                f"{num_hosts} host{'s'[: num_hosts - 1]}: {size / 1e6:.1f} MB in {statistics.median(seconds):.2f} s "
                f"({min(seconds):.2f} to {max(seconds):.2f})"
            )


def _write_rows(path: Path, num_rows: int) -> Path:
    rng = np.random.default_rng(0)
    names = [f"user_{entity}" for entity in rng.integers(NUM_ENTITIES, size=num_rows)]
    path.write_text(csv_text(names, rng.integers(2**32, size=num_rows, dtype=np.uint32)))
    return path


def _command(data: Path, batch: int, epochs: int, *options: str) -> list[str]:
    given = {"num_entity_vectors": NUM_ENTITIES, "vector_dim": VECTOR_DIM, "mini_batch_size": batch, "epochs": epochs}
    values = [word for name, value in given.items() for word in ("-H", f"{name}={value}")]
    return [sys.executable, "-m", "ipinsights", "train", "--train", str(data), "--model-dir",
            str(data.with_name("model")), *values, *options]  # fmt: skip


def _run(command: list[str]) -> str:
    """Run a command that must end well, and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


if __name__ == "__main__":
    main()
