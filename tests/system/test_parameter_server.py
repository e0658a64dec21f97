"""The parameter server's processes, over real sockets: what they accept, and what a step on them does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .kvstore_processes import VALUES, run

pytestmark = pytest.mark.slow


class Exploit:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def send_pickle(environment: dict[str, str], path: Path) -> None:
    """Be a worker that sends what MXNet's own servers unpickle."""
    from ipinsights.distributed.kvstore_roles import connect

    store = connect(environment, "dist_sync")
    store._send_command_to_servers(0, pickle.dumps(Exploit(path), 0).decode())


def take_steps(environment: dict[str, str], folder: Path, rank: int, max_block_elements: int) -> None:
    """Be a worker of two that takes three steps, the second worker without records in the last one."""
    from ipinsights.distributed.kvstore_collectives import KVStoreGroup
    from ipinsights.distributed.kvstore_roles import connect
    from ipinsights.model._mxnet import mx
    from ipinsights.model.sampling import Records
    from ipinsights.training.learners.kvstore import ParallelLearner

    store = connect(environment, "dist_sync")
    learner = ParallelLearner(VALUES, devices=[mx.cpu()], store=store, seed=5, max_block_elements=max_block_elements)
    group = KVStoreGroup(rank, 2, 3, store)
    start = learner.parameters()["entity_weight"][0:30] if rank == 0 else None
    encoder = {name: array.asnumpy() for name, array in learner.parameters().items() if name != "entity_weight"}
    group.wait()
    for step in records()[rank]:
        learner.step(Records(*step)) if step else learner._step_idly()
    group.wait()
    if rank == 0:
        found = {name: array[0 : array.shape[0]] for name, array in learner.parameters().items()}
        ends = {name: part.asnumpy() if hasattr(part, "asnumpy") else part for name, part in found.items()}
        np.savez(folder / "start.npz", entity_weight=start, **encoder)
        np.savez(folder / "end.npz", **ends)
    group.wait()


def records() -> list[list[Any]]:
    """Give rows, addresses and labels of each worker's steps, the same wherever they are asked for."""
    rng = np.random.default_rng(3)
    steps = [
        [
            (
                rng.integers(30, size=10).astype(np.int32),
                rng.integers(2**32, size=10, dtype=np.uint32),
                rng.integers(2, size=10).astype(np.float32),
            )
            for _ in range(3)
        ]
        for _ in range(2)
    ]
    steps[1][2] = None
    return steps


def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    """A server that is sent what MXNet calls an optimizer does not run it."""
    run(1, 1, send_pickle, tmp_path / "exploited")
    assert not (tmp_path / "exploited").exists()
    pickle.loads(pickle.dumps(Exploit(tmp_path / "exploited"), 0))  # noqa: S301 - our own, to see that it would have
    assert (tmp_path / "exploited").exists()


@pytest.mark.parametrize("max_block_elements", [2**27, 8 * 7])
def test_two_hosts_take_the_steps_of_one_with_both_their_records(tmp_path: Path, max_block_elements: int) -> None:
    """Means are over the records of both; where one has none, the other's count half, and nothing else moves."""
    from ipinsights.model._mxnet import mx
    from ipinsights.model.sampling import Records
    from ipinsights.training.learners.gluon import GluonLearner

    run(2, 3, take_steps, tmp_path, ..., max_block_elements)
    alone = GluonLearner(VALUES, seed=99)
    start, end = np.load(tmp_path / "start.npz"), np.load(tmp_path / "end.npz")
    alone.set_parameters(start)
    first, second = records()
    for one, other in zip(first[:2], second[:2], strict=True):
        alone.step(Records(*(np.concatenate(pair) for pair in zip(one, other, strict=True))))
    with mx.autograd.record():
        batch = Records(*first[2])
        loss = alone._loss(alone._forward(batch.entity_rows, batch.ips), mx.nd.array(batch.labels))
    loss.backward()
    alone._optimizer.step(2 * len(batch))
    for name, array in alone.parameters().items():
        assert np.abs(array.asnumpy() - end[name]).max() < 1e-5, name
