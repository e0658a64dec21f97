"""Score, extract, prepare and count with Dask.

    python on_dask.py score MODEL PAIRS SCORES [COMPRESSION]
    python on_dask.py score_frame MODEL PAIRS SCORES
    python on_dask.py extract LOGS ROWS FORMAT
    python on_dask.py prepare ROWS UNTIL TRAIN
    python on_dask.py count ROWS MODEL

MODEL is a folder that all workers see. PAIRS, SCORES, ROWS and TRAIN are folders of Parquet, LOGS of logs.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client

from ipinsights import History, extract_batches, score_arrow

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = pa.schema({"entity": pa.string(), "ip": pa.string(), "time": pa.timestamp("us", "UTC")})


def score(model: str, pairs: str, scores: str, compression: str = "snappy") -> None:
    """Score the files of a data set, a task for each.

    The path of the model goes to the workers, and never the model.
    """

    def score_file(path: Path) -> None:
        table = pq.read_table(path)
        column = score_arrow(model, table["entity"], table["ip"], errors="null")
        # Where addresses hardly repeat, a dictionary of them takes time, and makes the file larger.
        scored, output = table.append_column("dot_product", column), Path(scores) / path.name
        pq.write_table(scored, output, compression=compression, use_dictionary=["entity"])

    Path(scores).mkdir(parents=True, exist_ok=True)
    db.from_sequence(sorted(Path(pairs).glob("*.parquet")), partition_size=1).map(score_file).compute()


def score_frame(model: str, pairs: str, scores: str) -> None:
    """Score the partitions of a DataFrame."""

    def score_part(part: DataFrame) -> DataFrame:
        column = score_arrow(model, part["entity"], part["ip"], errors="null")
        return part.assign(dot_product=column.to_numpy(zero_copy_only=False))

    rows = dd.read_parquet(pairs)
    meta = rows._meta.assign(dot_product=np.empty(0, dtype=np.float32))
    rows.map_partitions(score_part, meta=meta).to_parquet(
        scores, write_index=False, overwrite=True, use_dictionary=["entity"]
    )


def extract(logs: str, rows: str, log_format: str) -> None:
    """Write the rows of log files, a file for each, and print what became of their records."""

    def extract_file(path: Path) -> Counter[str]:
        counts: Counter[str] = Counter()
        with path.open("rb") as stream, pq.ParquetWriter(Path(rows) / f"{path.name}.parquet", SCHEMA) as output:
            for batch, summary in extract_batches(stream, log_format, name=str(path)):
                output.write_batch(batch)
                counts.update(summary.counts)
        return counts

    Path(rows).mkdir(parents=True, exist_ok=True)
    files = db.from_sequence(sorted(Path(logs).iterdir()), partition_size=1)
    print(dict(sum(files.map(extract_file).compute(), Counter())))


def prepare(rows: str, until: str, train: str) -> None:
    """Write the rows before a time in random order, for `ipinsights train`."""

    def draw(part: DataFrame) -> DataFrame:
        return part.assign(place=np.random.default_rng().permutation(len(part)))

    def mixed(part: DataFrame) -> DataFrame:
        return part[["entity", "ip"]].sample(frac=1)

    events = dd.read_parquet(rows)
    before = events[events["time"] < pd.Timestamp(until, tz="UTC")][["entity", "ip"]]
    before.map_partitions(draw).shuffle("place").map_partitions(mixed).to_parquet(
        train, write_index=False, overwrite=True
    )


def count(rows: str, model: str) -> None:
    """Count the pairs of each file, merge the counts in a tree, and add them to a history."""

    def count_file(path: Path) -> History:
        table = pq.read_table(path, columns=["entity", "ip"])
        return History.from_pairs(table["entity"], table["ip"], errors="skip")

    files = db.from_sequence(sorted(Path(rows).glob("*.parquet")), partition_size=1)
    history = files.map(count_file).reduction(History.merge, History.merge, split_every=4).compute()
    print(history.add_to(model))


if __name__ == "__main__":
    commands: dict[str, Any] = {f.__name__: f for f in (score, score_frame, extract, prepare, count)}
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        commands[sys.argv[1]](*sys.argv[2:])
