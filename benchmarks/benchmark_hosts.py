"""What training on several hosts costs: bytes on the wire, speed on one machine, and where more hosts stop paying.

python benchmarks/benchmark_hosts.py traffic     # counters of a network namespace of its own: needs root and iproute2
python benchmarks/benchmark_hosts.py throughput  # two hosts on this machine against one process, interleaved
python benchmarks/benchmark_hosts.py scaling     # constants measured here, then a simulation of up to 64 hosts
python benchmarks/benchmark_hosts.py table       # a table of over 2^31 elements: 14 GB of memory, 9 GB of disk, minutes
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
from typing import TYPE_CHECKING

import click
import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.testing import PlantedNetworks, csv_text
from ipinsights.training.memory_check import available_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

NUM_ENTITIES = 100_000
VECTOR_DIM = 128
_RUNS = 5
# Requests of a worker in a step with two servers: a pull and a push of the table on each, and of three parameters.
_MESSAGES_OF_TWO = 2 * 2 + 6


@click.group()
def main() -> None:
    """Measure what several hosts cost."""


@main.command()
@click.option("--batch", default=[1000, 10_000], multiple=True, show_default=True, help="Sizes of a batch.")
def traffic(batch: tuple[int, ...]) -> None:
    """Bytes per step of two hosts on a loopback that nobody else uses, against what the step's rows take."""
    for size in batch:
        with tempfile.TemporaryDirectory() as folder:
            rows = 20 * size
            data = _write_rows(Path(folder) / "train.csv", rows)
            short, long = (_bytes_of_run(data, size, epochs) for epochs in (1, 3))
        steps = (
            2 * 3 * rows // 2 // size
        )  # those by which the runs differ, of two hosts that have half of the rows each
        distinct = _distinct_rows(rows // 2, size)
        needed_rows = 2 * distinct * 2 * 4 * VECTOR_DIM  # two hosts, there and back
        encoder = 2 * 2 * 4 * _encoder_elements()
        measured = (long - short) / steps
        click.echo(
            f"batch {size}: {measured / 1e6:.2f} MB a step; rows need {needed_rows / 1e6:.2f} MB (ratio "
            f"{measured / needed_rows:.2f}), rows and encoder {(needed_rows + encoder) / 1e6:.2f} MB (ratio "
            f"{measured / (needed_rows + encoder):.2f})"
        )


@main.command()
@click.option("--batch", default=1000, show_default=True, help="Size of a batch.")
def throughput(batch: int) -> None:
    """Compare records a second of one process and of two hosts on this machine, in the last epoch; medians of five."""
    with tempfile.TemporaryDirectory() as folder:
        data = _write_rows(Path(folder) / "train.csv", 100 * batch)
        speeds: dict[str, list[float]] = {"one process": [], "two hosts": []}
        for _ in range(_RUNS):
            speeds["one process"].append(_speed(data, batch, "--hosts", "1"))
            speeds["two hosts"].append(_speed(data, batch, "--hosts", "2"))
    for name, values in speeds.items():
        click.echo(f"{name}: {statistics.median(values):,.0f} records/s")
    ratio = statistics.median(
        values / one for one, values in zip(speeds["one process"], speeds["two hosts"], strict=True)
    )
    click.echo(f"ratio: {ratio:.2f}")


@main.command()
@click.option("--batch", default=1000, show_default=True, help="Size of a batch, on each host.")
@click.option("--gigabits", default=10.0, show_default=True, help="Speed of a host's network.")
def scaling(batch: int, gigabits: float) -> None:
    """Speed-up by hosts, simulated step by step with constants that are measured first."""
    constants = measure(batch, gigabits)
    click.echo(
        f"a worker's step {1000 * constants.worker:.1f} ms, messages of two hosts {1000 * constants.message:.1f} ms, "
        f"update {1e6 * constants.update_row:.2f} us a row, {constants.rows:.0f} rows a step"
    )
    alone = simulate_step(1, constants, rng := np.random.default_rng(0))
    for num_hosts in (1, 2, 4, 8, 16, 32, 64):
        step = float(np.mean([simulate_step(num_hosts, constants, rng) for _ in range(200)]))
        click.echo(f"{num_hosts:3d} hosts: {1000 * step:6.1f} ms a step, speed-up {num_hosts * alone / step:5.1f}")


@main.command()
@click.option("--rows", default=17_000_000, show_default=True, help="Rows of the table, of 128 elements each.")
def table(rows: int) -> None:
    """Train a table that is too large for one array of MXNet on two hosts of this machine, and say what it takes."""
    rng = np.random.default_rng(0)
    networks = PlantedNetworks.draw(2000, rng=rng)
    with tempfile.TemporaryDirectory() as folder:
        data, validation = Path(folder) / "train.csv", Path(folder) / "validation.csv"
        data.write_text(networks.csv(20_000, rng=rng))
        validation.write_text(networks.csv(2000, rng=rng))
        changes = (f"-Hnum_entity_vectors={rows}", "-Hlearning_rate=0.01", "--validation", str(validation))
        before = available_bytes() or 0
        command = _command(data, 1000, 5, "--hosts", "2", *changes)
        least = before
        log = Path(folder) / "log"
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
    """Size of a checkpoint and the seconds it takes, of one process and of two hosts; medians of five."""
    with tempfile.TemporaryDirectory() as folder:
        data = _write_rows(Path(folder) / "train.csv", 5 * NUM_ENTITIES)
        for num_hosts in (1, 2):
            directory = Path(folder) / f"of_{num_hosts}"
            options = ("--hosts", str(num_hosts), "--checkpoint-dir", str(directory))
            done = _run(_command(data, 10_000, _RUNS, *options))
            seconds = [float(text) for text in re.findall(r'Wrote checkpoint ".*" in (\S+) seconds', done)]
            size = max(path.stat().st_size for path in directory.iterdir())
            click.echo(
                f"{num_hosts} host{'s'[: num_hosts - 1]}: {size / 1e6:.1f} MB in {statistics.median(seconds):.2f} s "
                f"({min(seconds):.2f} to {max(seconds):.2f})"
            )


@dataclass(frozen=True)
class Constants:
    """What a step takes, in seconds, and how much it sends.

    Attributes
    ----------
    worker
        A worker's own computing in a step.
    update_row, update_encoder
        Of the optimizer, for a row of the table and for the whole encoder.
    merge_row, merge_encoder
        Adding one worker's gradient to those of the others, and answering one pull.
    message
        What the messages of a step between two hosts take beyond what they carry.
    rows, encoder_bytes
        Distinct rows of a batch; bytes of the encoder.
    byte
        Sending one byte.
    """

    worker: float
    update_row: float
    update_encoder: float
    merge_row: float
    merge_encoder: float
    message: float
    rows: float
    encoder_bytes: int
    byte: float


def simulate_step(num_hosts: int, constants: Constants, rng: np.random.Generator) -> float:
    """Give the seconds of one step in which every host waits for the slowest one.

    The table is spread evenly over one server a host; the encoder's two large parameters lie on one server each, or on
    the same one, whose line and processor all hosts share: that is what stops the speed-up.
    """
    # A worker's time varies by a tenth; the step waits for the slowest of them.
    slowest = constants.worker * rng.normal(1, 0.1, size=num_hosts).max()
    rows = constants.rows  # pushed to a server: one share from each host
    row_bytes = 4 * VECTOR_DIM + 12
    remote = (num_hosts - 1) / num_hosts
    table_line = 2 * rows * row_bytes * remote * constants.byte
    distinct = NUM_ENTITIES * (1 - (1 - rows / NUM_ENTITIES) ** num_hosts) / num_hosts
    table = table_line + 2 * rows * constants.merge_row + distinct * constants.update_row
    encoder_line = 2 * (num_hosts - 1) * constants.encoder_bytes * constants.byte
    encoder = encoder_line + 2 * num_hosts * constants.merge_encoder + constants.update_encoder
    # The busiest server has its share of the table and the encoder; messages to all servers go out together.
    # A worker talks to every server about the table, and to one about each of the encoder's three parameters.
    messages = (2 * num_hosts + 6) / _MESSAGES_OF_TWO * constants.message
    return float(slowest + table + encoder + (num_hosts > 1) * messages)


def measure(batch: int, gigabits: float) -> Constants:
    """Give the constants of this machine."""
    from ipinsights.model._mxnet import mx

    step, rows = _step_seconds(batch)
    adam = mx.optimizer.get_updater(mx.optimizer.Adam())
    shape = (NUM_ENTITIES, VECTOR_DIM)
    every_row = mx.nd.arange(NUM_ENTITIES, dtype="int64")
    table = mx.nd.sparse.row_sparse_array((mx.nd.ones(shape), every_row), shape=shape)
    ids = mx.nd.arange(int(rows), dtype="int64")
    gradient = mx.nd.sparse.row_sparse_array((mx.nd.ones((len(ids), VECTOR_DIM)), ids), shape=shape)
    encoder = mx.nd.ones(_encoder_elements())
    update = _seconds(lambda: (adam(0, gradient, table), mx.nd.waitall()))
    update_encoder = _seconds(lambda: (adam(1, encoder, encoder), mx.nd.waitall()))
    merge = _seconds(lambda: (mx.nd.sparse.add(gradient, gradient), mx.nd.waitall()))
    return Constants(
        worker=max(0.0, step - update - update_encoder),
        update_row=update / rows,
        update_encoder=update_encoder,
        merge_row=merge / rows,
        merge_encoder=_seconds(lambda: (encoder + encoder, mx.nd.waitall())),
        message=_message_seconds(),
        rows=rows,
        encoder_bytes=4 * _encoder_elements(),
        byte=8 / (gigabits * 1e9),
    )


def _seconds(action: Callable[[], object]) -> float:
    action()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)  # other programs can only add to it


