"""How well the model of many hosts tells addresses apart, next to that of one host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.model.sampling import random_ips
from ipinsights.synthetic.ip_ranges import synthetic_ranges
from ipinsights.synthetic.logins import simulate
from ipinsights.training.entity_partition import EntityPartition
from ipinsights.training.learners.cpu import CPULearner
from ipinsights.training.metrics import discriminator_auc
from ipinsights.training.trainer import Trainer

from .thread_group import on_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipinsights.training.collectives import ProcessGroup

    Score = Callable[[NDArray[np.int32], NDArray[np.uint32]], NDArray[np.float32]]

NUM_HOSTS, NUM_USERS, NUM_SEEDS = 16, 400, 3
# The tutorial's settings, with batches of 960 records on all hosts together.
VALUES = Hyperparameters(
    num_entity_vectors=2 * NUM_USERS, vector_dim=128, mini_batch_size=960, learning_rate=0.01,
    random_negative_sampling_rate=5, epochs=1,
)  # fmt: skip


def logins() -> list[Pairs]:
    """Draw log-ins of six days for training and for validation."""
    rng = np.random.default_rng(0)
    events = simulate(num_users=NUM_USERS, num_days=6, ranges=synthetic_ranges(rng), rng=rng)
    names = hash_entities([f"user_{number}" for number in range(NUM_USERS)])
    return [Pairs(names[events.user[part]], events.ip[part]) for part in events.splits()[:2]]


def aucs(score: Score, pairs: Pairs) -> list[float]:
    """Return the AUC of pairs against random addresses, and against those of other users."""
    rng, rows = np.random.default_rng(1), entity_rows(pairs.entities, VALUES.num_entity_vectors)
    negatives = random_ips(len(pairs), rng=rng), rng.permutation(pairs.ips)
    return [discriminator_auc(score(rows, pairs.ips), score(rows, ips)) for ips in negatives]


@pytest.mark.slow
def test_sixteen_hosts_learn_as_well_as_one() -> None:
    """With the same size of a batch, the mean AUC of three seeds is not lower by .0005."""
    train, validation = logins()

    def on_one(seed: int) -> Any:
        trainer = Trainer(VALUES, seed=seed, learner=CPULearner(VALUES, seed=seed, num_threads=1))
        trainer.fit(train)
        return aucs(trainer.learner.score, validation)

    def on_many(seed: int) -> Any:
        values = replace(VALUES, mini_batch_size=VALUES.mini_batch_size // NUM_HOSTS)

        def work(group: ProcessGroup) -> list[float]:
            partition, own = EntityPartition.divide(group, train, values, is_sharded=False)
            local = partition.local_hyperparameters(values)
            learner = CPULearner(local, seed=seed, num_threads=1, group=group, first_row=partition.first)
            Trainer(values, seed=seed, learner=learner, partition=partition, num_threads=1).fit(own)
            return aucs(lambda rows, ips: partition.score(learner, rows, ips), validation)

        return on_hosts(NUM_HOSTS, work)[0]

    one, many = (np.mean([train_on(seed) for seed in range(NUM_SEEDS)], axis=0) for train_on in (on_one, on_many))
    assert one.min() > 0.95
    assert (many > one - 0.0005).all(), (one, many)
