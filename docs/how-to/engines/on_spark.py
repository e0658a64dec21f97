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

from pyspark.sql import Observation, SparkSession, functions
from pyspark.sql.types import FloatType, StructField, StructType

from ipinsights import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow import RecordBatch

SETTINGS = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": 131072,
    # Spark's default is INT96, which Parquet deprecates: it is slower, and has no statistics to skip files by.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
}


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

    Spark lists the files, and its workers read them: Spark's reader of text would change names that are not UTF-8. The
    counts are rows of their own, which are observed and not written: a repeated task does not count twice.
    """

    def extract_files(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        from collections import Counter
        from urllib.parse import quote

        import pyarrow as pa
        from pyarrow.fs import FileSystem

        from ipinsights import extract_batches

        names = ["entity", "ip", "time", "outcome", "number"]
        for file in (file for batch in batches for file in batch.to_pylist()):
            counts: Counter[str] = Counter()
            system, path = FileSystem.from_uri(quote(file["file_path"], safe=":/%@"))
            with system.open_input_file(path) as stream:
                written = file["file_modification_time"]
                for batch, summary in extract_batches(stream, log_format, name=path, written=written):
                    counts.update(summary.counts)
                    nothing = [pa.nulls(batch.num_rows, kind) for kind in (pa.string(), pa.int64())]
                    yield pa.RecordBatch.from_arrays([*batch.columns, *nothing], names)
            nothing = [pa.nulls(len(counts), kind) for kind in (pa.string(), pa.string(), batch["time"].type)]
            outcomes = [pa.array(list(counts)), pa.array(list(counts.values()))]
            yield pa.RecordBatch.from_arrays([*nothing, *outcomes], names)

    schema = "entity string, ip string, time timestamp, outcome string, number long"
    listed = spark.read.format("binaryFile").load(logs)  # no file is read here
    files = listed.select("_metadata.file_path", "_metadata.file_modification_time")
    found = files.repartition(spark.sparkContext.defaultParallelism).mapInArrow(extract_files, schema)
    outcome, counted = functions.col("outcome"), Observation()
    numbers = {name: functions.when(outcome == name, functions.col("number")) for name in Summary.OUTCOMES}
    observed = found.observe(counted, *(functions.sum(number).alias(name) for name, number in numbers.items()))
    extracted = observed.where(outcome.isNull()).select("entity", "ip", "time")
    extracted.write.mode("overwrite").parquet(rows)
    print({name: number for name, number in counted.get.items() if number})


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
    events = spark.read.parquet(rows).select("entity", "ip")
    pairs = events.mapInArrow(count_pairs, schema).groupBy("entity", "family", "address")
    history = History.from_arrow(pairs.agg(functions.sum("count").alias("count")).toArrow())
    print(history.add_to(model))


if __name__ == "__main__":
    commands: dict[str, Any] = {f.__name__: f for f in (score, extract, prepare, count)}
    commands[sys.argv[1]](SparkSession.builder.config(map=SETTINGS).getOrCreate(), *sys.argv[2:])