def _message_seconds() -> float:
    """Give what all messages of a step take, whatever they carry: two hosts' step on ten records beyond one's own."""
    batch = 10
    with tempfile.TemporaryDirectory() as folder:
        speed = _speed(_write_rows(Path(folder) / "train.csv", 100 * batch), batch, "--hosts", "2")
    return max(0.0, 2 * batch / speed - _step_seconds(batch)[0])


def _step_seconds(batch: int) -> tuple[float, float]:
    """Give the seconds of a step of one worker that has the store to itself, and the distinct rows in it."""
    from ipinsights.model._mxnet import mx
    from ipinsights.model.sampling import expand
    from ipinsights.training.learners.kvstore import ParallelLearner

    values = Hyperparameters(num_entity_vectors=NUM_ENTITIES, vector_dim=VECTOR_DIM, mini_batch_size=batch)
    learner = ParallelLearner(values, devices=[mx.cpu()], store=mx.kv.create("local"))
    rng = np.random.default_rng(0)
    ips = rng.integers(2**32, size=batch, dtype=np.uint32)
    entities = rng.integers(NUM_ENTITIES, size=batch).astype(np.int32)
    records = expand(entities, ips, num_random=1, num_shuffled=1, rng=rng)

    def steps() -> None:
        for _ in learner.learn(records):
            pass
        mx.nd.waitall()

    parts = [records.entity_rows[start : start + batch] for start in range(0, len(records), batch)]
    return _seconds(steps) / len(parts), float(np.mean([len(np.unique(part)) for part in parts]))


