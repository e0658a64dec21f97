"""The learners: what a step does to the parameters, by an independent formula, and scores in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model import mxnet_package
from ipinsights.model.sampling import Records
from ipinsights.training.batches import BaseBatches
from ipinsights.training.learners.cpu import CPULearner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.training.learners.learner import Learner

Params = dict[str, "NDArray[np.float64]"]

KINDS: list[type[Any]] = [CPULearner]
if mxnet_package.is_installed():
    from ipinsights.training.learners.gluon import GluonLearner

    KINDS.append(GluonLearner)


def values(**changes: Any) -> Hyperparameters:
    """Give small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def arrays(learner: Learner) -> dict[str, NDArray[np.float32]]:
    """Give copies of the parameters."""
    found = {name: array[0 : array.shape[0]] for name, array in learner.parameters().items()}
    return {name: np.array(part) if isinstance(part, np.ndarray) else part.asnumpy() for name, part in found.items()}


def largest_difference(learner: Learner, adam: Adam) -> float:
    """Give the largest difference between the parameters of a learner and those of the formula."""
    return max(float(np.abs(array - adam.params[name]).max()) for name, array in arrays(learner).items())


def share_beyond(tolerance: float, learner: Learner, adam: Adam) -> float:
    """Give the share of all parameters that differ from those of the formula by more than a tolerance."""
    beyond = [np.abs(array - adam.params[name]).ravel() > tolerance for name, array in arrays(learner).items()]
    return float(np.concatenate(beyond).mean())


@pytest.mark.parametrize("kind", KINDS)
class TestStep:
    """What one optimizer step does."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.01])
    def test_it_is_lazy_adam_with_l2(
        self, kind: type[Any], num_layers: int, weight_decay: float, rng: np.random.Generator
    ) -> None:
        """Five steps, with entities that come and go, move every parameter as an independent formula says, to 1e-6."""
        given = values(num_ip_encoder_layers=num_layers, weight_decay=weight_decay, learning_rate=0.001)
        learner = kind(given, seed=int(rng.integers(2**31)))
        drawn = {name: rng.normal(size=array.shape, scale=0.5) for name, array in arrays(learner).items()}
        learner.set_parameters(drawn)
        adam = Adam(learner)
        for _ in range(5):
            batch = random_records(10, rng=rng)
            learner.step(batch)
            adam.step(batch)
        assert largest_difference(learner, adam) < 1e-6

    @pytest.mark.slow
    def test_rows_beyond_2_to_the_24_keep_their_number(self, kind: type[Any]) -> None:
        """MXNet would round them to float32 if the types were left to it."""
        learner = kind(values(num_entity_vectors=2**24 + 3, vector_dim=4))
        rows = np.array([2**24 + 1, 2**24 + 2], dtype=np.int32)
        expected = learner.net.entities.weight.data()[2**24 + 1 : 2**24 + 3].asnumpy()
        assert (learner.embeddings(rows, np.zeros(2, dtype=np.uint32))[0] == expected).all()


class TestManySteps:
    """The learner on a CPU, over whole base batches, in which entities lie outside of their table."""

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"num_ip_encoder_layers": 0, "vector_dim": 6},
            {"num_ip_encoder_layers": 2, "weight_decay": 0.01},
            {"num_ip_encoder_layers": 3, "vector_dim": 7},
            {"vector_dim": 5, "mini_batch_size": 1},
            {"vector_dim": 134, "mini_batch_size": 1000, "num_entity_vectors": 3000},
            {"num_entity_vectors": 1, "random_negative_sampling_rate": 3, "shuffled_negative_sampling_rate": 0},
            {"random_negative_sampling_rate": 0, "shuffled_negative_sampling_rate": 4},
        ],
        ids=str,
    )
    def test_fifty_steps_are_those_of_double_precision(self, changes: dict[str, Any], rng: np.random.Generator) -> None:
        """To 1e-5 of an independent formula, whatever the layers, the width, the batch, the negatives and the decay.

        One number in ten thousand may differ more: Adam makes a whole step of a gradient whose terms cancel to nothing.
        """
        learner = CPULearner(values(learning_rate=0.001, **changes), seed=int(rng.integers(2**31)))
        adam = Adam(learner)
        for records in base_batches(learner.hyperparameters, num_steps=50, rng=rng):
            batches = cut(records, learner.hyperparameters.mini_batch_size)
            for (labels, _), batch in zip(learner.learn(records), batches, strict=True):
                assert labels.tolist() == batch.labels.tolist()
                adam.step(batch)
        assert share_beyond(1e-5, learner, adam) < 1e-4

    def test_the_same_seed_gives_the_same_model_to_the_bit(self) -> None:
        """Threads change no result: who adds what to what does not depend on who comes first."""
        models = []
        for _ in range(2):
            learner = CPULearner(values(vector_dim=128, mini_batch_size=1000, num_entity_vectors=2000), seed=3)
            for records in base_batches(learner.hyperparameters, num_steps=30, rng=np.random.default_rng(7)):
                list(learner.learn(records))
            models.append({name: array.tobytes() for name, array in arrays(learner).items()})
        assert models[0] == models[1]

    def test_whoever_looks_within_a_base_batch_sees_the_steps_so_far(self, rng: np.random.Generator) -> None:
        """Entities that are out of their table are written back for parameters, scores and embeddings."""
        learner = CPULearner(values(learning_rate=0.001), seed=1)
        adam = Adam(learner)
        (records,) = base_batches(learner.hyperparameters, num_steps=3, rng=rng)
        for _, batch in zip(learner.learn(records), cut(records, 10), strict=True):
            adam.step(batch)
            assert largest_difference(learner, adam) < 1e-6
            embeddings, _ = learner.embeddings(np.arange(40, dtype=np.int32), np.zeros(40, dtype=np.uint32))
            assert np.abs(embeddings - adam.params["entity_weight"]).max() < 1e-6

    def test_what_is_trained_is_the_gluon_network(self, mx: Any, rng: np.random.Generator) -> None:
        """Its parameters are the learner's to the bit, and what is written to them through MXNet is trained on."""
        learner = CPULearner(values(), seed=1)
        learner.net.entities.weight.set_data(mx.nd.ones((40, 8)))
        learner.step(random_records(10, rng=rng))
        seen = {name: parameter.data().asnumpy() for name, parameter in learner.net.collect_params().items()}
        assert all((seen[name] == array).all() for name, array in arrays(learner).items())
        assert (seen["entity_weight"] == 1).all(axis=1).sum() >= 30
        assert (seen["entity_weight"] != 1).any()


