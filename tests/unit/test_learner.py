"""The learners: parameters after a step by an independent formula, and scores in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model import mxnet_package
from ipinsights.model.ip_encoder import AddressEncoder, allocate_pair
from ipinsights.model.sampling import Records
from ipinsights.training.batches import BaseBatches
from ipinsights.training.learners.cpu import CPULearner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.training.learners.learner import Learner

Params = dict[str, "NDArray[np.float64]"]

KINDS: list[type[Any]] = [CPULearner]
if mxnet_package.is_installed():
    from ipinsights.training.learners.gluon import GluonLearner

    KINDS.append(GluonLearner)


def case(dim: int, num_layers: int, size: int, num_entities: int, decay: float, **others: float) -> dict[str, Any]:
    """Return settings of a learner with a rate at which no score saturates within fifty steps."""
    return {
        "learning_rate": 0.001,
        "vector_dim": dim, "num_ip_encoder_layers": num_layers, "mini_batch_size": size,
        "num_entity_vectors": num_entities, "weight_decay": decay, **others,
    }  # fmt: skip


def negatives(num_random: int, num_shuffled: int) -> dict[str, float]:
    """Return settings of negative sampling."""
    return {"random_negative_sampling_rate": num_random, "shuffled_negative_sampling_rate": num_shuffled}


# Together they have each value next to most of the others.
# One seed for all: of ten layers of four numbers, a rounding in one seed of 25 turns off a relu and changes everything.
SEED = 8
QUICK = [
    case(8, 1, 10, 40, 0),
    case(6, 0, 10, 40, 0.01),
    case(7, 3, 10, 40, 0),
    case(5, 1, 1, 40, 0.01),
    case(8, 1, 10, 1, 0, **negatives(3, 0)),
    case(8, 2, 10, 40, 0.01, **negatives(0, 4)),
    case(30, 2, 100, 1, 0.01),
    case(134, 0, 100, 2000, 0.01),
    case(30, 1, 1, 2000, 0),
    case(5, 10, 100, 40, 0.01),
]
SLOW = [
    case(4, 10, 10_000, 20_000, 0.01),
    case(4, 1, 1000, 1_000_000, 0.01),
    case(5, 3, 1, 1_000_000, 0),
    case(5, 0, 10_000, 1, 0),
    case(30, 2, 1000, 1, 0.01),
    case(30, 3, 100, 20_000, 0, **negatives(250, 250)),
    case(128, 1, 10_000, 20_000, 0),
    case(128, 3, 100, 1, 0.01, **negatives(500, 0)),
    case(134, 1, 1000, 3000, 0.01),
    case(134, 10, 1, 20_000, 0, **negatives(0, 500)),
    case(677, 1, 100, 1, 0, learning_rate=1e-4),
    case(677, 2, 1000, 5000, 0.01, learning_rate=1e-4),
    case(677, 0, 1, 20_000, 0.01, learning_rate=1e-4),
]


def values(**changes: Any) -> Hyperparameters:
    """Return small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def copied(array: Any) -> NDArray[np.float32]:
    """Return a copy of an array of NumPy or MXNet."""
    return np.array(array) if isinstance(array, np.ndarray) else array.asnumpy()


def arrays(learner: Learner) -> dict[str, NDArray[np.float32]]:
    """Return copies of the parameters."""
    return {name: copied(array[0 : array.shape[0]]) for name, array in learner.parameters().items()}


