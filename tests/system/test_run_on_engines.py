"""The examples of the page `run-on-engines.md`.

Each engine in local mode and in an environment of its own.
"""

from __future__ import annotations

import ast
import csv
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ipinsights import History, IPInsights
from ipinsights.data.ipv4 import format_ips
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions
from ipinsights.inference.predictor import Predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "how-to" / "engines"
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
PINS = ROOT / "requirements" / "engines"
NUM_FILES = 16
NUM_ROWS = 1_000_000
# One row in this number cannot be scored.
ODD_EVERY = 100
ODD_ROWS = [("", "10.0.0.1"), (None, "10.0.0.1"), *(("user_1", ip) for ip in ("", None, "2a00:1::1", "1.2.3.256"))]
# Writes the process's number into a folder whenever Python maps a model.
COUNT_LOADS = """
import os, sys
def hook(event, args):
    if event == "mmap.__new__" and args[0] >= 0:
        if os.readlink(f"/proc/self/fd/{args[0]}").endswith("model_algo-1"):
            with open(os.path.join(os.environ["LOADS"], str(os.getpid())), "a") as file:
                file.write("1")
sys.addaudithook(hook)
"""
# Further ways to score by engine.
FURTHER_WAYS = {"duckdb": ["score_in_sql"], "dask": ["score_frame"]}
NUM_LINES = 60_000
LINE = '{} - {} [{:02}/Oct/2025:13:55:36 +0000] "GET / HTTP/1.0" 200 2326 "-" "-"'

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Engine:
    """An engine: its name, and the Python of its environment."""

    name: str
    python: Path

    def run(self, command: str, *words: str | Path, loads: Path | None = None) -> str:
        """Run a command of the example, and return what it prints."""
        done = self.start(command, *words, loads=loads)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, command: str, *words: str | Path, loads: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the example, and return its end."""
        local = {"PYSPARK_PYTHON": str(self.python), "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0"}
        counting = {} if loads is None else {"PYTHONPATH": str(loads / "hook"), "LOADS": str(loads)}
        return subprocess.run(
            [self.python, EXAMPLES / f"on_{self.name}.py", command, *words],
            cwd=self.python.parents[2],
            env={**_without_python(), **local, **counting},
            capture_output=True,
            text=True,
            check=False,
        )

    def score(self, rows: Path, model: Path, output: Path) -> None:
        """Score a file by `ipinsights score`, next to the engine's NumPy.

        The BLAS of another NumPy may have other kernels.
        """
        words: list[str | Path] = [rows, "--model-dir", model, "--output", output]
        subprocess.run([self.python, "-m", "ipinsights", "score", *words], check=True, env=_without_python())


def _without_python() -> dict[str, str]:
    """Return the variables of the environment but those of the Python of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


# Ray and Spark take minutes to install and to start.
_LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("ray", "spark")]


@pytest.fixture(scope="module", params=["dask", "duckdb", *_LONG])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Return an engine that is installed with the package."""
    name = request.param
    if name == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    folder = tmp_path_factory.mktemp(name)
    subprocess.run([*UV, "venv", "--python", sys.executable, folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    # uv keeps what it has built of a folder, even where its code has changed.
    command: list[str | Path] = [*UV, "pip", "install", "--refresh-package", "ipinsights", "--python", python]
    subprocess.run([*command, "-r", PINS / f"{name}.txt", ROOT], check=True, cwd=folder)
    return Engine(name, python)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with a history."""
    rows = [(f"user_{number % 50}", f"11.{number % 50}.{number % 7}.1") for number in range(2000)]
    model = IPInsights(vector_dim=16, epochs=1, num_entity_vectors=100, keep_history=True, progress=False)
    model.fit(rows).save(tmp_path_factory.mktemp("model"))
    return tmp_path_factory.getbasetemp() / "model0"


def write_parts(folder: Path, table: pa.Table, num_parts: int) -> None:
    """Write a table in files."""
    folder.mkdir()
    ends = np.linspace(0, len(table), num_parts + 1).astype(int).tolist()
    for part, (start, end) in enumerate(itertools.pairwise(ends)):
        pq.write_table(table[start:end], folder / f"part-{part:02}.parquet")


def read_parts(path: Path) -> pd.DataFrame:
    """Return the rows of a file, or of a folder without markers."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    frames: list[pd.DataFrame] = [pq.ParquetFile(file).read().to_pandas() for file in files]
    return pd.concat(frames, ignore_index=True)


def pairs_of(path: Path, engine: Engine) -> str:
    """Return how an engine is given the files of a folder."""
    return f"{path}/*.parquet" if engine.name == "duckdb" else str(path)


def drawn(size: int, *, rng: np.random.Generator) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return numbered rows of known and unknown users, and which rows are odd."""
    kinds = rng.integers(len(ODD_ROWS), size=size)
    is_odd = rng.integers(ODD_EVERY, size=size) == 0
    drawn_columns = [
        pa.array([f"user_{user}" for user in range(80)]).take(pa.array(rng.integers(80, size=size))),
        format_ips(rng.integers(2**32, size=size, dtype=np.uint32)),
    ]
    odd_columns = [pa.array(column, pa.string()).take(pa.array(kinds)) for column in zip(*ODD_ROWS, strict=True)]
    columns = [pc.if_else(pa.array(is_odd), *both) for both in zip(odd_columns, drawn_columns, strict=True)]
    return pa.table([*columns, pa.array(range(size))], ["entity", "ip", "row"]), is_odd