@pytest.mark.parametrize("kind", KINDS)
class TestScore:
    """Scores and embeddings of the network as it is."""

    def test_scores_and_embeddings_do_not_depend_on_the_batch(
        self, kind: type[Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In pieces of ten or at once, and as the dot product of the embeddings."""
        learner = kind(values(), seed=5)
        rows = rng.integers(40, size=33).astype(np.int32)
        ips = rng.integers(2**32, size=33, dtype=np.uint32)
        whole = learner.score(rows, ips)
        monkeypatch.setattr(f"{kind.__module__}.SCORING_BATCH", 10)
        assert learner.score(rows, ips).tolist() == pytest.approx(whole.tolist(), abs=1e-8)
        entities, addresses = learner.embeddings(rows, ips)
        assert (entities * addresses).sum(axis=1).tolist() == pytest.approx(whole.tolist(), abs=1e-8)


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Give a batch in which entities repeat, and one that misses most of them."""
    rows, ips = rng.integers(12, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


def base_batches(values: Hyperparameters, *, num_steps: int, rng: np.random.Generator) -> Iterator[Records]:
    """Give the records of so many steps; half of the rows are of few entities, which are in every batch."""
    num_rows = values.mini_batch_size * (num_steps // values.records_per_row)
    few = min(10, values.num_entity_vectors)
    rows = rng.integers(np.where(rng.random(num_rows) < 0.5, few, values.num_entity_vectors)).astype(np.int32)
    ips = rng.integers(2**32, size=num_rows, dtype=np.uint32)
    for batch in BaseBatches(rows, ips, values, seed=int(rng.integers(2**31))).epoch(0):
        yield batch.records


def cut(records: Records, size: int) -> list[Records]:
    """Give records in batches."""
    return [records[start : start + size] for start in range(0, len(records), size)]


class Adam:
    """Kingma and Ba's algorithm 1 in double precision, L2 added to the gradient, lazy for the entity table.

    The table's rows that are not in the batch keep value and moments; bias correction counts all steps.
    """

    def __init__(self, learner: Learner) -> None:
        self.params: Params = {name: array.astype(float) for name, array in arrays(learner).items()}
        self._decay = learner.hyperparameters.weight_decay
        self._rate = learner.hyperparameters.learning_rate
        self._m = {name: np.zeros_like(array) for name, array in self.params.items()}
        self._v = {name: np.zeros_like(array) for name, array in self.params.items()}
        self._t = 0

    def step(self, batch: Records) -> None:
        """Take one step on the mean cross-entropy of a batch."""
        self._t += 1
        correction = np.sqrt(1 - 0.999**self._t) / (1 - 0.9**self._t)
        for name, gradient in gradients(self.params, batch).items():
            is_table = name == "entity_weight"
            rows = np.unique(batch.entity_rows) if is_table else slice(None)
            full = gradient[rows] + (0 if is_table else self._decay) * self.params[name][rows]
            m, v = self._m[name], self._v[name]
            m[rows] = 0.9 * m[rows] + 0.1 * full
            v[rows] = 0.999 * v[rows] + 0.001 * full**2
            self.params[name][rows] -= self._rate * correction * m[rows] / (np.sqrt(v[rows]) + 1e-8)


def gradients(params: Params, batch: Records) -> Params:
    """Give the gradient of the mean cross-entropy of a batch by the chain rule, nothing shared and nothing sparse."""
    octets = (batch.ips[:, None] >> np.array([24, 16, 8, 0], dtype=np.uint32) & 255) + 256 * np.arange(4)
    table = params["ip_octet_weight"]
    # Of a width of 6 the octets have 2, 2, 1 and 1.
    widths = [len(range(place, params["entity_weight"].shape[1], 4)) for place in range(4)]
    # Inputs of each layer, (batch, dim) each; the last one is the embedding.
    xs = [np.hstack([table[octets[:, place], :width] for place, width in enumerate(widths)])]
    num_layers = (len(params) - 2) // 2
    for layer in range(num_layers):
        xs.append(np.maximum(xs[-1], 0) @ params[f"ip_layer{layer}_weight"].T + params[f"ip_layer{layer}_bias"])
    entities = params["entity_weight"][batch.entity_rows]
    error = (1 / (1 + np.exp(-(entities * xs[-1]).sum(axis=1))) - batch.labels)[:, None] / len(batch)
    found = {name: np.zeros_like(array) for name, array in params.items()}
    np.add.at(found["entity_weight"], batch.entity_rows, error * xs[-1])
    backward = error * entities
    for layer in reversed(range(num_layers)):
        found[f"ip_layer{layer}_weight"] = backward.T @ np.maximum(xs[layer], 0)
        found[f"ip_layer{layer}_bias"] = backward.sum(axis=0)
        backward = backward @ params[f"ip_layer{layer}_weight"] * (xs[layer] > 0)
    for place, part in enumerate(np.split(backward, np.cumsum(widths)[:-1], axis=1)):
        np.add.at(found["ip_octet_weight"], (octets[:, place], slice(0, widths[place])), part)
    return found


@pytest.mark.parametrize("kind", KINDS)
class TestStateDict:
    """A learner that another one's steps go on in."""

    def test_a_restored_learner_goes_on_to_the_bit(self, kind: type[Any], rng: np.random.Generator) -> None:
        """Ten steps are ten steps, also if the last five are taken by another learner; entities come and go."""
        given = values(weight_decay=0.01)
        batches = [random_records(10, rng=rng) for _ in range(10)]
        rows = np.unique(np.concatenate([batch.entity_rows for batch in batches]))
        whole, first, second = kind(given, seed=1), kind(given, seed=1), kind(given, seed=1)
        for batch in batches:
            whole.step(batch)
        for batch in batches[:5]:
            first.step(batch)
        state = {name: np.array(array[0:1024]) for name, array in first.state_dict(rows).items()}
        assert state["mean:entity_weight"].shape == (len(rows), 8)
        second.load_state_dict(state, rows, num_steps=5)
        for batch in batches[5:]:
            second.step(batch)
        assert all((array == arrays(second)[name]).all() for name, array in arrays(whole).items())

    def test_parameters_can_be_set(self, kind: type[Any]) -> None:
        """Every parameter is what it was told to be."""
        drawn, other = kind(values(), seed=1), kind(values(), seed=2)
        other.set_parameters(arrays(drawn))
        assert all((array == arrays(other)[name]).all() for name, array in arrays(drawn).items())
