"""The learner: what a step does to the parameters, and scores in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights._mxnet import mx
from ipinsights.hyperparameters import Hyperparameters
from ipinsights.learner import Learner
from ipinsights.sampling import Records

if TYPE_CHECKING:
    from numpy.typing import NDArray

Params = dict[str, "NDArray[np.float64]"]


def values(**changes: Any) -> Hyperparameters:
    """Give small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def arrays(learner: Learner) -> dict[str, NDArray[np.float32]]:
    """Give copies of the parameters."""
    return {name: array.asnumpy() for name, array in learner.parameters().items()}


class TestStep:
    """What one optimizer step does."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.01])
    def test_it_is_lazy_adam_with_l2(self, num_layers: int, weight_decay: float, rng: np.random.Generator) -> None:
        """Five steps, with entities that come and go, move every parameter as an independent formula says, to 1e-6."""
        given = values(num_ip_encoder_layers=num_layers, weight_decay=weight_decay)
        learner = Learner(given, seed=int(rng.integers(2**31)))
        for parameter in learner.net.collect_params().values():
            parameter.set_data(mx.nd.array(rng.normal(size=parameter.shape, scale=0.5)))
        adam = Adam({name: array.astype(float) for name, array in arrays(learner).items()}, weight_decay)
        for _ in range(5):
            batch = random_records(10, rng=rng)
            learner.step(batch)
            adam.step(batch)
        for name, array in arrays(learner).items():
            assert np.abs(array - adam.params[name]).max() < 1e-6, name

    @pytest.mark.slow
    def test_rows_beyond_2_to_the_24_keep_their_number(self) -> None:
        """MXNet would round them to float32 if the types were left to it."""
        learner = Learner(values(num_entity_vectors=2**24 + 3, vector_dim=4))
        rows = np.array([2**24 + 1, 2**24 + 2], dtype=np.int32)
        expected = learner.net.entities.weight.data()[2**24 + 1 : 2**24 + 3].asnumpy()
        assert (learner.embeddings(rows, np.zeros(2, dtype=np.uint32))[0] == expected).all()


class TestScore:
    """Scores and embeddings of the network as it is."""

    def test_scores_and_embeddings_do_not_depend_on_the_batch(
        self, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In pieces of ten or at once, and as the dot product of the embeddings."""
        learner = Learner(values(), seed=5)
        rows = rng.integers(40, size=33).astype(np.int32)
        ips = rng.integers(2**32, size=33, dtype=np.uint32)
        whole = learner.score(rows, ips)
        monkeypatch.setattr("ipinsights.learner.SCORING_BATCH", 10)
        assert learner.score(rows, ips).tolist() == pytest.approx(whole.tolist(), abs=1e-8)
        entities, addresses = learner.embeddings(rows, ips)
        assert (entities * addresses).sum(axis=1).tolist() == pytest.approx(whole.tolist(), abs=1e-8)


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Give a batch in which entities repeat, and one that misses most of them."""
    rows, ips = rng.integers(12, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


class Adam:
    """Kingma and Ba's algorithm 1 in double precision, L2 added to the gradient, lazy for the entity table.

    The table's rows that are not in the batch keep value and moments; bias correction counts all steps.
    """

    def __init__(self, params: Params, weight_decay: float, learning_rate: float = 0.01) -> None:
        self.params, self._decay, self._rate = params, weight_decay, learning_rate
        self._m = {name: np.zeros_like(array) for name, array in params.items()}
        self._v = {name: np.zeros_like(array) for name, array in params.items()}
        self._t = 0

    def step(self, batch: Records) -> None:
        """Take one step on the mean cross-entropy of a batch."""
        self._t += 1
        correction = np.sqrt(1 - 0.999**self._t) / (1 - 0.9**self._t)
        for name, gradient in gradients(self.params, batch).items():
            rows = np.unique(batch.entity_rows) if name == "entity_weight" else slice(None)
            full = gradient[rows] + self._decay * self.params[name][rows]
            m, v = self._m[name], self._v[name]
            m[rows] = 0.9 * m[rows] + 0.1 * full
            v[rows] = 0.999 * v[rows] + 0.001 * full**2
            self.params[name][rows] -= self._rate * correction * m[rows] / (np.sqrt(v[rows]) + 1e-8)


def gradients(params: Params, batch: Records) -> Params:
    """Give the gradient of the mean cross-entropy of a batch by the chain rule, written out for 8 dimensions."""
    octets = (batch.ips[:, None] >> np.array([24, 16, 8, 0], dtype=np.uint32) & 255) + 256 * np.arange(4)
    # Inputs of each layer, (batch, 8) each; the last one is the embedding.
    xs = [params["ip_octet_weight"][octets].reshape(-1, 8)]
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
    np.add.at(found["ip_octet_weight"], octets, backward.reshape(-1, 4, 2))
    return found
