"""The kernels: compiled, and as plain Python, against NumPy written down another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.ip_encoder import octet_rows, place_columns
from ipinsights.training.learners.compilation import load_kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

kernels = load_kernels()
DIM, SIZE, NUM_ENTITIES = 6, 40, 9
RATE, DECAY = np.float32(0.01), np.float32(0.1)
# First and last place of each call: one place, and several at once.
PARTS = [(0, 1), (1, 4)]


@pytest.fixture(params=["compiled", "plain"])
def called(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function that calls a kernel, compiled or as the Python that it is written in."""

    def call(kernel: Any, *arguments: Any) -> Any:
        return (kernel if request.param == "compiled" else getattr(kernel, "py_func", kernel))(*arguments)

    return call


def floats(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Return normal numbers."""
    return rng.normal(size=shape).astype(np.float32)


def adam_of(state: NDArray[Any], gradient: NDArray[Any], decay: float) -> tuple[NDArray[Any], ...]:
    """Return values and moments after a step of Adam in double precision."""
    values, means, variances = state
    gradient = gradient.astype(float) + decay * values
    means, variances = 0.9 * means + 0.1 * gradient, 0.999 * variances + 0.001 * gradient**2
    return values - float(RATE) * means / (np.sqrt(variances) + 1e-8), means, variances


class Batch:
    """A batch of records in which entities repeat, grouped by entity."""

    def __init__(self, rng: np.random.Generator, num_pieces: int = 1) -> None:
        self.rows = rng.integers(NUM_ENTITIES, size=SIZE).astype(np.int32)
        self.ips = rng.integers(2**32, size=SIZE, dtype=np.uint32)
        self.labels = rng.integers(2, size=SIZE).astype(np.float32)
        self.entities = floats(rng, NUM_ENTITIES, 3, DIM)
        self.entities[:, 2] **= 2
        self.order, self.distinct = np.empty(SIZE, np.int32), np.empty(SIZE, np.int32)
        self.starts, self.bounds = np.empty(SIZE + 1, np.int32), np.empty(num_pieces + 1, np.int32)
        self.numbers = np.full(NUM_ENTITIES, -1, np.int32)

    def group(self, call: Callable[..., Any]) -> int:
        """Group the records, and return the number of distinct entities."""
        found = call(kernels.group, self.rows, self.numbers, self.order, self.distinct, self.starts, self.bounds)
        return int(found)

    def expected(self, embeddings: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return scores, embedding gradients and entities after a step, in double precision."""
        vectors = self.entities[self.rows, 0].astype(float)
        scores = (vectors * embeddings).sum(axis=1)
        error = (1 / (1 + np.exp(-scores)) - self.labels)[:, None] / SIZE
        gradient = np.zeros((NUM_ENTITIES, DIM))
        np.add.at(gradient, self.rows, error * embeddings)
        entities = self.entities.astype(float)
        own = np.unique(self.rows)
        entities[own] = np.stack(adam_of(entities[own].swapaxes(0, 1), gradient[own], 0.0), axis=1)
        return scores, error * vectors, entities


def test_adam_is_the_formula(called: Callable[..., Any], rng: np.random.Generator) -> None:
    """A dense step with decay on the given rows, to rounding; the others stay."""
    state, gradient = floats(rng, 3, 10, 5), floats(rng, 10, 5)
    state[2] **= 2
    expected = state.astype(float)
    expected[:, 2:7] = adam_of(state[:, 2:7].astype(float), gradient[2:7], float(DECAY))
    called(kernels.adam, state, gradient, 2, 7, RATE, DECAY)
    assert np.abs(state - expected).max() < 1e-6


class TestGroup:
    """Records by entity."""

    @pytest.mark.parametrize("num_pieces", [1, 2, 8])
    def test_records_of_an_entity_are_together_and_in_order(
        self, called: Callable[..., Any], num_pieces: int, rng: np.random.Generator
    ) -> None:
        """Each entity has its records, ascending, and the scratch memory is as it was."""
        batch = Batch(rng, num_pieces)
        num_distinct = batch.group(called)
        groups = np.split(batch.order, batch.starts[1:num_distinct])
        for entity, group in zip(batch.distinct[:num_distinct], groups, strict=True):
            assert group.tolist() == np.flatnonzero(batch.rows == entity).tolist()
        assert sorted(batch.distinct[:num_distinct]) == np.unique(batch.rows).tolist()
        assert batch.starts[num_distinct] == SIZE
        assert (batch.numbers == -1).all()

    @given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 8))
    def test_pieces_cover_the_entities_once(self, rows: list[int], num_pieces: int) -> None:
        """Bounds ascend from none to all entities, however few there are."""
        memory = [np.empty(61, np.int32) for _ in range(3)]
        bounds = np.empty(num_pieces + 1, np.int32)
        found = kernels.group(np.array(rows, np.int32), np.full(6, -1, np.int32), *memory, bounds)
        assert bounds[0] == 0
        assert bounds[-1] == found == len(set(rows))
        assert (np.diff(bounds) >= 0).all()

    def test_pieces_have_about_equally_many_records(self, rng: np.random.Generator) -> None:
        """Four pieces of ten thousand records have about a quarter each."""
        rows = rng.integers(1000, size=10_000).astype(np.int32)
        order, distinct, starts = np.empty(10_000, np.int32), np.empty(10_000, np.int32), np.empty(10_001, np.int32)
        bounds = np.empty(5, np.int32)
        kernels.group(rows, np.full(1000, -1, np.int32), order, distinct, starts, bounds)
        assert np.abs(np.diff(starts[bounds]) - 2500).max() < 100