def embedded(learner: Learner, ips: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the embeddings of addresses by the encoder of NumPy, (n, vector_dim)."""
    given = learner.hyperparameters
    params = {name: copied(array[0:1024]) for name, array in learner.parameters().items()}
    encoder = AddressEncoder(params, given.vector_dim, given.num_ip_encoder_layers)
    return encoder.embed(encoder.octet_tables(), ips, *allocate_pair(len(ips), given.vector_dim))


def take_step(learner: Learner, batch: Records) -> Any:
    """Take one step on at most ``mini_batch_size`` records, and return the scores before it."""
    ((_, scores),) = learner.learn(batch)
    return scores


def largest_difference(learner: Learner, adam: Adam) -> float:
    """Return the largest difference between a learner's parameters and the formula's."""
    return max(float(np.abs(array - adam.params[name]).max()) for name, array in arrays(learner).items())


def share_beyond(tolerance: float, learner: Learner, expected: Mapping[str, NDArray[Any]]) -> float:
    """Return the share of parameters that differ from the expected ones beyond a tolerance."""
    beyond = [np.abs(array - expected[name]).ravel() > tolerance for name, array in arrays(learner).items()]
    return float(np.concatenate(beyond).mean())


def drawn(learner: Learner, *, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return parameters with embeddings and scores of about 1 for any number of layers.

    After several layers, the small initial values leave embeddings of 1e-6, whose gradients are little but rounding.
    """
    dim = learner.hyperparameters.vector_dim
    scales = {"entity_weight": dim**-0.5, "ip_octet_weight": 1.0}
    found = {}
    for name, array in arrays(learner).items():
        scale = scales.get(name, (2 / dim) ** 0.5 if name.endswith("weight") else 0.1)
        found[name] = rng.normal(scale=scale, size=array.shape).astype(np.float32)
    return found


def fifty_steps(learner: Learner, *, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float32], Records]]:
    """Take fifty steps, and yield labels and records of each."""
    size, num_left = learner.hyperparameters.mini_batch_size, 50
    for records in base_batches(learner.hyperparameters, num_steps=num_left, rng=rng):
        part = records[: num_left * size]
        for (labels, _), batch in zip(learner.learn(part), cut(part, size), strict=True):
            yield labels, batch
        num_left -= len(cut(part, size))