def scores_of_the_command(engine: Engine, model: Path, rows: pa.Table, folder: Path) -> bytes:
    """Return the scores that `ipinsights score` writes, as bytes of float32."""
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    pa.csv.write_csv(rows.select(["entity", "ip"]), folder / "rows.csv", options)
    engine.score(folder / "rows.csv", model, folder / "expected.csv")
    return pd.read_csv(folder / "expected.csv")["dot_product"].to_numpy(np.float32).tobytes()


@pytest.mark.parametrize("num_parts", [1, 7, NUM_FILES])
def test_scores_are_those_of_the_command(
    engine: Engine, model: Path, tmp_path: Path, rng: np.random.Generator, num_parts: int
) -> None:
    """To the bit, null for invalid rows, in any number of partitions.

    A worker loads the model once.
    """
    rows, is_odd = drawn(NUM_ROWS, rng=rng)
    write_parts(tmp_path / "pairs", rows, num_parts)
    expected = scores_of_the_command(engine, model, rows.filter(pa.array(~is_odd)), tmp_path)

    loads = tmp_path / "loads"
    (loads / "hook").mkdir(parents=True)
    (loads / "hook" / "sitecustomize.py").write_text(COUNT_LOADS)
    for command in ["score", *FURTHER_WAYS.get(engine.name, [])]:
        engine.run(command, model, pairs_of(tmp_path / "pairs", engine), tmp_path / command, loads=loads)
        check_scores(tmp_path / command, expected, is_odd)
    processes = [file for file in loads.iterdir() if file.is_file()]
    assert processes
    # A load maps the parameters and the history.
    assert {file.read_text() for file in processes} == {"11"}


def check_scores(output: Path, expected: bytes, is_odd: NDArray[np.bool_]) -> None:
    """Check that an engine's rows have these scores, and no score where they are odd."""
    found = read_parts(output).sort_values("row")
    scores = found["dot_product"].to_numpy(np.float32)
    assert np.array_equal(np.isnan(scores), is_odd)
    assert scores[~is_odd].tobytes() == expected


@pytest.mark.long
@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_a_pool_of_all_processors_is_refused(
    engine: Engine, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """It would wait forever for a processor that reads. A smaller pool scores as tasks do."""
    rows, is_odd = drawn(10_000, rng=rng)
    write_parts(tmp_path / "pairs", rows, 7)
    num_cpus = os.cpu_count() or 1
    refused = engine.start("score", model, tmp_path / "pairs", tmp_path / "scores", str(num_cpus))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"{num_cpus} actors would take all {num_cpus} CPUs and leave none to read the rows: take fewer actors."
    )
    if num_cpus > 1:
        engine.run("score", model, tmp_path / "pairs", tmp_path / "scores", str(num_cpus - 1))
        expected = scores_of_the_command(engine, model, rows.filter(pa.array(~is_odd)), tmp_path)
        check_scores(tmp_path / "scores", expected, is_odd)


def log_lines(number: int) -> bytes:
    """Return a log of several batches with bad lines, IPv6, and names that are not UTF-8."""
    odd = ["", "nonsense", LINE.format("2001:db8::1", "ann", 1), LINE.format("11.0.0.1", "-", 1)]
    latin = LINE.format("11.0.0.2", "caf\xe9", 2)
    lines = []
    for at in range(NUM_LINES):
        lines.append(LINE.format(f"11.{number}.{at // 256}.{at % 256}", f"user_{at % 5}", 1 + at % 28))
        if at % 1000 == number:
            lines += [*odd, latin]
    return "\n".join([*lines, ""]).encode("latin-1")


def test_logs_become_training_data_and_a_history(engine: Engine, model: Path, tmp_path: Path) -> None:
    """Rows and counts are those of `extract`.

    The rows before a time are shuffled; the history is that of one pass.
    """
    (tmp_path / "logs").mkdir()
    for number in range(4):
        (tmp_path / "logs" / f"access-{number}.log").write_bytes(log_lines(number))
    summary = extract(
        [tmp_path / "logs"], tmp_path / "rows.csv", log_format="apache", options=LogOptions(), filters=Filters()
    )
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as stream:
        expected = sorted(csv.reader(stream))

    printed = engine.run("extract", tmp_path / "logs", tmp_path / "rows.parquet", "apache")
    assert Counter(ast.literal_eval(printed.splitlines()[-1])) == Counter(summary.counts)
    rows = tmp_path / "rows.parquet"
    found = read_parts(rows)
    times = pd.to_datetime(found["time"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert sorted(map(list, zip(found["entity"], found["ip"], times, strict=True))) == expected

    engine.run("prepare", rows, "2025-10-15T00:00:00", tmp_path / "train")
    train = read_parts(tmp_path / "train")
    written = list(zip(train["entity"], train["ip"], strict=True))
    before = [(entity, ip) for entity, ip, time in expected if time < "2025-10-15"]
    assert sorted(written) == before
    assert written != before
    command: list[str | Path] = [
        "train",
        "--train",
        tmp_path / "train",
        "--entity",
        "entity",
        "--ip",
        "ip",
        "--model-dir",
        tmp_path,
    ]
    settings = ["-H", "num_entity_vectors=10", "-H", "vector_dim=4", "-H", "epochs=1"]
    trained = subprocess.run([sys.executable, "-m", "ipinsights", *command, *settings], check=False)
    assert trained.returncode == 0
    assert Predictor.load(tmp_path).hyperparameters.vector_dim == 4

    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    pairs = found["entity"], found["ip"]
    merged = History.merge([History.of_model(copy), History.from_pairs(*pairs)])
    printed = engine.run("count", rows, copy)
    assert printed.splitlines()[-2] == f"Merged {len(found):,} events."
    assert History.of_model(copy) == merged