def _encoder_elements() -> int:
    return 1024 * VECTOR_DIM // 4 + VECTOR_DIM * VECTOR_DIM + VECTOR_DIM


def _write_rows(path: Path, num_rows: int) -> Path:
    rng = np.random.default_rng(0)
    names = [f"user_{entity}" for entity in rng.integers(NUM_ENTITIES, size=num_rows)]
    path.write_text(csv_text(names, rng.integers(2**32, size=num_rows, dtype=np.uint32)))
    return path


def _distinct_rows(num_rows: int, batch: int) -> float:
    """Give the expected number of distinct rows in a step: K steps of B records out of B rows, each there K times."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(max(1, num_rows // batch)):
        base = np.repeat(rng.integers(NUM_ENTITIES, size=batch), 3)
        rng.shuffle(base)
        found += [len(np.unique(base[start : start + batch])) for start in range(0, 3 * batch, batch)]
    return float(np.mean(found))


def _command(data: Path, batch: int, epochs: int, *options: str) -> list[str]:
    given = {"num_entity_vectors": NUM_ENTITIES, "vector_dim": VECTOR_DIM, "mini_batch_size": batch, "epochs": epochs}
    values = [word for name, value in given.items() for word in ("-H", f"{name}={value}")]
    return [sys.executable, "-m", "ipinsights", "train", "--train", str(data), "--model-dir",
            str(data.with_name("model")), *values, *options]  # fmt: skip


def _bytes_of_run(data: Path, batch: int, epochs: int) -> int:
    """Train in a network namespace of its own, whose loopback carries nothing else, and give what it carried."""
    train = " ".join(_command(data, batch, epochs, "--hosts", "2"))
    inside = f"ip link set lo up && {train} >/dev/null && cat /sys/class/net/lo/statistics/tx_bytes"
    # sysfs shows the namespace it is mounted in
    command = ["unshare", "--net", "--mount", "sh", "-c", f"mount -t sysfs sysfs /sys && {inside}"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])  # noqa: S603


def _speed(data: Path, batch: int, *options: str) -> float:
    """Give the records a second of the last epoch, of all hosts together."""
    log = _run(_command(data, batch, 3, *options))
    speeds = dict(re.findall(r"#throughput_metric: host=(\S+), train throughput=(\S+) records", log))
    return sum(map(float, speeds.values()))


def _run(command: list[str]) -> str:
    """Run a command that must end well, and give what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


if __name__ == "__main__":
    main()