@pytest.mark.parametrize("kind", KINDS)
class TestStep:
    """What one optimizer step does."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.01])
    def test_it_is_lazy_adam_with_l2(
        self, kind: type[Any], num_layers: int, weight_decay: float, rng: np.random.Generator
    ) -> None:
        """Five steps change every parameter as an independent formula states, to 1e-6.

        Entities are in some of the batches only.
        """
        given = values(num_ip_encoder_layers=num_layers, weight_decay=weight_decay, learning_rate=0.001)
        learner = kind(given, seed=int(rng.integers(2**31)))
        drawn = {name: rng.normal(size=array.shape, scale=0.5) for name, array in arrays(learner).items()}
        learner.set_parameters(drawn)
        adam = Adam(learner)
        for _ in range(5):
            batch = random_records(10, rng=rng)
            take_step(learner, batch)
            adam.step(batch)
        assert largest_difference(learner, adam) < 1e-6

    @pytest.mark.slow
    def test_rows_beyond_2_to_the_24_keep_their_number(self, kind: type[Any]) -> None:
        """MXNet would round them to float32 if the types were left to it."""
        learner = kind(values(num_entity_vectors=2**24 + 3, vector_dim=4))
        rows, ips = np.array([2**24 + 1, 2**24 + 2], dtype=np.int32), np.zeros(2, dtype=np.uint32)
        vectors = copied(learner.parameters()["entity_weight"][2**24 + 1 : 2**24 + 3])
        expected = (vectors * embedded(learner, ips)).sum(axis=1)
        assert learner.score(rows, ips).tolist() == pytest.approx(expected.tolist(), abs=1e-8)


class TestManySteps:
    """The learner on a CPU over base batches of several steps."""

    @pytest.mark.parametrize(
        "changes", [*QUICK, *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)], ids=str
    )
    def test_fifty_steps_are_those_of_double_precision(self, changes: dict[str, Any]) -> None:
        """Fifty steps agree with an independent formula to 1e-5, for any sizes and rates.

        A few numbers in a thousand may differ more. Adam makes a whole step of a gradient whose terms cancel.
        """
        rng = np.random.default_rng(SEED)
        learner = CPULearner(values(**changes))
        learner.set_parameters(drawn(learner, rng=rng))
        adam = Adam(learner)
        for labels, batch in fifty_steps(learner, rng=rng):
            assert labels.tolist() == batch.labels.tolist()
            adam.step(batch)
        assert share_beyond(1e-5, learner, adam.params) < 2e-3
        assert largest_difference(learner, adam) < 0.05

    @pytest.mark.slow
    @pytest.mark.parametrize("changes", [*QUICK, *SLOW], ids=str)
    def test_fifty_steps_are_the_gluon_learner_s(
        self,
        changes: dict[str, Any],
        mx: Any,  # noqa: ARG002
    ) -> None:
        """Compiled kernels and MXNet's autograd with its Adam come to the same parameters, to 1e-5."""
        rng = np.random.default_rng(SEED)
        learner, gluon = (kind(values(**changes)) for kind in (CPULearner, GluonLearner))
        parameters = drawn(learner, rng=rng)
        learner.set_parameters(parameters)
        gluon.set_parameters(parameters)
        for _, batch in fifty_steps(learner, rng=rng):
            take_step(gluon, batch)
        assert share_beyond(1e-5, learner, arrays(gluon)) < 2e-3

    @pytest.mark.parametrize("num_layers", [1, 3])
    def test_rows_without_data_change_nothing(self, num_layers: int, rng: np.random.Generator) -> None:
        """A learner of the rows with data takes the steps of one of all rows, to the bit.

        It does so also after it was resumed.
        """
        given = values(num_ip_encoder_layers=num_layers, num_entity_vectors=400)
        batches = [random_records(10, rng=rng) for _ in range(4)]
        rows = np.unique(np.concatenate([batch.entity_rows for batch in batches]))
        full, part, resumed = (CPULearner(given, seed=6, rows=own) for own in (None, rows, rows))
        for batch in batches[:2]:
            assert take_step(part, batch).tolist() == take_step(full, batch).tolist()
        state = {name: np.array(array[0 : array.shape[0]]) for name, array in full.state_dict(rows).items()}
        resumed.load_state_dict(state, rows, num_steps=2)
        for batch in batches[2:]:
            scores = take_step(full, batch).tolist()
            assert take_step(part, batch).tolist() == take_step(resumed, batch).tolist() == scores
        everyone, ips = np.arange(400, dtype=np.int32), rng.integers(2**32, size=400, dtype=np.uint32)
        assert part.score(everyone, ips).tolist() == full.score(everyone, ips).tolist()
        for name, array in arrays(full).items():
            assert arrays(part)[name].tolist() == arrays(resumed)[name].tolist() == array.tolist()

    def test_the_best_model_and_another_one_can_be_set(self, rng: np.random.Generator) -> None:
        """Of the rows with data, and of all rows."""
        rows = np.array([3, 20], np.int32)
        learner, other = (CPULearner(values(), seed=seed, rows=rows) for seed in (1, 2))
        whole = drawn(learner, rng=rng)
        learner.set_parameters(whole)
        assert {name: array.tolist() for name, array in arrays(learner).items()} == {
            name: array.tolist() for name, array in whole.items()
        }
        other.set_parameters({**whole, "entity_weight": whole["entity_weight"][rows]}, rows)
        assert arrays(other)["entity_weight"][rows].tolist() == whole["entity_weight"][rows].tolist()
        initial = CPULearner(values(), seed=2).parameters()["entity_weight"]
        assert arrays(other)["entity_weight"][[0, 39]].tolist() == initial[[0, 39]].tolist()

    @pytest.mark.parametrize("num_layers", [1, 3])
    def test_the_model_does_not_depend_on_threads(self, num_layers: int) -> None:
        """One seed results in one model, to the bit, on one, two or three threads.

        This holds also if each step has pieces.
        """
        models = []
        for num_threads in (1, 2, 3):
            given = values(
                vector_dim=128, mini_batch_size=9000, num_entity_vectors=2000, num_ip_encoder_layers=num_layers
            )
            learner = CPULearner(given, seed=3, num_threads=num_threads)
            for records in base_batches(given, num_steps=6, rng=np.random.default_rng(7)):
                list(learner.learn(records))
            models.append({name: array.tobytes() for name, array in arrays(learner).items()})
        assert models[0] == models[1] == models[2]

    def test_parameters_within_a_base_batch_are_those_of_the_steps_so_far(self, rng: np.random.Generator) -> None:
        """Parameters between two steps are those of the formula."""
        learner = CPULearner(values(learning_rate=0.001), seed=1)
        adam = Adam(learner)
        (records,) = base_batches(learner.hyperparameters, num_steps=3, rng=rng)
        for _, batch in zip(learner.learn(records), cut(records, 10), strict=True):
            adam.step(batch)
            assert largest_difference(learner, adam) < 1e-6

    def test_a_column_that_no_place_uses_decays(self) -> None:
        """A column that no octet position uses has no gradient and decays.

        With five dimensions the positions after the first have one of two columns.
        """
        given = values(vector_dim=5, weight_decay=0.1, learning_rate=0.001)
        learner = CPULearner(given, seed=2)
        adam = Adam(learner)
        unused = arrays(learner)["ip_octet_weight"][256:, 1]
        batch = random_records(10, rng=np.random.default_rng(3))
        for _ in range(3):
            take_step(learner, batch)
            adam.step(batch)
        assert (np.abs(arrays(learner)["ip_octet_weight"][256:, 1]) < np.abs(unused)).mean() > 0.9
        assert largest_difference(learner, adam) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
