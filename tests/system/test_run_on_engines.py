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

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ipinsights import History, IPInsights
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import Columns
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.score_file import score_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "how-to" / "engines"
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
PINS = {
    "dask": ["dask[dataframe]==2026.8.0", "distributed==2026.8.0"],
    "duckdb": ["duckdb==2.0.1"],
    "ray": ["ray[data]==2.60.0"],
    "spark": ["pyspark==4.3.0"],
}
NUM_FILES = 16
ODD_IPS = ["", None, "2a00:1::1", "1.2.3.256"]
ODD_ROWS = [("", "10.0.0.1"), (None, "10.0.0.1"), *(("ann", ip) for ip in ODD_IPS)]
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
LINE = '{} - {} [{:02}/Oct/2025:13:55:36 +0000] "GET / HTTP/1.0" 200 2326 "-" "-"'

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Engine:
    """An engine: its name, and the Python of its environment."""

    name: str
    python: Path

    def run(self, command: str, *words: str | Path, loads: Path | None = None) -> str:
        """Run a command of the example, and return what it prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        local = {"PYSPARK_PYTHON": str(self.python), "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0"}
        counting = {} if loads is None else {"PYTHONPATH": str(loads / "hook"), "LOADS": str(loads)}
        done = subprocess.run(
            [self.python, EXAMPLES / f"on_{self.name}.py", command, *words],
            cwd=self.python.parents[2],
            env={**kept, **local, **counting},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


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
    subprocess.run([*UV, "pip", "install", "--python", python, *PINS[name], ROOT], check=True, cwd=folder)
    return Engine(name, python)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with a history."""
    rows = [(f"user_{number % 50}", f"11.{number % 50}.{number % 7}.1") for number in range(2000)]
    settings = {"vector_dim": 16, "epochs": 1, "num_entity_vectors": 100, "keep_history": True}
    IPInsights(**settings, progress=False).fit(rows).save(tmp_path_factory.mktemp("model"))
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
    return pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files], ignore_index=True)


def pairs_of(path: Path, engine: Engine) -> str:
    """Return how an engine is given the files of a folder."""
    return f"{path}/*.parquet" if engine.name == "duckdb" else str(path)


def drawn(size: int, *, rng: np.random.Generator) -> list[tuple[str | None, str | None]]:
    """Return rows of known and unknown users at random addresses, with odd rows among them."""
    users, octets = rng.integers(80, size=size).tolist(), rng.integers(256, size=(size, 4)).tolist()
    rows = [(f"user_{user}", ".".join(map(str, ip))) for user, ip in zip(users, octets, strict=True)]
    for row in ODD_ROWS:
        rows.insert(int(rng.integers(len(rows))), row)
    return rows


def as_table(rows: list[tuple[str | None, str | None]]) -> pa.Table:
    """Return rows as a table with their numbers."""
    entities, ips = (pa.array([row[at] for row in rows], pa.string()) for at in (0, 1))
    return pa.table({"entity": entities, "ip": ips, "row": pa.array(range(len(rows)))})


@pytest.mark.parametrize("num_parts", [1, 7, NUM_FILES])
def test_scores_are_those_of_the_command(
    engine: Engine, model: Path, tmp_path: Path, rng: np.random.Generator, num_parts: int
) -> None:
    """To the bit, null for invalid rows, in any number of partitions.

    A worker loads the model once.
    """
    rows = drawn(3000, rng=rng)
    write_parts(tmp_path / "pairs", as_table(rows), num_parts)
    is_odd = np.array([row in ODD_ROWS for row in rows])
    (tmp_path / "rows.csv").write_text("".join(f"{row[0]},{row[1]}\n" for row in rows if row not in ODD_ROWS))
    score_file(Predictor.load(model), tmp_path / "rows.csv", tmp_path / "expected.csv")
    expected = pd.read_csv(tmp_path / "expected.csv")["dot_product"].to_numpy(np.float32)

    loads = tmp_path / "loads"
    (loads / "hook").mkdir(parents=True)
    (loads / "hook" / "sitecustomize.py").write_text(COUNT_LOADS)
    commands = ["score", "score_in_sql"] if engine.name == "duckdb" else ["score"]
    for command in commands:
        output = tmp_path / command
        engine.run(command, model, pairs_of(tmp_path / "pairs", engine), output, loads=loads)
        found = read_parts(output).sort_values("row")
        scores = found["dot_product"].to_numpy(np.float32)
        assert np.isnan(scores).tolist() == is_odd.tolist()
        assert scores[~is_odd].tobytes() == expected.tobytes()
    processes = [file for file in loads.iterdir() if file.is_file()]
    assert processes
    # A load maps the parameters and the history.
    assert {file.read_text() for file in processes} == {"11"}


def log_lines(number: int) -> bytes:
    """Return a log with bad lines, addresses of IPv6, and a name that is not UTF-8."""
    lines = [LINE.format(f"11.{number}.0.{at}", f"user_{at % 5}", 1 + at % 28) for at in range(40)]
    odd = ["", "nonsense", LINE.format("2001:db8::1", "ann", 1), LINE.format("11.0.0.1", "-", 1)]
    latin = LINE.format("11.0.0.2", "caf\xe9", 2).encode("latin-1")
    return b"\n".join([*(line.encode() for line in [*lines, *odd]), latin, b""])


def test_logs_become_training_data_and_a_history(engine: Engine, model: Path, tmp_path: Path) -> None:
    """Rows and counts are those of `extract`.

    The rows before a time are shuffled; the history is that of one pass.
    """
    (tmp_path / "logs").mkdir()
    for number in range(4):
        (tmp_path / "logs" / f"access-{number}.log").write_bytes(log_lines(number))
    summary = extract(
        [tmp_path / "logs"], tmp_path / "rows.csv", log_format="apache", columns=Columns(), filters=Filters()
    )
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as stream:
        expected = sorted(csv.reader(stream))

    is_file = engine.name == "duckdb"
    printed = engine.run("extract", tmp_path / "logs", tmp_path / "rows.parquet", "apache")
    assert Counter(ast.literal_eval(printed.splitlines()[-1])) == Counter(summary.counts)
    rows = tmp_path / "rows.parquet" / "kind=row" if engine.name == "spark" else tmp_path / "rows.parquet"
    found = read_parts(rows)
    times = pd.to_datetime(found["time"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert sorted(map(list, zip(found["entity"], found["ip"], times, strict=True))) == expected

    engine.run("prepare", rows, "2025-10-15T00:00:00", tmp_path / "train")
    folder = tmp_path / "train"
    files = [folder] if is_file else [path for path in folder.iterdir() if path.stem[0] not in "._"]
    written = [tuple(row) for file in files for row in csv.reader(file.read_text(encoding="utf-8").splitlines())]
    before = [(entity, ip) for entity, ip, time in expected if time < "2025-10-15"]
    assert sorted(written) == before
    assert written != before

    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    pairs = found["entity"], found["ip"]
    merged = History.merge([History.of_model(copy), History.from_pairs(*pairs)])
    printed = engine.run("count", rows, copy)
    assert printed.splitlines()[-2] == f"Merged {len(found):,} events."
    assert History.of_model(copy) == merged
