"""Measure the endpoint with wrk, and a simple endpoint of Flask, gunicorn and MXNet.

Needs Debian's package wrk, and Flask (`pip install flask`). For example:

    python benchmarks/benchmark_serving.py
    python benchmarks/benchmark_serving.py --memory    # a model of 2 GB in four workers, instead
    python benchmarks/benchmark_serving.py --cpu       # what a request costs a worker, as it is and as it could be
    python benchmarks/benchmark_serving.py --servers   # the same application in other servers (uvicorn, granian)
    python benchmarks/benchmark_serving.py --servers --earlier FOLDER    # and an earlier checkout of this repository

docs/explanation/serving-performance.md has the results.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.testing import csv_text, save_random_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent
SIZE = {"num_entities": 20_000, "vector_dim": 128}
ROUNDS = 5
WARM_UP_SECONDS = 10
# With two, both may come to one worker, and the other has nothing to do.
BULK_CONNECTIONS = 8
# What was tried, as code that runs before the server.
VARIANTS = {
    "ipinsights serve": "",
    "the log line by logging": """
from ipinsights.training import job_log as logs
from ipinsights.serving.application import Application
Application._count = lambda self, what: logs.emit_metrics(
    {f"{what}.count": 1}, start=0.0, dimensions={"Operation": "scoring"})
""",
    "the entity hashed by pandas.util.hash_array": """
import numpy, pandas
from ipinsights.serving import requests
requests.hash_entities = lambda texts: pandas.util.hash_array(numpy.array(texts, dtype=object), categorize=False)
""",
    "no check of the model file": """
from ipinsights.serving.service import InferenceModel
InferenceModel.check_usable = lambda self: None
""",
    "no garbage collection": "import gc; gc.disable()",
    "asyncio's own event loop": "import sys; sys.modules['uvloop'] = None",
}
# Other servers around the same application. Each prints its address in another way, so the port is chosen here.
PEERS = {
    "uvicorn": "uvicorn {app} --factory --port {port} --workers 2 --no-access-log --log-level warning",
    "granian": "granian {app} --factory --port {port} --workers 2 --interface asgi --no-log",
}
REPORT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "text/csv"
local file = io.open("%s", "rb")
wrk.body = file:read("*a")
done = function(summary, latency, requests)
    local errors = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
    io.write(string.format('\\n{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "errors": %%d}\\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors))
end
"""


def obvious_app() -> Any:
    """Return a simple endpoint: a row to the network, its score to JSON."""
    from flask import Flask, jsonify, request

    app = Flask(__name__)
    learner: Any = None

    def invocations() -> Any:
        nonlocal learner
        from ipinsights.data.entity_hash import entity_rows, hash_entities
        from ipinsights.training.learners.gluon import GluonLearner

        if learner is None:  # MXNet does not outlive a fork: each worker has a network of its own
            learner = GluonLearner(Hyperparameters(SIZE["num_entities"], SIZE["vector_dim"]))
        rows = [line.split(",") for line in request.get_data(as_text=True).splitlines()]
        entities = entity_rows(hash_entities([entity for entity, _ in rows]), SIZE["num_entities"])
        ips = np.array([int.from_bytes(map(int, ip.split(".")), "big") for _, ip in rows], dtype=np.uint32)
        return jsonify(predictions=[{"dot_product": float(score)} for score in learner.score(entities, ips)])

    app.add_url_rule("/invocations", view_func=invocations, methods=["POST"])
    return app


def peer_app() -> Any:
    """Return our application for a server of others. MODEL names its model."""
    from ipinsights.serving.application import Application
    from ipinsights.serving.log_stream import LogStream
    from ipinsights.serving.service import InferenceModel

    model = InferenceModel.load(Path(os.environ["MODEL"]))
    model.warm_up()
    return Application(model, num_workers=2, max_payload_mb=6, default="application/json", timeout=60, log=LogStream())


@click.command()
@click.option("--memory", "measure", flag_value="memory", help="Measure resident memory instead of speed.")
@click.option("--cpu", "measure", flag_value="cpu", help="Measure a worker's processor time instead of speed.")
@click.option("--servers", "measure", flag_value="servers", help="Compare servers around the same application.")
@click.option("--earlier", type=click.Path(path_type=Path), help="Checkout of an earlier commit, for --servers.")
@click.option("--seconds", default=3, show_default=True, help="Of each of the five rounds.")
def main(measure: str | None, earlier: Path | None, seconds: int) -> None:
    """Measure and print."""
    if shutil.which("wrk") is None:
        sys.exit("This needs the load generator wrk: apt-get install wrk.")
    if importlib.util.find_spec("flask") is None:
        sys.exit("The endpoint it is compared with needs Flask: pip install flask.")
    with tempfile.TemporaryDirectory() as name:
        if measure == "memory":
            measure_memory(Path(name))
        elif measure == "cpu":
            measure_cpu(Path(name), seconds)
        elif measure == "servers":
            measure_servers(Path(name), earlier, seconds)
        else:
            measure_speed(Path(name), seconds)


