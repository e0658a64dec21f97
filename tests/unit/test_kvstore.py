"""The learner on several devices: the steps of the one-device learner, wherever rows and records lie."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model._mxnet import mx
from ipinsights.model.sampling import Records
from ipinsights.training.learners.gluon import GluonLearner
from ipinsights.training.learners.kvstore import ParallelLearner

if TYPE_CHECKING:
    from numpy.typing import NDArray


def values(**changes: Any) -> Hyperparameters:
    """Give small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def parallel(given: Hyperparameters, num_devices: int, *, store: str = "local", **options: Any) -> ParallelLearner:
    """Give a learner on so many CPU devices."""
    devices = [mx.cpu(index) for index in range(num_devices)]
    return ParallelLearner(given, devices=devices, store=mx.kv.create(store), seed=3, **options)


def one_device_copy(learner: ParallelLearner) -> GluonLearner:
    """Give a one-device learner that starts from the same parameters."""
    copy = GluonLearner(learner.hyperparameters, seed=99)
    copy.set_parameters(arrays(learner))
    return copy


def arrays(learner: GluonLearner | ParallelLearner) -> dict[str, NDArray[np.float32]]:
    """Give copies of the parameters."""
    found = {name: array[0 : array.shape[0]] for name, array in learner.parameters().items()}
    return {name: part.asnumpy() if hasattr(part, "asnumpy") else part for name, part in found.items()}


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Give a batch in which entities repeat, and which misses every row from 30 on."""
    rows, ips = rng.integers(30, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


def largest_difference(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> float:
    """Give the largest difference of any two parameters of the same name."""
    assert list(one) == list(other)
    return max(float(np.abs(array - other[name]).max()) for name, array in one.items())


def resident_bytes() -> int:
    """Give the memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class TestStep:
    """Steps on devices, against those of the one-device learner."""

    @pytest.mark.parametrize("store", ["local", "device"])
    @pytest.mark.parametrize("num_devices", [1, 2, 3])
    def test_devices_together_take_the_step_of_one(
        self, num_devices: int, store: str, rng: np.random.Generator
    ) -> None:
        """Ten records do not divide by three, and weights decay: parameters and scores agree to rounding."""
        learner = parallel(values(weight_decay=0.01), num_devices, store=store)
        alone = one_device_copy(learner)
        for _ in range(5):
            batch = random_records(10, rng=rng)
            assert learner.step(batch).asnumpy() == pytest.approx(alone.step(batch).asnumpy(), abs=1e-6)
        assert largest_difference(arrays(learner), arrays(alone)) < 1e-5

    def test_a_batch_smaller_than_the_devices_is_shared_by_some(self, rng: np.random.Generator) -> None:
        """Two records on three devices are the step of one device on two records."""
        learner = parallel(values(), 3)
        alone = one_device_copy(learner)
        batch = random_records(2, rng=rng)
        assert learner.step(batch).asnumpy() == pytest.approx(alone.step(batch).asnumpy(), abs=1e-7)
        assert largest_difference(arrays(learner), arrays(alone)) < 1e-5

    @pytest.mark.parametrize("rows_per_block", [1, 7, 35])
    def test_a_table_in_blocks_is_the_table(self, rows_per_block: int, rng: np.random.Generator) -> None:
        """Adam counts the same steps for every block, also for those that a batch does not touch."""
        learner = parallel(values(weight_decay=0.01), 2, max_block_elements=8 * rows_per_block)
        alone = one_device_copy(learner)
        before = arrays(learner)["entity_weight"]
        for _ in range(3):
            batch = random_records(10, rng=rng)
            assert learner.step(batch).asnumpy() == pytest.approx(alone.step(batch).asnumpy(), abs=1e-6)
        assert largest_difference(arrays(learner), arrays(alone)) < 1e-5
        assert (arrays(learner)["entity_weight"][30:] == before[30:]).all()

    def test_it_starts_where_the_one_device_learner_starts(self) -> None:
        """The same seed draws the same network, on any number of devices."""
        assert largest_difference(arrays(parallel(values(), 2)), arrays(GluonLearner(values(), seed=3))) == 0

    def test_records_are_cut_into_batches(self, rng: np.random.Generator) -> None:
        """Thirty records are three steps, with the labels of each."""
        records = random_records(30, rng=rng)
        steps = list(parallel(values(), 2).learn(records))
        assert [scores.shape for _, scores in steps] == [(10,)] * 3
        assert np.concatenate([labels for labels, _ in steps]).tolist() == records.labels.tolist()

    @pytest.mark.slow
    def test_rows_beyond_2_to_the_24_keep_their_number(self) -> None:
        """MXNet would round them to float32 if the types were left to it."""
        learner = parallel(values(num_entity_vectors=2**24 + 3, vector_dim=4, learning_rate=1.0), 2)
        rows = np.array([2**24 + 1, 2**24 + 1], dtype=np.int32)
        before = learner.parameters()["entity_weight"][2**24 - 1 :]
        learner.step(Records(rows, np.zeros(2, dtype=np.uint32), np.ones(2, dtype=np.float32)))
        changed = (learner.parameters()["entity_weight"][2**24 - 1 :] != before).all(axis=1)
        assert changed.tolist() == [False, False, True, False]


