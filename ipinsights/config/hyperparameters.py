"""The hyperparameters of a job, and everything else that derives from their table.

They arrive as a map of strings, as SageMaker sends them. Parsing reports every fault at once, because a job may have
taken minutes to start. The table also gives the defaults, the command line's listing and the reference page.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ipinsights.config.constraints import LARGEST_INTEGER, Number, TooLargeError
from ipinsights.config.hyperparameter_table import EXTENSIONS, TABLE
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.config.hyperparameter_table import Hyperparameter

__all__ = ["Hyperparameters", "default_configuration", "describe", "final_configuration", "specification"]

# One MXNet array holds fewer than 2^31 elements: the original's documented 8 GB of float32.
_MAX_ELEMENTS = 2**31 - 1
_LONGEST_SHOWN = 60
_TERMINAL_WIDTH = 80

_ROWS = {row.name: row for row in (*TABLE, *EXTENSIONS)}


def _default(name: str) -> Any:
    row = _ROWS[name]
    assert row.default is not None
    return row.domain.parse(row.default)


@dataclass(frozen=True)
class Hyperparameters:
    """Checked hyperparameters of a job, see ``TABLE`` for meaning and range of each."""

    num_entity_vectors: int
    vector_dim: int
    batch_metrics_publish_interval: int = _default("batch_metrics_publish_interval")
    epochs: int = _default("epochs")
    learning_rate: float = _default("learning_rate")
    mini_batch_size: int = _default("mini_batch_size")
    num_ip_encoder_layers: int = _default("num_ip_encoder_layers")
    random_negative_sampling_rate: int = _default("random_negative_sampling_rate")
    shuffled_negative_sampling_rate: int = _default("shuffled_negative_sampling_rate")
    weight_decay: float = _default("weight_decay")
    kvstore: str = _default("_kvstore")
    log_level: str = _default("_log_level")
    # None stands for ``auto``.
    num_gpus: int | None = _default("_num_gpus")
    num_kv_servers: int | None = _default("_num_kv_servers")
    tuning_objective_metric: str = _default("_tuning_objective_metric")
    # Hyperparameters of this project, see ``EXTENSIONS``. None stands for all rows.
    keep_history: bool = False
    history_rows_per_entity: int | None = None
    ipv6: bool = False
    # Names that were given, are not ours, and change nothing. Platform names are not listed.
    ignored: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, provided: Mapping[str, Any], *, any_size: bool = False) -> Hyperparameters:
        """Parse hyperparameters from a map of strings.

        A value may also be a JSON number, or a text in JSON's quotes. Names that start with ``sagemaker_`` are the
        platform's. Others with an underscore, and the SDK's ``feature_dim``, are set aside. ``any_size`` allows
        entity tables of 2^31 elements and more: several hosts and artifacts can hold them, and a ``_kvstore`` of
        parameter servers whatever this says. One ClientError names every unknown name, bad value, missing value and
        contradiction, in the table's order.
        """
        names = [name for name in provided if name not in _ROWS and not name.startswith(("_", "sagemaker_"))]
        faults = [f"Hyperparameter '{name}' is unknown{_advice(name)}" for name in names if name != "feature_dim"]
        values: dict[str, Any] = {}
        for row in _ROWS.values():
            try:
                values[row.field_name] = _value_of(row, provided)
            except ValueError as error:
                faults.append(str(error))
        values |= {name: values.get(name) == "true" for name in ("keep_history", "ipv6")}
        faults += _contradictions(values, any_size=any_size)
        if len(faults) > 1:
            faults = ["\n  - ".join([f"{len(faults)} hyperparameters are wrong:", *faults])]
        if faults:
            raise ClientError(faults[0])
        ignored = tuple(name for name in provided if name not in _ROWS and not name.startswith("sagemaker_"))
        return cls(**values, ignored=ignored)

    @property
    def records_per_row(self) -> int:
        """Records that a row of data becomes, itself counted: K = 1 + R + S."""
        return 1 + self.random_negative_sampling_rate + self.shuffled_negative_sampling_rate

    def to_strings(self) -> dict[str, str]:
        """Return the documented hyperparameters as a map of strings that parses to equal values."""
        values = asdict(self)
        return {row.name: str(values[row.field_name]) for row in TABLE if row.is_documented}


def default_configuration() -> dict[str, str]:
    """Return every default as text, in the table's order."""
    return {row.name: row.default for row in TABLE if row.default is not None}


