"""Identity of a run: equal exactly for runs with equal models, and of all hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ipinsights
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.training.collectives import ProcessGroup
from ipinsights.training.run_identity import RunIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BASE = {"num_entity_vectors": "50", "vector_dim": "8"}


@dataclass(frozen=True)
class TwoHosts(ProcessGroup):
    """The first of two hosts, where the second one's facts and bits are given."""

    size: int = 2
    facts: Mapping[str, Any] = field(default_factory=dict)
    bits: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the facts of both hosts."""
        return [facts, self.facts]

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bitwise or with the second host's bits."""
        return bits | self.bits


def pairs(*entities: str) -> Pairs:
    """Return pairs of entities at address 1.1.1.1."""
    return Pairs(hash_entities(list(entities)), np.full(len(entities), 0x01010101, np.uint32))


def identity(
    *, seed: int = 0, train: Pairs | None = None, validation: Pairs | None = None, **changes: str
) -> RunIdentity:
    """Return the identity of a small run."""
    values = Hyperparameters.parse({**BASE, **changes})
    return RunIdentity.of(values, seed=seed, train=train or pairs("a", "b", "a"), validation=validation)


def test_entries_name_everything_that_the_model_follows_from() -> None:
    """Hyperparameters, seed, version and data; the length of the run and of its log are left out."""
    entries = identity(seed=3).entries
    assert {"epochs", "batch_metrics_publish_interval"}.isdisjoint(entries)
    assert entries["vector_dim"] == "'8'"
    assert entries["the seed"] == "3"
    assert entries["the version of ipinsights"] == ipinsights.__version__
    assert entries["the training data"].startswith("3 rows with fingerprint ")


def test_rows_are_those_of_the_data() -> None:
    """Each row of the entity table once, ascending."""
    rows = identity().rows
    assert len(rows) == 2
    assert rows.tolist() == sorted(set(rows.tolist()))


@pytest.mark.parametrize(
    "other",
    [
        identity(seed=1),
        identity(vector_dim="16"),
        identity(train=pairs("a", "b")),
        identity(validation=pairs("a")),
    ],
)
def test_another_model_has_another_identity(other: RunIdentity) -> None:
    """Seed, shape, training data and validation data count."""
    assert other.entries != identity().entries


def test_more_epochs_are_the_same_run() -> None:
    """A run is resumed with more epochs and another publishing interval."""
    assert identity(epochs="99", batch_metrics_publish_interval="7").entries == identity().entries


def test_one_host_keeps_its_identity() -> None:
    """Nothing is gathered."""
    own = identity()
    assert own.across(ProcessGroup(), num_entity_vectors=50) is own


def test_hosts_share_an_entry_per_host_and_all_rows() -> None:
    """The data of each host is an entry of its own, and the rows are the union."""
    own = identity()
    theirs = np.zeros(50, bool)
    theirs[[0, 49]] = True
    group = TwoHosts(facts={"data": "7 rows with fingerprint 0"}, bits=np.packbits(theirs))
    shared = own.across(group, num_entity_vectors=50)
    assert shared.entries["the training data of host 1"] == own.entries["the training data"]
    assert shared.entries["the training data of host 2"] == "7 rows with fingerprint 0"
    assert "the training data" not in shared.entries
    assert shared.rows.tolist() == sorted({0, 49, *own.rows.tolist()})
    assert shared.rows.dtype == np.int32