class TestScore:
    """Scores and embeddings of the network as it is."""

    @pytest.mark.parametrize("max_block_elements", [8 * 9, 2**27])
    def test_scores_and_embeddings_are_those_of_the_parameters(
        self, max_block_elements: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In pieces of ten or at once, in blocks or whole, rows in any order and repeated."""
        learner = parallel(values(), 2, max_block_elements=max_block_elements)
        alone = one_device_copy(learner)
        rows = rng.integers(40, size=33).astype(np.int32)
        ips = rng.integers(2**32, size=33, dtype=np.uint32)
        expected = alone.score(rows, ips)
        assert learner.score(rows, ips) == pytest.approx(expected, abs=1e-7)
        monkeypatch.setattr("ipinsights.training.learners.kvstore.SCORING_BATCH", 10)
        assert learner.score(rows, ips) == pytest.approx(expected, abs=1e-7)
        for mine, theirs in zip(learner.embeddings(rows, ips), alone.embeddings(rows, ips), strict=True):
            assert mine == pytest.approx(theirs, abs=1e-7)


class TestGoingOn:
    """A learner that is taken down and goes on elsewhere."""

    @pytest.mark.parametrize("max_block_elements", [8 * 9, 2**27])
    @pytest.mark.parametrize("num_devices", [1, 2])
    def test_it_takes_the_steps_that_it_would_have_taken(
        self, num_devices: int, max_block_elements: int, rng: np.random.Generator
    ) -> None:
        """From the state of the rows that the data has, to the bit, whatever was in these rows before."""
        options = {"max_block_elements": max_block_elements}
        learner = parallel(values(weight_decay=0.01), num_devices, **options)
        rows = np.arange(30, dtype=np.int32)
        batches = [random_records(10, rng=rng) for _ in range(6)]
        for batch in batches[:3]:
            learner.step(batch)
        before = arrays(learner)
        state = learner.state_dict(rows)
        assert all((array == before[name]).all() for name, array in arrays(learner).items())
        other = parallel(values(weight_decay=0.01), num_devices, **options)
        other.set_parameters({name: np.zeros_like(array) for name, array in before.items()})
        untouched = np.arange(30, 40, dtype=np.int32)
        other.set_parameters({**before, "entity_weight": before["entity_weight"][untouched]}, untouched)
        other.load_state_dict(state, rows, num_steps=3)
        for batch in batches[3:]:
            assert (learner.step(batch).asnumpy() == other.step(batch).asnumpy()).all()
        assert largest_difference(arrays(learner), arrays(other)) == 0

    def test_its_state_is_that_of_one_device(self, rng: np.random.Generator) -> None:
        """Parameters, means and variances by the same names, equal to rounding: one can go on from the other's."""
        learner = parallel(values(weight_decay=0.01), 2)
        alone = one_device_copy(learner)
        for _ in range(3):
            batch = random_records(10, rng=rng)
            learner.step(batch)
            alone.step(batch)
        rows = np.arange(0, 40, 2, dtype=np.int32)
        taken = {name: np.array(array[0 : array.shape[0]]) for name, array in alone.state_dict(rows).items()}
        found = learner.state_dict(rows)
        assert found.keys() == taken.keys()
        assert max(float(np.abs(found[name] - taken[name]).max()) for name in taken) < 1e-5

    def test_a_learner_without_steps_has_moments_of_zero(self) -> None:
        """Also of the table, whose moments the engine has not made yet."""
        state = parallel(values(), 2).state_dict(np.arange(40, dtype=np.int32))
        moments = {name: array for name, array in state.items() if ":" in name}
        assert len(moments) == 2 * (len(state) - len(moments))
        assert not any(array.any() for array in moments.values())

    def test_moments_take_memory_only_where_rows_are_trained(self) -> None:
        """A table of 128 MB and two moments as large: a step on a few of its rows takes a few pages more."""
        learner = parallel(values(num_entity_vectors=2**19, vector_dim=64), 1)
        rows = np.arange(0, 2**19, 2**15, dtype=np.int32)
        batch = Records(rows, np.zeros(len(rows), dtype=np.uint32), np.ones(len(rows), dtype=np.float32))
        before = resident_bytes()
        learner.step(batch)
        mx.nd.waitall()
        assert resident_bytes() - before < 2**26
        state = learner.state_dict(np.append(rows[:-1] + np.int32(1), rows[-1:]))
        moments = [array.any(axis=1).tolist() for name, array in state.items() if name.endswith(":entity_weight")]
        assert moments == [[False] * (len(rows) - 1) + [True]] * 2

    def test_parameters_are_set_in_the_rows_that_are_named(self) -> None:
        """The other rows of the table stay as they are."""
        learner = parallel(values(), 2, max_block_elements=8 * 9)
        before = arrays(learner)
        given = {name: array + 1 for name, array in before.items()}
        rows = np.array([1, 8, 9, 39], dtype=np.int32)
        learner.set_parameters({**given, "entity_weight": given["entity_weight"][rows]}, rows)
        changed = (arrays(learner)["entity_weight"] != before["entity_weight"]).all(axis=1)
        assert np.flatnonzero(changed).tolist() == rows.tolist()
        learner.set_parameters(given)
        assert largest_difference(arrays(learner), given) == 0
