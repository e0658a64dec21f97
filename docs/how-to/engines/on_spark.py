"""Score, extract, prepare and count with Spark.

    python on_spark.py score MODEL PAIRS SCORES
    python on_spark.py extract LOGS ROWS FORMAT
    python on_spark.py prepare ROWS UNTIL TRAIN
    python on_spark.py count ROWS MODEL

MODEL is a folder that all workers see. PAIRS, SCORES, ROWS and TRAIN are folders of Parquet, LOGS of logs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession, functions
from pyspark.sql.types import FloatType, StructField, StructType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow import RecordBatch


def score(spark: SparkSession, model: str, pairs: str, scores: str) -> None:
    """Score a data set. The path goes to the workers, and never the model."""

    def score_batches(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        from ipinsights import score_arrow

        for batch in batches:
            column = score_arrow(model, batch["entity"], batch["ip"], errors="null")
            yield batch.append_column("dot_product", column)

    rows = spark.read.parquet(pairs)
    schema = StructType([*rows.schema.fields, StructField("dot_product", FloatType())])
    rows.mapInArrow(score_batches, schema).write.mode("overwrite").parquet(scores)


def extract(spark: SparkSession, logs: str, rows: str, log_format: str) -> None:
    """Write the rows of log files, and print what became of their records.

    Whole files are read: Spark's reader of text would change names that are not UTF-8. The counts are rows of their
    own, because accumulators count twice when a task is repeated.
    """

    def extract_files(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        import io
        from collections import Counter

        import pyarrow as pa

        from ipinsights import extract_batches

        names = ["entity", "ip", "time", "kind", "outcome", "number"]
        for file in (file for batch in batches for file in batch.to_pylist()):
            counts: Counter[str] = Counter()
            content, written = io.BytesIO(file["content"]), file["modificationTime"]
            for batch, summary in extract_batches(content, log_format, name=file["path"], written=written):
                counts.update(summary.counts)
                size = batch.num_rows
                further = [pa.array(["row"] * size), pa.nulls(size, pa.string()), pa.nulls(size, pa.int64())]
                yield pa.RecordBatch.from_arrays([*batch.columns, *further], names)
            size = len(counts)
            nothing = [pa.nulls(size, pa.string()), pa.nulls(size, pa.string()), pa.nulls(size, batch["time"].type)]
            outcome = [pa.array(["count"] * size), pa.array(list(counts)), pa.array(list(counts.values()))]
            yield pa.RecordBatch.from_arrays([*nothing, *outcome], names)

    schema = "entity string, ip string, time timestamp, kind string, outcome string, number long"
    files = spark.read.format("binaryFile").load(logs).repartition(spark.sparkContext.defaultParallelism)
    files.mapInArrow(extract_files, schema).write.mode("overwrite").partitionBy("kind").parquet(rows)
    outcomes = spark.read.parquet(rows).where("kind = 'count'").groupBy("outcome").sum("number")
    print(dict(outcomes.collect()))


def prepare(spark: SparkSession, rows: str, until: str, train: str) -> None:
    """Write the rows before a time in random order, for `ipinsights train`."""
    before = spark.read.parquet(rows).where(functions.col("time") < until).select("entity", "ip")
    before.orderBy(functions.rand()).write.mode("overwrite").parquet(train)


def count(spark: SparkSession, rows: str, model: str) -> None:
    """Count the pairs of each partition, add the counts, and merge them into a history."""
    from ipinsights import History

    def count_pairs(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        from ipinsights import History

        parts = [History.from_pairs(batch["entity"], batch["ip"], errors="skip") for batch in batches]
        yield from History.merge(parts).to_arrow().to_batches()

    schema = "entity long, family byte, address long, count long"
    events = spark.read.parquet(rows).where("entity is not null").select("entity", "ip")
    pairs = events.mapInArrow(count_pairs, schema).groupBy("entity", "family", "address")
    history = History.from_arrow(pairs.agg(functions.sum("count").alias("count")).toArrow())
    print(history.add_to(model))


if __name__ == "__main__":
    commands: dict[str, Any] = {f.__name__: f for f in (score, extract, prepare, count)}
    settings = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 131072)
    commands[sys.argv[1]](settings.config("spark.sql.session.timeZone", "UTC").getOrCreate(), *sys.argv[2:])
