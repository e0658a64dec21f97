"""Hyperparameters of a command whose sizes may be left to the training data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.training.automatic_sizes import choose_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.data.pairs import Pairs

__all__ = ["AUTO", "MissingSizesError", "SizeChoice"]

AUTO = "auto"
"""Value of a size that is chosen from the data."""

_REQUIRED = ("num_entity_vectors", "vector_dim")
_SIZES = (*_REQUIRED, "mini_batch_size", "epochs")


class MissingSizesError(InvalidValueError):
    """Hyperparameters without a required size.

    Attributes
    ----------
    names
        Missing sizes, which ``auto`` would choose from the data.
    """

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


@dataclass(frozen=True)
class SizeChoice:
    """Values of hyperparameters, and the sizes that follow from the training data.

    Attributes
    ----------
    given
        Values by name, without those that are chosen.
    chosen
        Names of the sizes that are chosen from the data.
    """

    given: Mapping[str, Any]
    chosen: tuple[str, ...]

    @classmethod
    def of(cls, assignments: Mapping[str, str], hyperparameter_map: Mapping[str, Any] | None = None) -> SizeChoice:
        """Return what is given and what is left to the data.

        Without a map and without both required sizes, all omitted sizes are chosen. Otherwise only those whose
        assignment is ``auto`` are.

        Parameters
        ----------
        assignments
            Values that take precedence over those of the map.
        hyperparameter_map
            SageMaker's map, in which ``auto`` has no meaning. None for no map.

        Examples
        --------
        >>> SizeChoice.of({"epochs": "5"})
        SizeChoice(given={'epochs': '5'}, chosen=('num_entity_vectors', 'vector_dim', 'mini_batch_size'))
        >>> SizeChoice.of({"num_entity_vectors": "20", "vector_dim": "8", "epochs": "auto"}).chosen
        ('epochs',)
        """
        asked = {name for name in _SIZES if assignments.get(name, "").strip() == AUTO}
        given = {name: value for name, value in assignments.items() if name not in asked}
        if hyperparameter_map is None and not any(name in given for name in _REQUIRED):
            asked = set(_SIZES) - set(given)
        others = {name: value for name, value in (hyperparameter_map or {}).items() if name not in asked}
        return cls({**others, **given}, tuple(name for name in _SIZES if name in asked))

    def check(self, *, any_size: bool = False) -> Hyperparameters:
        """Return the hyperparameters with the smallest sizes for the sizes that are to be chosen.

        This check runs before any data is read.

        Raises
        ------
        ClientError
            A given value is invalid.
        MissingSizesError
            A required size is neither given nor chosen. Invalid values are in the message, too.
        """
        smallest = {"num_entity_vectors": 1, "vector_dim": 4, "mini_batch_size": 1, "epochs": 1}
        values = {**self.given, **{name: smallest[name] for name in self.chosen}}
        try:
            return Hyperparameters.parse(values, any_size=any_size)
        except ClientError as error:
            missing = tuple(name for name in _REQUIRED if name not in values)
            raise (MissingSizesError(str(error), missing) if missing else error) from None

    def complete(self, train: Pairs) -> dict[str, Any]:
        """Return all values by name, the chosen ones as texts.

        Parameters
        ----------
        train
            Training rows, at least one.
        """
        checked = self.check(any_size=True)
        sizes = choose_sizes(
            train.entities,
            records_per_row=checked.records_per_row,
            **{name: None if name in self.chosen else getattr(checked, name) for name in _SIZES},
        )
        return {**self.given, **{name: str(getattr(sizes, name)) for name in self.chosen}}

    def describe(self, provided: Mapping[str, Any], num_rows: int) -> str:
        """Return the chosen sizes as options to paste, for a person."""
        options = " ".join(f"-H {name}={provided[name]}" for name in self.chosen)
        return f"Sizes chosen from {num_rows:,} {'row' if num_rows == 1 else 'rows'}: {options}"