def final_configuration(provided: Mapping[str, Any]) -> dict[str, str]:
    """Return the provided values merged over the defaults, in the table's order, others last."""
    merged = {**default_configuration(), **{name: str(value) for name, value in provided.items()}}
    names = [name for name in _ROWS if name in merged] + [name for name in merged if name not in _ROWS]
    return {name: merged[name] for name in names}


def describe() -> str:
    """Return the documented hyperparameters and their meaning as text of 80 columns."""
    blocks = ["\n".join(_described(row)) for row in TABLE if row.is_documented]
    together = "random_negative_sampling_rate + shuffled_negative_sampling_rate: 1 to 500."
    return "\n\n".join([*blocks, together])


def _described(row: Hyperparameter) -> list[str]:
    default = "required" if row.default is None else f"default {row.default}"
    tuning = f" Tuning range: {row.tuning}." if row.tuning else ""
    meaning = textwrap.wrap(row.help, _TERMINAL_WIDTH, initial_indent="    ", subsequent_indent="    ")
    return [f"{row.name}: {default}", *meaning, f"    Values: {row.domain}.{tuning}"]


def specification() -> list[dict[str, Any]]:
    """Return SageMaker's ``SupportedHyperParameters`` with the documented hyperparameters."""
    return [_specify(row) for row in TABLE if row.is_documented]


def _specify(row: Hyperparameter) -> dict[str, Any]:
    assert isinstance(row.domain, Number)
    kind = "Integer" if row.domain.type is int else "Continuous"
    high = LARGEST_INTEGER if row.domain.high is None else row.domain.high
    entry = {
        "Name": row.name,
        "Description": row.help,
        "Type": kind,
        "Range": {f"{kind}ParameterRangeSpecification": {"MinValue": str(row.domain.low), "MaxValue": str(high)}},
        "IsTunable": row.tuning is not None,
        "IsRequired": row.default is None,
    }
    return entry if row.default is None else {**entry, "DefaultValue": row.default}


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
    except ValueError as error:
        limit = f" and at most {LARGEST_INTEGER}" if isinstance(error, TooLargeError) else ""
        raise ValueError(f"Hyperparameter '{row.name}' must be {row.domain}{limit}; it is {_shown(given)}.") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text):,} characters)"


def _as_text(value: Any) -> str:
    """Return the text of a value, without the quotes of a JSON string."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - reported like any other invalid value
    text = value.strip()
    if text.startswith('"'):
        return str(json.loads(text))
    return text


def _contradictions(values: Mapping[str, Any], *, any_size: bool) -> list[str]:
    """Return messages about pairs of values that are valid separately but not together."""
    faults = []
    num_random = values.get("random_negative_sampling_rate")
    num_shuffled = values.get("shuffled_negative_sampling_rate")
    if num_random is not None and num_shuffled is not None and not 1 <= num_random + num_shuffled <= 500:  # noqa: PLR2004
        faults.append(
            "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500; "
            f"it is {num_random} + {num_shuffled}."
        )
    needless = {"_ipv6": values["ipv6"], "_history_rows_per_entity": values.get("history_rows_per_entity")}
    if not values["keep_history"]:
        faults += [
            f"Hyperparameter '{name}' is about the history: set '_keep_history' to true, or leave it out."
            for name, value in needless.items()
            if value
        ]
    rows, dim = values.get("num_entity_vectors"), values.get("vector_dim")
    is_split = any_size or values.get("kvstore", "").startswith("dist")
    if rows is not None and dim is not None and rows * dim > _MAX_ELEMENTS and not is_split:
        faults.append(
            f"num_entity_vectors x vector_dim must be below 2^31 (8 GB of float32, the most that one array holds); "
            f"it is {rows} x {dim}. The largest num_entity_vectors for vector_dim {dim} is {_MAX_ELEMENTS // dim}."
        )
    return faults
