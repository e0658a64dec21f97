"""The identity of a run: everything that its model follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipinsights
from ipinsights.data.pairs import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["RunIdentity"]

# These two change the length of the run and its log. All other hyperparameters change the model of a given step.
_MAY_DIFFER = frozenset({"epochs", "batch_metrics_publish_interval"})
_TRAINING_DATA = "the training data"


@dataclass(frozen=True)
class RunIdentity:
    """What the model of a run follows from.

    A checkpoint is resumed only by a run whose entries are all equal.
    """

    # Hyperparameters, seed, version and fingerprints of the data, by their names in messages.
    entries: Mapping[str, str]
    # Ascending rows of the learner's entity table that training has, (n,). No other row ever changes.
    rows: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        train: Pairs,
        rows: NDArray[np.int32],
        validation: Pairs | None = None,
        initial: Artifact | None = None,
    ) -> RunIdentity:
        """Compute the identity of a run on this host."""
        values = {name: f"'{value}'" for name, value in hyperparameters.to_strings().items() if name not in _MAY_DIFFER}
        entries = {
            **values,
            "the seed": str(seed),
            "the version of ipinsights": ipinsights.__version__,
            _TRAINING_DATA: _described(train),
        }
        if validation is not None:
            entries["the validation data"] = _described(validation)
        if initial is not None:
            entries["the initial model"] = fingerprint(*initial.params.values())
        return cls(entries, rows)

    def across(self, group: ProcessGroup) -> RunIdentity:
        """Return the identity of the whole job, with an entry for the training data of each host.

        Every host calls this at the same place.
        """
        if group.size == 1:
            return self
        gathered = [facts["data"] for facts in group.gather({"data": self.entries[_TRAINING_DATA]})]
        common = {name: value for name, value in self.entries.items() if name != _TRAINING_DATA}
        data = {f"{_TRAINING_DATA} of host {number}": value for number, value in enumerate(gathered, start=1)}
        return RunIdentity({**common, **data}, self.rows)


def _described(pairs: Pairs) -> str:
    return f"{len(pairs)} rows with fingerprint {fingerprint(pairs.entities, pairs.ips)}"