class TestScore:
    """Scores of the network as it is."""

    def test_scores_do_not_depend_on_the_batch(
        self, kind: type[Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scores in pieces of ten and at once are the dot products of the embeddings."""
        learner = kind(values(), seed=5)
        rows = rng.integers(40, size=33).astype(np.int32)
        ips = rng.integers(2**32, size=33, dtype=np.uint32)
        whole = learner.score(rows, ips)
        monkeypatch.setattr(f"{kind.__module__}.SCORING_BATCH", 10)
        assert learner.score(rows, ips).tolist() == pytest.approx(whole.tolist(), abs=1e-8)
        vectors = arrays(learner)["entity_weight"][rows]
        assert (vectors * embedded(learner, ips)).sum(axis=1).tolist() == pytest.approx(whole.tolist(), abs=1e-8)


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Return a batch with repeated entities that misses most entities."""
    rows, ips = rng.integers(12, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


def base_batches(values: Hyperparameters, *, num_steps: int, rng: np.random.Generator) -> Iterator[Records]:
    """Yield the records of ``num_steps`` steps.

    Half of the rows have a few entities that are in every batch.
    """
    num_rows = values.mini_batch_size * -(-num_steps // values.records_per_row)
    few = min(10, values.num_entity_vectors)
    rows = rng.integers(np.where(rng.random(num_rows) < 0.5, few, values.num_entity_vectors)).astype(np.int32)
    ips = rng.integers(2**32, size=num_rows, dtype=np.uint32)
    for batch in BaseBatches(rows, ips, values, seed=int(rng.integers(2**31))).epoch(0):
        yield batch.records


def cut(records: Records, size: int) -> list[Records]:
    """Return records in batches."""
    return [records[start : start + size] for start in range(0, len(records), size)]


class Adam:
    """Adam (Kingma and Ba, algorithm 1) in double precision with L2, lazy for the entity table.

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
    """Return the gradient of a batch's mean cross-entropy by the chain rule, without sharing."""
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
        np.add.at(found["ip_octet_weight"][:, : widths[place]], octets[:, place], part)
    return found


@pytest.mark.parametrize("kind", KINDS)
class TestStateDict:
    """A learner that another one's steps go on in."""

    def test_a_restored_learner_goes_on_to_the_bit(self, kind: type[Any], rng: np.random.Generator) -> None:
        """A restored learner continues to the bit, with entities in some of the batches only.

        Ten steps have the same result if another learner takes the last five.
        """
        given = values(weight_decay=0.01)
        batches = [random_records(10, rng=rng) for _ in range(10)]
        rows = np.unique(np.concatenate([batch.entity_rows for batch in batches]))
        whole, first, second = kind(given, seed=1), kind(given, seed=1), kind(given, seed=1)
        for batch in batches:
            take_step(whole, batch)
        for batch in batches[:5]:
            take_step(first, batch)
        state = {name: np.array(array[0:1024]) for name, array in first.state_dict(rows).items()}
        assert state["mean:entity_weight"].shape == (len(rows), 8)
        second.load_state_dict(state, rows, num_steps=5)
        for batch in batches[5:]:
            take_step(second, batch)
        assert all((array == arrays(second)[name]).all() for name, array in arrays(whole).items())

    def test_parameters_can_be_set(self, kind: type[Any]) -> None:
        """Every parameter is what it was told to be."""
        drawn, other = kind(values(), seed=1), kind(values(), seed=2)
        other.set_parameters(arrays(drawn))
        assert all((array == arrays(other)[name]).all() for name, array in arrays(drawn).items())