def test_octets_that_occur_are_found(called: Callable[..., Any], rng: np.random.Generator) -> None:
    """Octets that occur are in the order of the table, with the bounds of each position."""
    ips = rng.integers(2**32, size=SIZE, dtype=np.uint32)
    index, used, bounds = (np.empty(size, np.int32) for size in (1024, 1024, 5))
    called(kernels.find_octets, ips, index, used, bounds)
    occurring = np.unique(octet_rows(ips))
    assert used[: bounds[4]].tolist() == occurring.tolist()
    assert bounds.tolist() == np.searchsorted(occurring, [0, 256, 512, 768, 1024]).tolist()
    assert index[occurring].tolist() == list(range(len(occurring)))
    assert (index == -1).sum() == 1024 - len(occurring)


class TestLearn:
    """Scores, the update of entities, and gradients of embeddings."""

    def test_sums_of_four_rows_are_learned(self, called: Callable[..., Any], rng: np.random.Generator) -> None:
        """Scores, entities and the gradient of the table are those of double precision."""
        batch, table, index = Batch(rng), floats(rng, 1024, DIM), rng.permutation(1024).astype(np.int32)
        rows = index[octet_rows(batch.ips)]
        scores, gradients, entities = batch.expected(table[rows].astype(float).sum(axis=1))
        table_gradient = np.zeros((1024, DIM))
        np.add.at(table_gradient, rows, gradients[:, None])
        found, found_gradient = np.empty(SIZE, np.float32), np.ones((1024, DIM), np.float32)
        called(
            kernels.learn, 0, batch.group(called), batch.order, batch.distinct, batch.starts, batch.ips, batch.labels,
            index, table, batch.entities, RATE, found_gradient, found,
        )  # fmt: skip
        assert np.abs(found - scores).max() < 1e-4
        assert np.abs(found_gradient - table_gradient).max() < 1e-5
        assert np.abs(batch.entities - entities).max() < 1e-4

    def test_embeddings_are_learned(self, called: Callable[..., Any], rng: np.random.Generator) -> None:
        """Scores and entities are those of double precision, and embeddings become their gradients."""
        batch, embeddings = Batch(rng), floats(rng, SIZE, DIM)
        scores, gradients, entities = batch.expected(embeddings.astype(float))
        found = np.empty(SIZE, np.float32)
        called(
            kernels.learn_embedded, 0, batch.group(called), batch.order, batch.distinct, batch.starts, batch.labels,
            embeddings, batch.entities, RATE, found,
        )  # fmt: skip
        assert np.abs(found - scores).max() < 1e-4
        assert np.abs(embeddings - gradients).max() < 1e-6
        assert np.abs(batch.entities - entities).max() < 1e-4

    @pytest.mark.parametrize("score", [-200.0, 200.0, np.inf, np.nan])
    def test_extreme_scores_stay_what_they_are(self, score: float) -> None:
        """A large score has an error of 0 or 1, and a run that diverged shows it: nothing is hidden."""
        entities = np.zeros((1, 3, 1), np.float32)
        entities[0, 0, 0] = score
        one, embeddings, found = np.zeros(1, np.int32), np.ones((1, 1), np.float32), np.empty(1, np.float32)
        starts = np.array([0, 1], np.int32)
        kernels.learn_embedded(0, 1, one, one, starts, np.zeros(1, np.float32), embeddings, entities, RATE, found)
        assert found.tolist() == pytest.approx([score], nan_ok=True)
        assert np.isfinite(embeddings[0, 0]) == np.isfinite(score)


def test_embeddings_are_sums_and_spread_is_the_transpose(called: Callable[..., Any], rng: np.random.Generator) -> None:
    """For any embeddings x and gradients g, <sum(table), g> and <table, spread(g)> are equal."""
    ips, table, gradients = (
        rng.integers(2**32, size=SIZE, dtype=np.uint32),
        floats(rng, 1024, DIM),
        floats(rng, SIZE, DIM),
    )
    index = rng.permutation(1024).astype(np.int32)
    embeddings, spread = np.empty((SIZE, DIM), np.float32), np.ones((1024, DIM), np.float32)
    called(kernels.embed, ips, index, table, embeddings)
    assert np.abs(embeddings - table[index[octet_rows(ips)]].sum(axis=1)).max() < 1e-5
    called(kernels.spread, ips, index, gradients, spread)
    assert float((table * spread).sum()) == pytest.approx(float((embeddings * gradients).sum()), abs=1e-3)


