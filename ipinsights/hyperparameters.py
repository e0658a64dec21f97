"""The hyperparameters: one table, and everything that derives from it.

They arrive as a map of strings, as SageMaker sends them. Parsing reports every fault at once, because a job may have
taken minutes to start; the table also gives the defaults, the command line's listing and the reference page.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ipinsights.domains import AutoOrNumber, Choice, Domain, Number, Text
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TABLE",
    "Hyperparameter",
    "Hyperparameters",
    "TuningRange",
    "default_configuration",
    "describe",
    "final_configuration",
    "specification",
]

_DOCUMENTED = "SageMaker developer guide, IP Insights Hyperparameters"
_SEEN = "default-input.json, printed in the original's log"

# One MXNet array holds fewer than 2^31 elements: the original's documented 8 GB of float32.
_MAX_ELEMENTS = 2**31 - 1
# SageMaker's hyperparameter specification has no open ranges.
_LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class TuningRange:
    """Range that the documents recommend for hyperparameter tuning."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table.

    Attributes
    ----------
    name
        As SageMaker spells it. A leading underscore marks the original's undocumented ones.
    domain
        Which values are allowed.
    default
        As a text; None if the hyperparameter is required.
    help
        What it does, in a sentence.
    tuning
        Recommended range for tuning; None if it is not to be tuned.
    source
        Where name, range and default are known from.
    """

    name: str
    domain: Domain
    default: str | None
    help: str
    tuning: TuningRange | None = None
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
        "Print speed and metrics every so many batches.",
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
        "L2 regularization, added to the gradient.", TuningRange(0.0, 1.0),
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

_ROWS = {row.name: row for row in TABLE}


@dataclass(frozen=True)
class Hyperparameters:
    """Checked hyperparameters of a job; see ``TABLE`` for meaning and range of each.

    Attributes
    ----------
    num_gpus, num_kv_servers
        None stands for ``auto``.
    ignored
        Names that were given, are not ours, and change nothing; platform names are not listed.
    """

    num_entity_vectors: int
    vector_dim: int
    batch_metrics_publish_interval: int = 1000
    epochs: int = 10
    learning_rate: float = 0.001
    mini_batch_size: int = 10_000
    num_ip_encoder_layers: int = 1
    random_negative_sampling_rate: int = 1
    shuffled_negative_sampling_rate: int = 1
    weight_decay: float = 0.00001
    kvstore: str = "auto_gpu"
    log_level: str = "info"
    num_gpus: int | None = None
    num_kv_servers: int | None = None
    tuning_objective_metric: str = ""
    ignored: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, provided: Mapping[str, Any], *, any_size: bool = False) -> Hyperparameters:
        """Give the hyperparameters that a map of strings stands for.

        Parameters
        ----------
        provided
            Values by name. A value may also be a JSON number, or a text in JSON's quotes. Names that start with
            ``sagemaker_`` are the platform's; others with an underscore, and the SDK's ``feature_dim``, are set aside.
        any_size
            Allow entity tables of 2^31 elements and more: parameter servers and artifacts can hold them.

        Raises
        ------
        ClientError
            Names every unknown name, bad value, missing value and contradiction at once, in the table's order.
        """
        faults = _unknown(provided)
        values: dict[str, Any] = {}
        for row in TABLE:
            try:
                values[row.field_name] = _value_of(row, provided)
            except ValueError as error:
                faults.append(str(error))
        faults += _contradictions(values, any_size=any_size)
        if faults:
            raise ClientError(_in_one_message(faults))
        ignored = tuple(name for name in provided if name not in _ROWS and not name.startswith("sagemaker_"))
        return cls(**values, ignored=ignored)

    @property
    def records_per_row(self) -> int:
        """Records that a row of data becomes, itself counted: K = 1 + R + S."""
        return 1 + self.random_negative_sampling_rate + self.shuffled_negative_sampling_rate

    def to_strings(self) -> dict[str, str]:
        """Give the documented ones as the map of strings that parses to the same values."""
        values = asdict(self)
        return {row.name: str(values[row.field_name]) for row in TABLE if row.is_documented}


def default_configuration() -> dict[str, str]:
    """Give every default as a text, in the table's order."""
    return {row.name: row.default for row in TABLE if row.default is not None}


