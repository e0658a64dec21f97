"""What a search may choose from: one hyperparameter and the ends of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.config.constraints import Number
from ipinsights.config.hyperparameter_table import TABLE, Hyperparameter
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    import optuna

__all__ = ["SearchRange"]

# From this ratio of its ends on a range is searched by logarithms: the step from 1 to 2 is as large as from 50 to 100.
_LOGARITHMIC_FROM = 50


@dataclass(frozen=True)
class SearchRange:
    """Values of one hyperparameter to search, both ends included."""

    row: Hyperparameter
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> SearchRange:
        """Parse ``NAME=LOW:HIGH``, or ``NAME`` for the documented tuning range."""
        name, _, ends = text.partition("=")
        row = next((row for row in TABLE if row.name == name and row.tuning), None)
        if row is None or row.tuning is None:
            tunable = ", ".join(row.name for row in TABLE if row.tuning)
            raise ClientError(f"'{name}' cannot be tuned. What can: {tunable}.")
        if not ends:
            return cls(row, row.tuning.low, row.tuning.high)
        low, high = _parse_ends(row, ends)
        return cls(row, low, high)

    @property
    def is_logarithmic(self) -> bool:
        """Whether to search the logarithms of the values."""
        return self.low > 0 and self.high / self.low >= _LOGARITHMIC_FROM

    @property
    def is_integer(self) -> bool:
        """Whether all values are integers."""
        return isinstance(self.row.domain, Number) and self.row.domain.type is int

    def suggest(self, trial: optuna.Trial) -> str:
        """Return the value that a trial suggests, as text."""
        if self.is_integer:
            return str(trial.suggest_int(self.row.name, int(self.low), int(self.high), log=self.is_logarithmic))
        return repr(trial.suggest_float(self.row.name, self.low, self.high, log=self.is_logarithmic))


def _parse_ends(row: Hyperparameter, ends: str) -> tuple[float, float]:
    parts = ends.split(":")
    try:
        low, high = (float(str(row.domain.parse(part))) for part in parts)
    except ValueError:
        low, high = 1.0, 0.0
    if low > high:
        assert row.tuning is not None
        example = f"{row.name}={row.tuning.low}:{row.tuning.high}"
        raise ClientError(f"'{row.name}={ends}' is no range: give LOW:HIGH, each {row.domain}. For example: {example}.")
    return low, high