def measure_speed(folder: Path, seconds: int) -> None:
    """Print latency, requests a second next to the obvious build, and rows a second."""
    rng = np.random.default_rng(0)
    model = save_random_model(folder / "model", **SIZE, rng=rng)
    one, many = folder / "one.csv", folder / "many.csv"
    one.write_text("user_1,192.168.1.2\n")
    many.write_text(
        csv_text([f"user_{row}" for row in range(100_000)], rng.integers(2**32, size=100_000, dtype=np.uint32))
    )
    with endpoint(serve_command(model, 2), folder / "ours") as ours, obvious(folder) as theirs:
        for url in (ours, theirs):  # MXNet is loaded by the first requests
            load(url, one, 8, WARM_UP_SECONDS)
        rounds = [(load(ours, one, 8, seconds), load(theirs, one, 8, seconds)) for _ in range(ROUNDS)]
        bulk = [load(ours, many, BULK_CONNECTIONS, seconds) for _ in range(ROUNDS)]
    for label, index in (("ipinsights serve", 0), ("Flask + gunicorn + MXNet", 1)):
        results = [each[index] for each in rounds]
        numbers = {key: statistics.median(result[key] for result in results) for key in ("rate", "p50", "p99")}
        click.echo(
            f"{label}: {numbers['rate']:,.0f} requests/s, p50 {numbers['p50']:.2f} ms, p99 {numbers['p99']:.2f} ms, "
            f"{sum(result['errors'] for result in results):.0f} errors"
        )
    ratio = statistics.median(each[0]["rate"] / each[1]["rate"] for each in rounds)
    click.echo(f"ratio of requests/s: {ratio:.1f}")
    click.echo(f"bodies of 100,000 rows: {100_000 * statistics.median(each['rate'] for each in bulk):,.0f} rows/s")


def measure_servers(folder: Path, earlier: Path | None, seconds: int) -> None:
    """Print the speed of each server on kept connections, new ones, and with large requests."""
    rng = np.random.default_rng(0)
    model = save_random_model(folder / "model", **SIZE, rng=rng)
    one, large, many = folder / "one.csv", folder / "large.csv", folder / "many.csv"
    one.write_text("user_1,192.168.1.2\n")
    for file, rows in ((large, 20_000), (many, 100_000)):
        file.write_text(
            csv_text([f"user_{row}" for row in range(rows)], rng.integers(2**32, size=rows, dtype=np.uint32))
        )
    loads: dict[str, Callable[[str], dict[str, float]]] = {
        "kept connections": lambda url: load(url, one, 8, seconds),
        "new connections": lambda url: load(url, one, 8, seconds, keeps=False),
        "next to large bodies": lambda url: load_mixed(url, one, large, seconds, keeps=True),
        "next to large bodies, new connections": lambda url: load_mixed(url, one, large, seconds, keeps=False),
        "bodies of 100,000 rows": lambda url: load(url, many, BULK_CONNECTIONS, seconds),
    }
    with contextlib.ExitStack() as stack:
        servers = {"ipinsights serve": stack.enter_context(endpoint(serve_command(model, 2), folder / "ours"))}
        if earlier is not None:
            command = [sys.executable, "-m", "ipinsights", *serve_command(model, 2)[1:]]
            servers["earlier"] = stack.enter_context(endpoint(command, folder / "earlier", cwd=earlier))
        for name, template in PEERS.items():
            if importlib.util.find_spec(name) is not None:
                servers[name] = stack.enter_context(peer(template, model, folder / name))
        for what, measured in loads.items():
            rounds = [{name: measured(url) for name, url in servers.items()} for _ in range(ROUNDS)]
            print_rounds(what, rounds)


def print_rounds(what: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    """Print the medians of rounds, and each server's ratio to ours in the same round."""
    for name in rounds[0]:
        numbers = {key: statistics.median(each[name][key] for each in rounds) for key in ("rate", "p50", "p99")}
        ours, theirs = ([each[which]["rate"] for each in rounds] for which in ("ipinsights serve", name))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True)) if all(theirs) else float("inf")
        click.echo(
            f"{what}, {name}: {numbers['rate']:,.1f} requests/s, p50 {numbers['p50']:.2f} ms, "
            f"p99 {numbers['p99']:.2f} ms, {sum(each[name]['errors'] for each in rounds):.0f} lost, "
            f"ours is {ratio:.2f} times as fast"
        )


def load_mixed(url: str, small: Path, large: Path, seconds: int, *, keeps: bool) -> dict[str, float]:
    """Send a small body on eight connections and a large body on two.

    Return the figures of the small body.
    """
    with ThreadPoolExecutor(1) as pool:
        background = pool.submit(load, url, large, 2, seconds, keeps=keeps)
        result = load(url, small, 8, seconds, keeps=keeps)
        return {**result, "errors": result["errors"] + background.result()["errors"]}


