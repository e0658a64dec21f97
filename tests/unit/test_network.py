"""The network against an independent formula in double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model._mxnet import mx
from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.network import IPEncoder, IPInsightsNet, octet_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_ENTITIES = 11


def build(vector_dim: int, num_layers: int, *, seed: int = 1) -> IPInsightsNet:
    """Return a network of few entities, with parameters large enough to reveal mistakes."""
    net = IPInsightsNet(NUM_ENTITIES, vector_dim, num_layers)
    net.initialize(mx.init.Zero())
    rng = np.random.default_rng(seed)
    for parameter in net.collect_params().values():
        parameter.set_data(mx.nd.array(rng.normal(size=parameter.shape, scale=0.3)))
    return net


def params_of(net: IPInsightsNet) -> dict[str, NDArray[np.float64]]:
    """Return a network's parameters by name, in double precision."""
    return {name: p.data().asnumpy().astype(float) for name, p in net.collect_params().items()}


def run(net: IPInsightsNet, rows: NDArray[np.int32], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Score pairs with the network."""
    scores = net(mx.nd.array(rows, dtype="int32"), mx.nd.array(octet_rows(ips), dtype="int32"))
    return np.asarray(scores.asnumpy())


def formula(params: dict[str, NDArray[np.float64]], row: int, ip: int) -> float:
    """Score one pair, octet by octet and layer by layer, as the documents describe it."""
    entity = params["entity_weight"][row]
    dim = len(entity)
    x: list[float] = []
    for place in range(4):
        octet = ip // 256 ** (3 - place) % 256
        width = (dim - place + 3) // 4  # 5 is split into 2 + 1 + 1 + 1
        x.extend(params["ip_octet_weight"][256 * place + octet, :width])
    for layer in range((len(params) - 2) // 2):
        weight, bias = params[f"ip_layer{layer}_weight"], params[f"ip_layer{layer}_bias"]
        x = [float(weight[unit] @ np.maximum(x, 0)) + bias[unit] for unit in range(dim)]
    return float(np.dot(entity, x))


class TestIPEncoder:
    """Encoding of addresses."""

    @given(st.integers(4, 4096))
    def test_octets_share_any_width(self, vector_dim: int) -> None:
        """Octet widths add up to the embedding's width and differ by at most 1, widest first."""
        widths = IPEncoder(vector_dim, 0).octet_widths
        assert sum(widths) == vector_dim
        assert widths == sorted(widths, reverse=True)
        assert widths[0] - widths[3] <= 1

    def test_every_address_has_an_encoding_of_its_own(self, rng: np.random.Generator) -> None:
        """No two of 2,000 addresses, close or distant, have the same embedding.

        This holds at any width without a layer, and at a width of 128 with layers.
        """
        ips = np.unique(np.concatenate([rng.integers(2**32, size=1000), np.arange(1000)]).astype(np.uint32))
        for vector_dim, num_layers in ((4, 0), (128, 1), (128, 2)):
            net = IPInsightsNet(NUM_ENTITIES, vector_dim, num_layers)
            net.initialize(mx.init.Uniform(0.07))
            embeddings = net.ip_encoder(mx.nd.array(octet_rows(ips), dtype="int32")).asnumpy()
            assert len(np.unique(embeddings, axis=0)) == len(ips)


class TestIPInsightsNet:
    """The whole network."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2, 3])
    @pytest.mark.parametrize("vector_dim", [4, 5, 6, 7, 128, 134, 677])
    def test_it_computes_the_formula(self, vector_dim: int, num_layers: int, rng: np.random.Generator) -> None:
        """The score is that of the formula for any width and number of layers, hybridized or not."""
        net = build(vector_dim, num_layers)
        rows = rng.integers(NUM_ENTITIES, size=8).astype(np.int32)
        ips = rng.integers(2**32, size=8).astype(np.uint32)
        params = params_of(net)
        expected = [formula(params, row, ip) for row, ip in zip(rows.tolist(), ips.tolist(), strict=True)]
        # Float32 carries 7 digits; the terms of the sum are far larger than their sum.
        tolerance = 1e-5 * max(1.0, float(np.abs(expected).max()))
        plain = run(net, rows, ips)
        net.hybridize(static_alloc=True, static_shape=True)
        assert (plain.dtype.name, plain.shape) == ("float32", (8,))
        assert plain.tolist() == pytest.approx(expected, abs=tolerance)
        assert run(net, rows, ips).tolist() == pytest.approx(expected, abs=tolerance)

    @pytest.mark.parametrize(("vector_dim", "num_layers"), [(4, 0), (5, 1), (677, 3)])
    def test_parameters_are_those_of_the_artifact(self, vector_dim: int, num_layers: int) -> None:
        """Same names, shapes and order as the file that keeps them."""
        net = IPInsightsNet(NUM_ENTITIES, vector_dim, num_layers)
        given_shapes = {name: parameter.shape for name, parameter in net.collect_params().items()}
        values = Hyperparameters(NUM_ENTITIES, vector_dim, num_ip_encoder_layers=num_layers)
        assert list(given_shapes.items()) == list(parameter_shapes(values).items())

    def test_only_the_rows_of_the_batch_have_a_gradient(self) -> None:
        """The gradient of the entity table is row-sparse, so that a large table costs nothing."""
        net = build(8, 1)
        rows = mx.nd.array([7, 2, 7], dtype="int32")
        with mx.autograd.record():
            scores = net(rows, mx.nd.array(octet_rows(np.arange(3, dtype=np.uint32)), dtype="int32"))
        scores.backward()
        gradient = net.entities.weight.grad()
        assert gradient.stype == "row_sparse"
        assert gradient.indices.asnumpy().tolist() == [2, 7]

    @pytest.mark.parametrize("vector_dim", [8, 9])
    def test_its_symbol_computes_the_same(self, vector_dim: int, rng: np.random.Generator) -> None:
        """Plain MXNet, knowing nothing of this package, scores with the symbol and the parameters."""
        net = build(vector_dim, 2)
        rows = rng.integers(NUM_ENTITIES, size=6).astype(np.int32)
        ips = rng.integers(2**32, size=6).astype(np.uint32)
        symbol = mx.sym.load_json(net.symbol())
        inputs = {"entity_rows": mx.nd.array(rows), "octet_rows": mx.nd.array(octet_rows(ips))}
        weights = {name: parameter.data() for name, parameter in net.collect_params().items()}
        assert sorted(symbol.list_arguments()) == sorted([*inputs, *weights])
        scores = symbol.bind(mx.cpu(), {**inputs, **weights}).forward()[0].asnumpy()
        assert scores.tolist() == pytest.approx(run(net, rows, ips).tolist(), abs=1e-6)
