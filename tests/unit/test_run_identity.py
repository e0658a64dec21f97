"""Identity of a run: equal exactly for runs with equal models, and of all hosts."""

from __future__ import annotations

import numpy as np
import pytest

import ipinsights
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.training.collectives import ProcessGroup
from ipinsights.training.run_identity import RunIdentity

from .thread_group import on_hosts

BASE = {"num_entity_vectors": "50", "vector_dim": "8"}


def pairs(*entities: str) -> Pairs:
    """Return pairs of entities at address 1.1.1.1."""
    return Pairs(hash_entities(list(entities)), np.full(len(entities), 0x01010101, np.uint32))


def identity(
    *, seed: int = 0, train: Pairs | None = None, validation: Pairs | None = None, **changes: str
) -> RunIdentity:
    """Return the identity of a small run."""
    values = Hyperparameters.parse({**BASE, **changes})
    data = train or pairs("a", "b", "a")
    rows = np.arange(len(data), dtype=np.int32)
    return RunIdentity.of(values, seed=seed, train=data, rows=rows, validation=validation)


def test_entries_name_everything_that_the_model_follows_from() -> None:
    """Entries are hyperparameters, seed, version and data, without lengths of run and log."""
    entries = identity(seed=3).entries
    assert {"epochs", "batch_metrics_publish_interval"}.isdisjoint(entries)
    assert entries["vector_dim"] == "'8'"
    assert entries["the seed"] == "3"
    assert entries["the version of ipinsights"] == ipinsights.__version__
    assert entries["the training data"].startswith("3 rows with fingerprint ")


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
    """The identity of a job on one host is that of the host."""
    own = identity()
    assert own.across(ProcessGroup()) is own


def test_hosts_share_an_entry_per_host_and_keep_their_rows() -> None:
    """The data of each host is an entry of its own, and the rows are those that the host trains."""
    own = [identity(train=pairs("a", "b")), identity(train=pairs("c"))]
    shared = on_hosts(2, lambda group: own[group.rank].across(group))
    assert shared[0].entries == shared[1].entries
    for number, each in enumerate(own, start=1):
        assert shared[0].entries[f"the training data of host {number}"] == each.entries["the training data"]
    assert "the training data" not in shared[0].entries
    assert [each.rows.tolist() for each in shared] == [each.rows.tolist() for each in own]
