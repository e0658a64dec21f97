"""The table of hyperparameters: name, values, default and meaning of each."""

from __future__ import annotations

from dataclasses import dataclass

from ipinsights.config.constraints import AutoOrNumber, Choice, Domain, Number, Text

__all__ = ["EXTENSIONS", "TABLE", "Hyperparameter", "TuningRange"]

_DOCUMENTED = "SageMaker developer guide, IP Insights Hyperparameters"
_OURS = "this project: the original has no history"
_SEEN = "default-input.json, printed in the original's log"


@dataclass(frozen=True)
class TuningRange:
    """Range that the documents recommend for hyperparameter tuning."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table."""

    # Name as in SageMaker. A leading underscore marks the original's undocumented ones.
    name: str
    # Which values are allowed.
    domain: Domain
    # As a text, None if the hyperparameter is required.
    default: str | None
    # What it does, in a sentence.
    help: str
    # Recommended range for tuning, None if the hyperparameter is not to be tuned.
    tuning: TuningRange | None = None
    # Where name, range and default are known from.
    source: str = _DOCUMENTED

    @property
    def is_documented(self) -> bool:
        """Whether the developer guide lists it."""
        return not self.name.startswith("_")

    @property
    def field_name(self) -> str:
        """Name of its field in :class:`Hyperparameters`."""
        return self.name.lstrip("_")


# Documented ones in the alphabetical order in which the original prints them, then its hidden ones.
TABLE = (
    Hyperparameter(
        "batch_metrics_publish_interval", Number(int, 1), "1000",
        "Number of batches between two lines of speed and metrics.",
    ),
    Hyperparameter(
        "epochs", Number(int, 1), "10",
        "Passes over the training data.", TuningRange(1, 100),
    ),
    Hyperparameter(
        "learning_rate", Number(float, 1e-6, 10.0), "0.001",
        "Step size of the Adam optimizer.", TuningRange(1e-4, 0.1),
    ),
    Hyperparameter(
        "mini_batch_size", Number(int, 1, 500_000), "10000",
        "Records of one optimizer step.", TuningRange(100, 50_000),
    ),
    Hyperparameter(
        "num_entity_vectors", Number(int, 1, 250_000_000), None,
        "Rows of the table that entities are hashed into; twice the number of distinct entities is a good start.",
        TuningRange(10_000, 1_000_000),
    ),
    Hyperparameter(
        "num_ip_encoder_layers", Number(int, 0, 100), "1",
        "Fully connected layers that encode an address.", TuningRange(1, 10),
    ),
    Hyperparameter(
        "random_negative_sampling_rate", Number(int, 0, 500), "1",
        "R: negatives with a random address, for each row.", TuningRange(0, 10),
    ),
    Hyperparameter(
        "shuffled_negative_sampling_rate", Number(int, 0, 500), "1",
        "S: negatives with the address of another row of the batch, for each row.", TuningRange(0, 10),
    ),
    Hyperparameter(
        "vector_dim", Number(int, 4, 4096), None,
        "Width of the embeddings of entities and addresses; 128 is a good start.", TuningRange(8, 256),
    ),
    Hyperparameter(
        "weight_decay", Number(float, 0.0, 10.0), "0.00001",
        "L2 regularization, added to the gradient of all parameters but the embeddings of entities.",
        TuningRange(0.0, 1.0),
    ),
    Hyperparameter(
        "_kvstore", Choice(("auto_gpu", "auto_cpu", "local", "device", "dist_sync", "dist_async", "dist_device_sync")),
        "auto_gpu", "How devices and hosts exchange parameters.", source=_SEEN,
    ),
    Hyperparameter(
        "_log_level", Choice(("debug", "info", "warning", "error", "critical")),
        "info", "The least serious lines that are logged.", source=_SEEN,
    ),
    Hyperparameter("_num_gpus", AutoOrNumber(0), "auto", "Devices of a host to train on.", source=_SEEN),
    Hyperparameter("_num_kv_servers", AutoOrNumber(1), "auto", "Parameter servers of a distributed job.", source=_SEEN),
    Hyperparameter(
        "_tuning_objective_metric", Text(), "", "What a tuning job looks at; training does not.", source=_SEEN,
    ),
)  # fmt: skip
"""Every hyperparameter there is."""

EXTENSIONS = (
    Hyperparameter(
        "_keep_history", Choice(("false", "true")), "false",
        "Keep the pairs of the training data in the model, for the scorer 'history'.", source=_OURS,
    ),
    Hyperparameter(
        "_history_rows_per_entity", AutoOrNumber(1), "auto",
        "Most distinct addresses of an entity that are kept. auto is all of them.", source=_OURS,
    ),
    Hyperparameter(
        "_ipv6", Choice(("false", "true")), "false",
        "Keep IPv6 rows in the history. The network is trained on the IPv4 rows.", source=_OURS,
    ),
)  # fmt: skip
"""Hyperparameters of this project, which the log lists only if they are given: otherwise it is the original's."""