def final_configuration(provided: Mapping[str, Any]) -> dict[str, str]:
    """Give what was provided over the defaults, in the table's order, other names last."""
    merged = {**default_configuration(), **{name: str(value) for name, value in provided.items()}}
    names = [name for name in _ROWS if name in merged] + [name for name in merged if name not in _ROWS]
    return {name: merged[name] for name in names}


def describe() -> str:
    """Give the table of documented hyperparameters as text for a terminal."""
    lines = [("name", "value", "default", "tuning range")]
    for row in TABLE:
        if row.is_documented:
            default = "required" if row.default is None else row.default
            lines.append((row.name, str(row.domain), default, str(row.tuning or "-")))
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    together = "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500."
    return "\n".join([*table, "", together])


def specification() -> list[dict[str, Any]]:
    """Give the documented ones in the shape of SageMaker's DescribeAlgorithm (``SupportedHyperParameters``)."""
    return [_specify(row) for row in TABLE if row.is_documented]


def _specify(row: Hyperparameter) -> dict[str, Any]:
    assert isinstance(row.domain, Number)
    kind = "Integer" if row.domain.type is int else "Continuous"
    high = _LARGEST_INTEGER if row.domain.high is None else row.domain.high
    entry = {
        "Name": row.name,
        "Description": row.help,
        "Type": kind,
        "Range": {f"{kind}ParameterRangeSpecification": {"MinValue": str(row.domain.low), "MaxValue": str(high)}},
        "IsTunable": row.tuning is not None,
        "IsRequired": row.default is None,
    }
    return entry if row.default is None else {**entry, "DefaultValue": row.default}


def _unknown(provided: Mapping[str, Any]) -> list[str]:
    names = [name for name in provided if name not in _ROWS and not name.startswith("_")]
    strange = [name for name in names if not name.startswith("sagemaker_") and name != "feature_dim"]
    return [f"Hyperparameter '{name}' is unknown{_advice(name)}" for name in strange]


def _advice(name: str) -> str:
    close = get_close_matches(name.lower(), _ROWS, n=1)
    return f". Did you mean '{close[0]}'?" if close else "; `ipinsights hyperparameters` lists those there are."


def _value_of(row: Hyperparameter, provided: Mapping[str, Any]) -> Any:
    if row.name not in provided:
        if row.default is None:
            raise ValueError(f"Hyperparameter '{row.name}' is required and missing: give {row.domain}. {row.help}")
        return row.domain.parse(row.default)
    given = provided[row.name]
    try:
        return row.domain.parse(_as_text(given))
    except ValueError:
        raise ValueError(f"Hyperparameter '{row.name}' must be {row.domain}; it is {given!r}.") from None


def _as_text(value: Any) -> str:
    """Give the text of a value, without JSON's quotes if it is in some."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - told like any other bad value
    text = value.strip()
    if text.startswith('"'):
        return str(json.loads(text))
    return text


def _contradictions(values: Mapping[str, Any], *, any_size: bool) -> list[str]:
    """Tell what pairs of values break, where both of a pair are good by themselves."""
    faults = []
    num_random = values.get("random_negative_sampling_rate")
    num_shuffled = values.get("shuffled_negative_sampling_rate")
    if num_random is not None and num_shuffled is not None and not 1 <= num_random + num_shuffled <= 500:  # noqa: PLR2004
        faults.append(
            "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500; "
            f"it is {num_random} + {num_shuffled}."
        )
    rows, dim = values.get("num_entity_vectors"), values.get("vector_dim")
    if rows is not None and dim is not None and rows * dim > _MAX_ELEMENTS and not any_size:
        faults.append(
            f"num_entity_vectors x vector_dim must be below 2^31 (8 GB of float32, the most that one array holds); "
            f"it is {rows} x {dim}. The largest num_entity_vectors for vector_dim {dim} is {_MAX_ELEMENTS // dim}."
        )
    return faults


def _in_one_message(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return "\n  - ".join([f"{len(faults)} hyperparameters are wrong:", *faults])
