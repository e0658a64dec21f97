"""Score, extract, prepare and count with Ray Data.

    python on_ray.py score MODEL PAIRS SCORES [ACTORS]
    python on_ray.py extract LOGS ROWS FORMAT
    python on_ray.py prepare ROWS UNTIL TRAIN
    python on_ray.py count ROWS MODEL

MODEL is a folder that all workers see. PAIRS, SCORES, ROWS and TRAIN are folders of Parquet, LOGS of logs.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray

from ipinsights import History, extract_batches, score_arrow

SCHEMA = pa.schema({"entity": pa.string(), "ip": pa.string(), "time": pa.timestamp("us", "UTC")})


def score(model: str, pairs: str, scores: str, num_actors: str = "0") -> None:
    """Score a data set by tasks, or by a pool of actors.

    The path goes to the workers, and never the model.
    """

    def score_block(block: pa.Table) -> pa.Table:
        column = score_arrow(model, block["entity"], block["ip"], errors="null")
        return block.append_column("dot_product", column)

    class Actor:
        """Scores as a task does, in a process that stays."""

        def __call__(self, block: pa.Table) -> pa.Table:
            return score_block(block)

    size = int(num_actors)
    scorer: Any = {"fn": Actor, "compute": pool(size)} if size else {"fn": score_block}
    rows = ray.data.read_parquet(pairs).map_batches(**scorer, batch_format="pyarrow", batch_size=131072)
    rows.write_parquet(scores, mode="overwrite")  # the default adds to a folder


def pool(size: int) -> Any:
    """Return a pool of actors.

    A pool that takes all CPUs leaves none to read, and its job waits forever.
    """
    num_cpus = int(ray.cluster_resources()["CPU"])
    if size >= num_cpus:
        sys.exit(f"{size} actors would take all {num_cpus} CPUs and leave none to read the rows: take fewer actors.")
    return ray.data.ActorPoolStrategy(size=size)


def extract(logs: str, rows: str, log_format: str) -> None:
    """Write the rows of log files, a file for each, and print what became of their records."""

    @ray.remote
    def extract_file(path: Path) -> Counter[str]:
        counts: Counter[str] = Counter()
        with path.open("rb") as stream, pq.ParquetWriter(Path(rows) / f"{path.name}.parquet", SCHEMA) as output:
            for batch, summary in extract_batches(stream, log_format, name=str(path)):
                output.write_batch(batch)
                counts.update(summary.counts)
        return counts

    Path(rows).mkdir(parents=True, exist_ok=True)
    files = [extract_file.remote(path) for path in sorted(Path(logs).iterdir())]
    print(dict(sum(ray.get(files), Counter())))


def prepare(rows: str, until: str, train: str) -> None:
    """Write the rows before a time in random order, for `ipinsights train`."""
    end = datetime.fromisoformat(until).replace(tzinfo=timezone.utc)

    def before(block: pa.Table) -> pa.Table:
        return block.filter(pc.less(block["time"], pa.scalar(end, pa.timestamp("us", "UTC")))).select(["entity", "ip"])

    events = ray.data.read_parquet(rows).map_batches(before, batch_format="pyarrow").random_shuffle()
    events.write_parquet(train, mode="overwrite")


def count(rows: str, model: str) -> None:
    """Count the pairs of each block, and merge the counts into the history of a model."""

    def count_pairs(block: pa.Table) -> pa.Table:
        return History.from_pairs(block["entity"], block["ip"], errors="skip").to_arrow()

    pairs = ray.data.read_parquet(rows).map_batches(count_pairs, batch_format="pyarrow", batch_size=131072)
    parts = pairs.iter_batches(batch_format="pyarrow", batch_size=None)
    print(History.merge(map(History.from_arrow, parts)).add_to(model))


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    commands: dict[str, Any] = {f.__name__: f for f in (score, extract, prepare, count)}
    commands[sys.argv[1]](*sys.argv[2:])