@contextlib.contextmanager
def peer(template: str, model: Path, log: Path) -> Iterator[str]:
    """Run another server around our application; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = template.format(app=f"{Path(__file__).stem}:peer_app", port=port).split()
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own
            [f"{BIN}/{command[0]}", *command[1:]],
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parent,
            env={**os.environ, "MODEL": str(model), "PYTHONPATH": str(Path(__file__).parent)},
        )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def measure_cpu(folder: Path, seconds: int) -> None:
    """Print a worker's processor time for a request of one row, for several servers."""
    model = save_random_model(folder / "model", **SIZE, rng=np.random.default_rng(0))
    one = folder / "one.csv"
    one.write_text("user_1,192.168.1.2\n")
    with contextlib.ExitStack() as stack:
        servers = {}
        for number, (label, code) in enumerate(VARIANTS.items()):
            command = [sys.executable, "-c", f"{code}\nfrom ipinsights.cli import main\nmain()"]
            log = folder / str(number)
            servers[label] = stack.enter_context(endpoint([*command, *serve_command(model, 1)[1:]], log)), log
        theirs = stack.enter_context(obvious(folder, workers=1))
        load(theirs, one, 8, WARM_UP_SECONDS)
        servers["Flask + gunicorn + MXNet"] = theirs, folder / "theirs"
        rounds = [[cost(url, one, log, seconds) for url, log in servers.values()] for _ in range(ROUNDS + 1)]
    # The first round warms up.
    for label, times in zip(servers, zip(*rounds[1:], strict=True), strict=True):
        click.echo(
            f"{label}: {statistics.median(times):,.0f} microseconds a request, {min(times):,.0f}-{max(times):,.0f}"
        )


def cost(url: str, body: Path, log: Path, seconds: int) -> float:
    """Return the microseconds of processor time of a server's only worker for a request."""
    (pid,) = re.findall(r"Booting worker with pid: (\d+)", log.read_text())
    before = processor_time(int(pid))
    result = load(url, body, 8, seconds)
    return 1e6 * (processor_time(int(pid)) - before) / result["requests"]


def processor_time(pid: int) -> float:
    """Return the processor time of a process in seconds, in user mode and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_memory(folder: Path) -> None:
    """Print what four workers on a model of 2 GB have in memory, shared pages counted once."""
    hyperparameters = Hyperparameters(4_000_000, 128)
    shapes = artifact.parameter_shapes(hyperparameters)
    params = {name: np.full(shape, 0.01, dtype=np.float32) for name, shape in shapes.items()}
    everybody = BloomFilter(np.full(4_000_000, 255, dtype=np.uint8))
    model = artifact.Artifact(hyperparameters, params, everybody, artifact.meta_data(hyperparameters, {}), "{}")
    artifact.write(folder, model)
    del params, model
    rows = folder / "rows.csv"
    ips = np.arange(200_000, dtype=np.uint32)
    with endpoint(serve_command(folder, 4), folder / "log") as url:
        for part in range(8):  # so that every worker looks into every part of the table
            rows.write_text(csv_text([f"user_{part}_{row}" for row in range(200_000)], ips))
            load(url, rows, 8, 2)
        time.sleep(5)  # the last bodies are answered, and their memory is returned
        size = (folder / artifact.MODEL_FILE).stat().st_size
        pids = re.findall(r"\[(\d+)\] \[INFO\] (?:Starting|Booting)", (folder / "log").read_text())
        resident = sum(proportional_size(int(pid)) for pid in pids)
    click.echo(f"model {size / 1e9:.2f} GB, {len(pids)} processes {resident / 1e9:.2f} GB: {resident / size:.2f} x")


def serve_command(model: Path, workers: int) -> list[str]:
    """Return the command that serves a model."""
    return [f"{BIN}/ipinsights", "serve", "--model-dir", str(model), "--port", "0", "--workers", str(workers)]


def obvious(folder: Path, workers: int = 2) -> contextlib.AbstractContextManager[str]:
    """Run the obvious build."""
    options = ["--bind", "127.0.0.1:0", "--workers", str(workers), "--chdir", str(Path(__file__).parent)]
    return endpoint([f"{BIN}/gunicorn", *options, "benchmark_serving:obvious_app()"], folder / "theirs")


@contextlib.contextmanager
def endpoint(command: list[str], log: Path, cwd: Path | None = None) -> Iterator[str]:
    """Run a server; give its address."""
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=cwd)  # noqa: S603 - our own
    try:
        while not (found := re.search(r"Listening at: (http://[\d.:]+)", log.read_text())):
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def load(url: str, body: Path, connections: int, seconds: int, *, keeps: bool = True) -> dict[str, float]:
    """Send a body for some seconds; give rate, latencies in milliseconds, and errors."""
    script = body.with_suffix(".lua" if keeps else ".close.lua")
    script.write_text(REPORT % body + ("" if keeps else 'wrk.headers["Connection"] = "close"\n'))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}",
        "--timeout",
        "30",
        "-s",
        str(script),
        f"{url}/invocations",
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return {**result, "rate": result["requests"] / result["seconds"]}


def proportional_size(pid: int) -> int:
    """Return the proportional set size of a process in bytes.

    A page that n processes share counts as one n-th.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
