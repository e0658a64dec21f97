"""MXNet's learner on several devices, for which those of the CPU stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model._mxnet import mx
from ipinsights.model.sampling import Records
from ipinsights.training.learners.gluon import GluonLearner

if TYPE_CHECKING:
    from numpy.typing import NDArray


def learner_on(num_devices: int, *, store: str = "device", seed: int = 3, **changes: Any) -> GluonLearner:
    """Return a small learner on a number of devices."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "learning_rate": 0.01}
    devices = [mx.cpu(index) for index in range(num_devices)]
    return GluonLearner(Hyperparameters(**{**small, **changes}), devices=devices, store=store, seed=seed)


def arrays(learner: GluonLearner) -> dict[str, NDArray[np.float32]]:
    """Return copies of the parameters, after a check that all devices have the same."""
    for parameter in learner.net.collect_params().values():
        first, *others = [array.asnumpy() for array in parameter.list_data()]
        assert all((other == first).all() for other in others), parameter.name
    return {name: array.asnumpy() for name, array in learner.parameters().items()}


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Return a batch in which entities repeat, and which misses every row from 30 on."""
    rows, ips = rng.integers(30, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


def largest_difference(one: GluonLearner, other: GluonLearner) -> float:
    """Return the largest difference of any two parameters of the same name."""
    expected = arrays(other)
    return max(float(np.abs(array - expected[name]).max()) for name, array in arrays(one).items())


@pytest.mark.parametrize("store", ["local", "device"])
@pytest.mark.parametrize("num_devices", [2, 3])
@pytest.mark.parametrize("size", [10, 2, 1])
def test_devices_together_take_the_step_of_one(
    num_devices: int, store: str, size: int, rng: np.random.Generator
) -> None:
    """Devices take the step of one, also where records do not divide or a device has none.

    Weights decay.
    """
    learner, alone = learner_on(num_devices, store=store, weight_decay=0.01), learner_on(1, weight_decay=0.01)
    before = arrays(learner)["entity_weight"]
    for _ in range(5):
        batch = random_records(size, rng=rng)
        assert learner.step(batch).asnumpy() == pytest.approx(alone.step(batch).asnumpy(), abs=1e-5)
    assert largest_difference(learner, alone) < 1e-4
    assert (arrays(learner)["entity_weight"][30:] == before[30:]).all()


def test_it_starts_where_one_device_starts() -> None:
    """The same seed draws the same network, on any number of devices."""
    assert largest_difference(learner_on(2), learner_on(1)) == 0


def test_records_are_cut_into_batches(rng: np.random.Generator) -> None:
    """Thirty records are three steps, with the labels of each."""
    records = random_records(30, rng=rng)
    steps = list(learner_on(2).learn(records))
    assert [scores.shape for _, scores in steps] == [(10,)] * 3
    assert np.concatenate([labels for labels, _ in steps]).tolist() == records.labels.tolist()


@pytest.mark.parametrize("num_devices", [1, 2])
def test_it_resumes_to_the_bit(num_devices: int, rng: np.random.Generator) -> None:
    """A learner that resumes from the rows of its data has the same parameters on every device."""
    learner, rows = learner_on(num_devices, weight_decay=0.01), np.arange(30, dtype=np.int32)
    batches = [random_records(10, rng=rng) for _ in range(6)]
    for batch in batches[:3]:
        learner.step(batch)
    state = {name: np.array(array[0 : array.shape[0]]) for name, array in learner.state_dict(rows).items()}
    other = learner_on(num_devices, weight_decay=0.01)
    other.load_state_dict(state, rows, num_steps=3)
    for batch in batches[3:]:
        assert (learner.step(batch).asnumpy() == other.step(batch).asnumpy()).all()
    assert largest_difference(learner, other) == 0


def test_parameters_are_set_on_every_device() -> None:
    """The given rows have their new values on every device, and others stay."""
    learner, rows = learner_on(2), np.array([1, 39], dtype=np.int32)
    before = arrays(learner)
    given = {name: array + 1 for name, array in before.items()}
    learner.set_parameters({**given, "entity_weight": given["entity_weight"][rows]}, rows)
    changed = (arrays(learner)["entity_weight"] != before["entity_weight"]).all(axis=1)
    assert np.flatnonzero(changed).tolist() == rows.tolist()


@pytest.mark.slow
def test_rows_beyond_2_to_the_24_keep_their_number() -> None:
    """MXNet would round them to float32 if the types were left to it."""
    learner = learner_on(2, num_entity_vectors=2**24 + 3, vector_dim=4, learning_rate=1.0)
    rows = np.array([2**24 + 1, 2**24 + 1], dtype=np.int32)
    before = learner.parameters()["entity_weight"][2**24 - 1 :].asnumpy()
    learner.step(Records(rows, np.zeros(2, dtype=np.uint32), np.ones(2, dtype=np.float32)))
    changed = (learner.parameters()["entity_weight"][2**24 - 1 :].asnumpy() != before).all(axis=1)
    assert changed.tolist() == [False, False, True, False]
