"""What each process of a group does in the tests of collectives, whatever carries them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.training.batches import PartitionedBatches
from ipinsights.training.entity_partition import EntityPartition
from ipinsights.training.learners.cpu import CPULearner

if TYPE_CHECKING:
    from ipinsights.training.collectives import ProcessGroup

VALUES = Hyperparameters(num_entity_vectors=40, vector_dim=16, mini_batch_size=20, learning_rate=0.001)
# Of the bits of two hosts and more, each has bits that no other one has.
LARGEST = np.iinfo(np.uint64).max


def use_collectives(group: ProcessGroup) -> dict[str, Any]:
    """Call every collective, and return what JSON can hold of the results."""
    rank, size = group.rank, group.size
    total = np.arange(50_000, dtype=np.float32) * (rank + 1)
    group.allreduce(total)
    step = np.full(10, rank + 1, dtype=np.float32)
    group.votes[:] = (0, rank == size - 1)
    group.reduce_step(step)
    parts = [np.full(to + 1 if rank else 0, LARGEST - np.uint64(10 * rank + to), dtype=np.uint64) for to in range(size)]
    found = {
        "sum": total.tobytes().hex()[-400:],
        "step": [step[:8].tolist(), group.has_agreed(0), group.has_agreed(1)],
        "stops": [group.agree_to_stop(rank == 1), group.agree_to_stop(False)],
        "facts": group.gather({"name": "Zoë" * rank}),
        "bits": group.any_of(np.array([1 << rank, 0], dtype=np.uint8)).tolist(),
        "parts": [part.tolist() for part in group.all_parts(np.arange(rank, dtype=np.uint8))],
        "exchange": [part.tolist() for part in group.exchange(parts)],
    }
    group.wait()
    return found


def expected_of(size: int, rank: int) -> dict[str, Any]:
    """Return what a host should have found."""
    factor, largest = size * (size + 1) // 2, int(LARGEST)
    return {
        "sum": (np.arange(50_000, dtype=np.float32) * factor).tobytes().hex()[-400:],
        "step": [[factor] * 8, False, True],
        "stops": [size > 1, False],
        "facts": [{"name": "Zoë" * each} for each in range(size)],
        "bits": [(1 << size) - 1, 0],
        "parts": [list(range(each)) for each in range(size)],
        "exchange": [[largest - 10 * each - rank] * (rank + 1) if each else [] for each in range(size)],
    }


def train(group: ProcessGroup) -> dict[str, Any]:
    """Train an epoch, and return a digest of the encoder and the rows.

    The last host may have no pairs.
    """
    rng = np.random.default_rng(4)
    entities = np.concatenate([np.zeros(150), rng.integers(20, size=150)]).astype(np.uint64)
    whole = Pairs(entities, rng.integers(2**32, size=300, dtype=np.uint32))
    own = Pairs(whole.entities[group.rank :: group.size], whole.ips[group.rank :: group.size])
    partition, own = EntityPartition.divide(group, own, VALUES, is_sharded=True)
    local = partition.local_hyperparameters(VALUES)
    learner = CPULearner(local, num_threads=1, group=group, first_row=partition.first)
    batches = PartitionedBatches(partition, partition.local_rows(own.entities), own.ips, VALUES, seed=1)
    for batch in batches.epoch(0):
        for _ in learner.learn(batch.records, num_all=batch.num_all):
            pass
    params = {name: np.ascontiguousarray(array) for name, array in learner.parameters().items()}
    table = params.pop("entity_weight")
    digest = hashlib.sha256(b"".join(array.tobytes() for array in params.values())).hexdigest()
    return {"encoder": digest, "num_rows": len(own), "table": table.tolist(), "first": partition.first}
