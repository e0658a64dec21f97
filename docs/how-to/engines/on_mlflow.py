"""Register a model in MLflow, and score with it.

    python on_mlflow.py register MODEL NAME
    python on_mlflow.py score NAME PAIRS SCORES
    python on_mlflow.py score_in_spark NAME PAIRS SCORES

PAIRS and SCORES are Parquet. The address of the registry is that of MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import sys
from typing import Any

import mlflow
import pandas as pd

from ipinsights import log_mlflow_model


def register(model: str, name: str) -> None:
    """Log a model, and make it the newest version of a registered model."""
    with mlflow.start_run():
        # What a server or `spark_udf` with another env_manager than "local" installs.
        log_mlflow_model(model, "ipinsights", registered_model_name=name, pip_requirements=["ipinsights"])


def score(name: str, pairs: str, scores: str) -> None:
    """Score a DataFrame by the newest version."""
    frame = pd.read_parquet(pairs)
    model = mlflow.pyfunc.load_model(f"models:/{name}/latest")
    frame.assign(dot_product=model.predict(frame[["entity", "ip"]])).to_parquet(scores)


def score_in_spark(name: str, pairs: str, scores: str) -> None:
    """Score by a function in Spark, at half the speed of `mapInArrow`."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    function = mlflow.pyfunc.spark_udf(spark, f"models:/{name}/latest", result_type="float", env_manager="local")
    rows = spark.read.parquet(pairs)
    rows.withColumn("dot_product", function("entity", "ip")).write.mode("overwrite").parquet(scores)


if __name__ == "__main__":
    commands: dict[str, Any] = {f.__name__: f for f in (register, score, score_in_spark)}
    commands[sys.argv[1]](*sys.argv[2:])
