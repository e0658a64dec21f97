"""A training run as its log describes it, and the lines that were not understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from ipinsights.runs.parse_line import Kind

__all__ = [
    "ACCURACY", "AUC", "COUNTERS", "CROSS_ENTROPY", "SPEED", "THROUGHPUT", "TIME_COST", "TIMINGS", "UPDATE_TIME",
    "Note", "RunLog",
]  # fmt: skip

ACCURACY = "train:binary_classification_accuracy"
CROSS_ENTROPY = "train:binary_classification_cross_entropy"
AUC = "validation:discriminator_auc"
THROUGHPUT = "train:throughput"
SPEED = "train:speed"
TIME_COST = "time_cost"
UPDATE_TIME = "update.time"
COUNTERS = ("Total Records Seen", "Total Batches Seen", "Max Records Seen Between Resets",
            "Max Batches Seen Between Resets", "Reset Count")  # fmt: skip

# More epochs than that have never been trained, and a text of thousands of digits is no number to Python.
_MOST_DIGITS = 9
TIMINGS = ("initialize.time", "setuptime", "finalize.time", "totaltime")
# Counts and speeds of several hosts are added, measurements are averaged, and times are those of the slowest host.
_ADDED = {THROUGHPUT, SPEED, *COUNTERS[:4]}
_LONGEST_OF_HOSTS = {TIME_COST, UPDATE_TIME}


@dataclass(frozen=True)
class Note:
    """A line worth showing, with its number in the file, cut to 1000 characters."""

    number: int
    text: str


@dataclass(frozen=True)
class RunLog:
    """A training run, read from its log."""

    name: str  # where it was read
    # Hyperparameters as strings: the final ones if the log holds them, else those provided. The map may be empty.
    configuration: dict[str, str]
    # Metrics under SageMaker's names, ``time_cost`` in seconds, ``update.time`` in milliseconds and the data
    # iterator's counters, one row per (host, epoch). NaN where the log has no value.
    epochs: pd.DataFrame
    batches: pd.DataFrame  # running metrics and speed in records per second, one row per (host, epoch, batch)
    # Milliseconds: ``initialize.time``, ``setuptime``, ``finalize.time``, ``totaltime``, of the slowest host.
    timings: dict[str, float]
    start: float | None  # earliest time of a ``#metrics`` line, in seconds since 1970
    # Number of starts of the job in this log. All else is about the last start, and the part it resumed from.
    num_starts: int
    # Failures, and lines that are not understood: the first 1000 of each.
    errors: tuple[Note, ...]
    unknown: tuple[Note, ...]
    counts: dict[Kind, int]  # number of lines by kind, with no line left out
    num_epochs_before: int = 0  # epochs before the checkpoint from which the run resumed, which are not in this log

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, sorted."""
        return tuple(sorted(set(self.epochs.index.get_level_values("host"))))

    @property
    def num_epochs(self) -> int:
        """Number of epochs trained to their end."""
        return len(self.per_epoch()) + self.num_epochs_before

    @property
    def wanted_epochs(self) -> int | None:
        """Number of epochs that were configured, None where the log does not tell."""
        text = self.configuration.get("epochs", "")
        return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None

    @property
    def is_complete(self) -> bool:
        """Whether the log has no error and all epochs were trained."""
        return not self.errors and self.num_epochs >= (self.wanted_epochs or 1)

    @property
    def throughput(self) -> float | None:
        """Median over epochs of records per second, which a slow start hardly changes."""
        speeds = self.per_epoch().get(THROUGHPUT, pd.Series(dtype=float)).dropna()
        return float(speeds.median()) if len(speeds) else None

    @property
    def other_metrics(self) -> list[str]:
        """Names of the metrics, sorted, if they are those of another algorithm."""
        names = {str(name) for table in (self.epochs, self.batches) for name in table if ":" in str(name)}
        return sorted(names - {THROUGHPUT, SPEED}) if names.isdisjoint((ACCURACY, CROSS_ENTROPY, AUC)) else []

    def per_epoch(self) -> pd.DataFrame:
        """Return one row per completed epoch. Values of hosts are averaged, and counts are summed."""
        ended = [name for name in (ACCURACY, CROSS_ENTROPY, AUC, THROUGHPUT) if name in self.epochs]
        return _over_hosts(self.epochs.dropna(how="all", subset=ended), ["epoch"])

    def within_epochs(self) -> pd.DataFrame:
        """Return one row per (epoch, batch). Values of hosts are averaged, and speeds are summed."""
        return _over_hosts(self.batches, ["epoch", "batch"])

    def last(self, metric: str) -> float | None:
        """Return a metric of the last epoch that has it, or None."""
        values = self.per_epoch().get(metric, pd.Series(dtype=float)).dropna()
        return float(values.iloc[-1]) if len(values) else None


def _over_hosts(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = table.groupby(level=keys)
    columns = {name: _merged(groups[name], name) for name in map(str, table)}
    return pd.DataFrame(columns, index=None if columns else groups.size().index)


def _merged(groups: Any, name: str) -> Any:
    if name in _ADDED:
        return groups.sum(min_count=1)  # a sum of nothing is nothing, not zero
    return groups.max() if name in _LONGEST_OF_HOSTS else groups.mean()
