"""The identity of a run: everything that its model follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ipinsights
from ipinsights.data.entity_hash import distinct_entity_rows
from ipinsights.data.pairs import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    Attributes
    ----------
    entries
        Hyperparameters, seed, version and fingerprints of the data, by their names in messages.
    rows
        Ascending rows of the entity table that occur in the training data, (n,). No other row ever changes.
    """

    entries: Mapping[str, str]
    rows: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        train: Pairs,
        validation: Pairs | None = None,
        initial: Artifact | None = None,
    ) -> RunIdentity:
        """Compute the identity of a run on this host.

        Parameters
        ----------
        hyperparameters
            Hyperparameters of the job.
        seed
            Seed of every random draw.
        train, validation
            Data of this host. ``validation`` is None on all hosts but the first.
        initial
            Model of a warm start.
        """
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
        return cls(entries, distinct_entity_rows(train.entities, hyperparameters.num_entity_vectors))

    def across(self, group: ProcessGroup, *, num_entity_vectors: int) -> RunIdentity:
        """Return the identity of the whole job. Every host calls this at the same place.

        The training data becomes one entry per host, and ``rows`` the union over all hosts.

        Parameters
        ----------
        group
            The hosts.
        num_entity_vectors
            Number of rows of the entity table.
        """
        if group.size == 1:
            return self
        gathered = [facts["data"] for facts in group.gather({"data": self.entries[_TRAINING_DATA]})]
        common = {name: value for name, value in self.entries.items() if name != _TRAINING_DATA}
        data = {f"{_TRAINING_DATA} of host {number}": value for number, value in enumerate(gathered, start=1)}
        occurs = np.zeros(num_entity_vectors, dtype=bool)
        occurs[self.rows] = True
        occurs_anywhere = np.unpackbits(group.any_of(np.packbits(occurs)), count=num_entity_vectors)
        return RunIdentity({**common, **data}, np.flatnonzero(occurs_anywhere).astype(np.int32))


def _described(pairs: Pairs) -> str:
    return f"{len(pairs)} rows with fingerprint {fingerprint(pairs.entities, pairs.ips)}"
