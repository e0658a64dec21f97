"""Measure the jobs of one engine, in its environment, and print them as JSON.

``benchmark_engines.py`` runs this once for each engine: ENGINE, a FOLDER with model, pairs and logs, and RUNS. Jobs run
in turns, and the first rounds are not counted. Printed are seconds of the clock and of all processors by job.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Jobs = dict[str, Callable[[], None]]

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "engines"
# Java still compiles what it runs: Spark's second round takes a quarter longer than its fourth.
_WARM_ROUNDS = 3
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Return the processor time of this process and of all below it, with those that have ended."""
    children, times = defaultdict(list), {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            pid = int(stat.parent.name)
            children[int(fields[1])].append(pid)
            # User and system time, its own and of children that were waited for.
            times[pid] = sum(map(int, fields[11:15]))
    total, below = 0, [os.getpid()]
    while below:
        pid = below.pop()
        total += times.get(pid, 0)
        below += children[pid]
    return total / _TICKS


def spark_jobs(folder: Path) -> Iterator[Jobs]:
    """Yield the jobs of Spark."""
    import on_spark
    from pyspark.sql import SparkSession

    settings = {**on_spark.SETTINGS, "spark.ui.showConsoleProgress": False}
    spark = SparkSession.builder.config(map=settings).getOrCreate()

    def identity() -> None:
        """Do all but score."""

        def zeros(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield batch.append_column("dot_product", pa.array(np.zeros(batch.num_rows, dtype=np.float32)))

        rows = spark.read.parquet(f"{folder}/pairs")
        rows.mapInArrow(zeros, "entity string, ip string, dot_product float").write.mode("overwrite").parquet(
            f"{folder}/spark-identity"
        )

    def identity_of_extract() -> None:
        """Hand over and write the rows of the last extraction."""

        def kept(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for path in (path for batch in batches for path in batch["path"].to_pylist()):
                yield from pq.ParquetFile(path.removeprefix("file:")).iter_batches(131072)

        files = spark.read.format("binaryFile").load(f"{folder}/spark-rows").select("path").repartition(2)
        rows = files.mapInArrow(kept, "entity string, ip string, time timestamp")
        rows.write.mode("overwrite").parquet(f"{folder}/spark-identity")

    yield {
        "identity": identity,
        "score": lambda: on_spark.score(spark, f"{folder}/model", f"{folder}/pairs", f"{folder}/spark-scores"),
        "extract": lambda: on_spark.extract(spark, f"{folder}/logs", f"{folder}/spark-rows", "apache"),
        "identity of extract": identity_of_extract,
    }
    spark.stop()


def dask_jobs(folder: Path) -> Iterator[Jobs]:
    """Yield the jobs of Dask, whose workers have its default environment."""
    import dask.bag as db
    import on_dask
    from dask.distributed import Client

    pairs, output = folder / "pairs", folder / "dask-identity"
    output.mkdir()

    def identity() -> None:
        """Do all but score."""

        def zeros(path: Path) -> None:
            table = pq.read_table(path)
            column = pa.array(np.zeros(len(table), dtype=np.float32))
            pq.write_table(table.append_column("dot_product", column), output / path.name, use_dictionary=["entity"])

        db.from_sequence(sorted(pairs.iterdir()), partition_size=1).map(zeros).compute()

    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        yield {
            "identity": identity,
            "score": lambda: on_dask.score(f"{folder}/model", str(pairs), f"{folder}/dask-scores"),
            "score without compression": lambda: on_dask.score(
                f"{folder}/model", str(pairs), f"{folder}/dask-scores", "none"
            ),
            "score in a DataFrame": lambda: on_dask.score_frame(f"{folder}/model", str(pairs), f"{folder}/dask-frame"),
            "extract": lambda: on_dask.extract(f"{folder}/logs", f"{folder}/dask-rows", "apache"),
        }


def ray_jobs(folder: Path) -> Iterator[Jobs]:
    """Yield the jobs of Ray, whose processes are not below this one: only their clock counts."""
    import on_ray
    import ray

    ray.init(include_dashboard=False, log_to_driver=False)

    def identity() -> None:
        """Do all but score."""

        def zeros(block: pa.Table) -> pa.Table:
            return block.append_column("dot_product", pa.array(np.zeros(block.num_rows, dtype=np.float32)))

        rows = ray.data.read_parquet(f"{folder}/pairs")
        rows.map_batches(zeros, batch_format="pyarrow", batch_size=131072).write_parquet(
            f"{folder}/ray-identity", mode="overwrite"
        )

    yield {
        "identity": identity,
        "score": lambda: on_ray.score(f"{folder}/model", f"{folder}/pairs", f"{folder}/ray-scores"),
    }
    ray.shutdown()


def duckdb_jobs(folder: Path) -> Iterator[Jobs]:
    """Yield the jobs of DuckDB."""
    import on_duckdb

    given = f"{folder}/model", f"{folder}/pairs/*.parquet"
    yield {
        "score": lambda: on_duckdb.score(*given, f"{folder}/duckdb-scores"),
        "score in SQL": lambda: on_duckdb.score_in_sql(*given, f"{folder}/duckdb-scores"),
    }


def measured(jobs: Jobs, num_runs: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds of clock and processors of each run of each job, but of its first ones."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(_WARM_ROUNDS + num_runs):
        for name, job in jobs.items():
            clock, cpu = time.perf_counter(), cpu_seconds()
            with contextlib.redirect_stdout(sys.stderr):
                job()
            found[name].append((time.perf_counter() - clock, cpu_seconds() - cpu))
    return {name: runs[_WARM_ROUNDS:] for name, runs in found.items()}


def main() -> None:
    """Run the jobs that the command line names."""
    sys.path.insert(0, str(EXAMPLES))
    engines: dict[str, Any] = {"spark": spark_jobs, "dask": dask_jobs, "ray": ray_jobs, "duckdb": duckdb_jobs}
    for jobs in engines[sys.argv[1]](Path(sys.argv[2])):
        print(json.dumps(measured(jobs, int(sys.argv[3]))))


if __name__ == "__main__":
    main()