class Layer:
    """The octet table with a first layer or none, and the octet values of a batch."""

    def __init__(self, rng: np.random.Generator, *, has_layer: bool) -> None:
        ips = rng.integers(2**32, size=SIZE, dtype=np.uint32)
        self.index, self.used, self.bounds = (np.empty(size, np.int32) for size in (1024, 1024, 5))
        kernels.find_octets(ips, self.index, self.used, self.bounds)
        self.columns = np.array([0, *(columns.stop for columns in place_columns(DIM))], np.int32)
        self.places = self.columns, self.used, self.bounds
        self.octets = floats(rng, 3, 1024, max(np.diff(self.columns)))
        self.weight = floats(rng, 3, DIM if has_layer else 0, DIM)
        self.bias = floats(rng, 3, 1 if has_layer else 0, DIM)

    def concatenated(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return octet embeddings at the columns of their place, and a mask of these columns."""
        inputs, is_own = np.zeros((self.bounds[4], DIM)), np.zeros((self.bounds[4], DIM), bool)
        for n, row in enumerate(self.used[: self.bounds[4]]):
            start, stop = self.columns[row // 256 : row // 256 + 2]
            inputs[n, start:stop], is_own[n, start:stop] = self.octets[0, row, : stop - start], True
        return inputs, is_own


@pytest.mark.parametrize("has_layer", [True, False])
class TestLayer:
    """The octet table and the first layer."""

    def test_the_table_is_the_layer_of_each_octet_value(
        self,
        called: Callable[..., Any],
        has_layer: bool,  # noqa: FBT001
        rng: np.random.Generator,
    ) -> None:
        """The bias belongs to the first place; without a layer the embeddings themselves are added."""
        layer, table = Layer(rng, has_layer=has_layer), floats(rng, 1024, DIM)
        for first, last in PARTS:
            called(kernels.tabulate, first, last, *layer.places, layer.octets, layer.weight, layer.bias, table)
        expected, _ = layer.concatenated()
        if has_layer:
            expected = np.maximum(expected, 0) @ layer.weight[0]
            expected[: layer.bounds[1]] += layer.bias[0]
        assert np.abs(table[: layer.bounds[4]] - expected).max() < 1e-5

    def test_gradients_are_those_of_the_table(
        self,
        called: Callable[..., Any],
        has_layer: bool,  # noqa: FBT001
        rng: np.random.Generator,
    ) -> None:
        """Octet values and columns that do not occur have a gradient of 0; pieces are summed."""
        layer, pieces = Layer(rng, has_layer=has_layer), floats(rng, 2, 1024, DIM)
        gradient = pieces[:, : layer.bounds[4]].astype(float).sum(axis=0)
        found = [np.ones_like(state[0]) for state in (layer.octets, layer.weight, layer.bias)]
        for first, last in PARTS:
            called(kernels.differentiate, first, last, *layer.places, layer.octets, layer.weight, pieces, *found)
        inputs, is_own = layer.concatenated()
        product = gradient @ layer.weight[0].T * (inputs > 0) if has_layer else gradient
        octets = np.zeros((1024, layer.octets.shape[2]))
        for row, values, own in zip(layer.used, product, is_own, strict=False):
            octets[row, : own.sum()] = values[own]
        assert np.abs(found[0] - octets).max() < 1e-5
        if has_layer:
            assert np.abs(found[1] - np.maximum(inputs, 0).T @ gradient).max() < 1e-4
            assert np.abs(found[2] - gradient[: layer.bounds[1]].sum(axis=0)).max() < 1e-4

    def test_an_update_is_the_gradient_and_a_step_of_adam(
        self,
        called: Callable[..., Any],
        has_layer: bool,  # noqa: FBT001
        rng: np.random.Generator,
    ) -> None:
        """Every number of octet table, layer and bias takes one step of its own gradient."""
        layer, pieces = Layer(rng, has_layer=has_layer), floats(rng, 1, 1024, DIM)
        states = layer.octets, layer.weight, layer.bias
        for state in states:
            state[2] **= 2
        gradients = [np.ones_like(state[0]) for state in states]
        called(kernels.differentiate, 0, 4, *layer.places, *states[:2], pieces.copy(), *gradients)
        expected = [adam_of(s.astype(float), g, float(DECAY)) for s, g in zip(states, gradients, strict=True)]
        for first, last in PARTS:
            called(kernels.update, first, last, *layer.places, *states, pieces, *gradients, RATE, DECAY)
        for state, numbers in zip(states, expected, strict=True):
            assert np.abs(state - np.stack(numbers)).max(initial=0) < 1e-5
