"""The history of a job: on one host, on several, and after a model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.both_families import join_families
from ipinsights.data.ipv6 import Ipv6Pairs
from ipinsights.data.pairs import Pairs
from ipinsights.model.artifact import Artifact, meta_data
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.history_member import with_history
from ipinsights.training.collectives import ProcessGroup
from ipinsights.training.kept_history import KeptHistory

from .thread_group import on_hosts as together

if TYPE_CHECKING:
    import pytest

PLAIN = Hyperparameters(num_entity_vectors=10, vector_dim=4)
KEEPING = Hyperparameters(num_entity_vectors=10, vector_dim=4, keep_history=True)


def rows(seed: int, size: int = 60) -> Pairs:
    """Draw rows of few entities and addresses."""
    rng = np.random.default_rng(seed)
    return Pairs(rng.integers(5, size=size).astype(np.uint64), rng.integers(9, size=size).astype(np.uint32))


def gathered(train: Pairs, ipv6: Ipv6Pairs | None = None, **given: Any) -> KeptHistory:
    """Return the history of a job on one host."""
    values = {"hyperparameters": KEEPING, "group": ProcessGroup(), "num_seen": len(train), **given}
    return KeptHistory.gather(train=train, ipv6=ipv6, **values)


def on_hosts(parts: list[tuple[Pairs, Ipv6Pairs | None]], **given: Any) -> list[KeptHistory]:
    """Return the history of a job by host."""
    return together(len(parts), lambda group: gathered(*parts[group.rank], group=group, **given))


def content(kept: KeptHistory) -> dict[str, bytes]:
    """Return the bytes of a history."""
    assert kept.history is not None
    return {name: array.tobytes() for name, array in kept.history.arrays.items()}


def sources(kept: KeptHistory) -> list[dict[str, Any]]:
    """Return what is recorded of each source."""
    assert kept.record is not None
    return [dict(source) for source in kept.record.sources]


def model_of(kept: KeptHistory) -> Artifact:
    """Return a model that keeps a history."""
    meta = with_history(meta_data(PLAIN, {}), kept.history, kept.record)
    return Artifact(PLAIN, {}, BloomFilter(np.zeros(10, dtype=np.uint8)), meta, history=kept.history)


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    """A job without the hyperparameter has neither history nor record."""
    assert gathered(rows(1), hyperparameters=PLAIN) == KeptHistory(None, None)


def test_one_host() -> None:
    """All rows are counted, and the record says what they were."""
    train = rows(1)
    kept = gathered(train)
    assert kept.history is not None
    assert kept.history.num_events == 60
    assert sources(kept) == [
        {"kind": "training", "num_rows": 60, "num_entities": 5, "fingerprint": join_families(train, None).fingerprint}
    ]


def test_rows_that_training_has_not_seen_are_left_out() -> None:
    """A job that was stopped in its first epoch keeps the rows until then."""
    assert content(gathered(rows(1), num_seen=10)) == content(gathered(rows(1)[:10]))


def test_a_bound() -> None:
    """The rows of an entity are bounded by the hyperparameter, which is recorded."""
    kept = gathered(rows(1), hyperparameters=Hyperparameters(10, 4, keep_history=True, history_rows_per_entity=2))
    assert kept.history is not None
    assert kept.record is not None
    assert np.bincount(kept.history.ipv4.owners).tolist() == [2] * 5
    assert kept.record.rows_per_entity == 2


class TestSeveralHosts:
    """Every host has the history of all."""

    whole = rows(2, size=61)
    ipv6 = Ipv6Pairs(*(np.arange(7, dtype=np.uint64) << np.uint64(shift) for shift in (0, 40, 0)))

    def parts(self) -> list[tuple[Pairs, Ipv6Pairs | None]]:
        """Return the rows of three hosts, as a job divides them."""
        return [
            (
                Pairs(self.whole.entities[rank::3].copy(), self.whole.ips[rank::3].copy()),
                Ipv6Pairs(*(column[rank::3].copy() for column in vars(self.ipv6).values())),
            )
            for rank in range(3)
        ]

    def test_a_channel_that_all_hosts_read(self) -> None:
        """History and record are those of one host, so that the file is recognised."""
        alone = gathered(self.whole, self.ipv6)
        for kept in on_hosts(self.parts(), whole_fingerprint=join_families(self.whole, self.ipv6).fingerprint):
            assert content(kept) == content(alone)
            assert sources(kept) == sources(alone)

    def test_files_of_their_own(self) -> None:
        """Each host's rows are a source, because no host knows the order of all."""
        for kept in on_hosts(self.parts()):
            assert content(kept) == content(gathered(self.whole, self.ipv6))
            assert [source["num_rows"] for source in sources(kept)] == [24, 22, 22]
            assert [source["fingerprint"] for source in sources(kept)] == [
                join_families(*part).fingerprint for part in self.parts()
            ]


class TestWarmStart:
    """Jobs that begin with a model."""

    def test_new_rows_are_added(self) -> None:
        """The history is that of both, and so is the record."""
        parts = (rows(1), rows(2))
        entities, ips = (np.concatenate([getattr(part, name) for part in parts]) for name in ("entities", "ips"))
        first, both = gathered(parts[0]), Pairs(entities, ips)
        kept = gathered(rows(2), initial=model_of(first))
        assert content(kept) == content(gathered(both))
        assert sources(kept) == sources(first) + sources(gathered(rows(2)))

    def test_the_same_rows_are_not_added(self) -> None:
        """Rows that the initial model has are not added again, by one host or by several."""
        train = rows(1)
        initial = model_of(gathered(train))
        parts: list[tuple[Pairs, Ipv6Pairs | None]] = [
            (Pairs(train.entities[rank::2].copy(), train.ips[rank::2].copy()), None) for rank in range(2)
        ]
        again = on_hosts(parts, initial=initial, whole_fingerprint=join_families(train, None).fingerprint)
        for kept in (gathered(train, initial=initial), *again):
            assert content(kept) == content(gathered(train))
            assert sources(kept) == sources(gathered(train))

    def test_a_lost_history_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        """A job that keeps none says so, once."""
        caplog.set_level(logging.WARNING, logger="ipinsights")
        gathered(rows(2), hyperparameters=PLAIN, initial=model_of(gathered(rows(1))))
        assert [record.getMessage() for record in caplog.records] == [
            "The history of the initial model is not kept: set _keep_history to true to keep it."
        ]
