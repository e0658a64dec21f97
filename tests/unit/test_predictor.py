"""The predictor against the network whose parameters it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.model._mxnet import mx
from ipinsights.model.artifact import Artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.ip_encoder import octet_rows
from ipinsights.training.learners.gluon import GluonLearner

from .small_model import save

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NUM_ENTITIES = 21


def network(vector_dim: int, num_layers: int, *, rng: np.random.Generator) -> GluonLearner:
    """Return a network with scores of several units, as after training."""
    given = Hyperparameters(NUM_ENTITIES, vector_dim, num_ip_encoder_layers=num_layers)
    learner = GluonLearner(given)
    for parameter in learner.net.collect_params().values():
        scale = 1 / vector_dim**0.5 if "layer" in parameter.name else 0.5
        parameter.set_data(mx.nd.array(rng.normal(size=parameter.shape, scale=scale)))
    return learner


def predictor_of(learner: GluonLearner, **changes: Any) -> Predictor:
    """Return a predictor with a network's parameters.

    By default every entity is known.
    """
    params = {name: array.asnumpy() for name, array in learner.parameters().items()}
    everybody = BloomFilter(np.full(NUM_ENTITIES, 255, dtype=np.uint8))
    return Predictor(Artifact(**{**Artifact(learner.hyperparameters, params, everybody, {}).__dict__, **changes}))


def random_pairs(size: int, *, rng: np.random.Generator) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Return hashes and addresses from their whole ranges."""
    return rng.integers(2**64, size=size, dtype=np.uint64), rng.integers(2**32, size=size, dtype=np.uint32)


class TestScore:
    """Scores of pairs."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2, 3])
    @pytest.mark.parametrize("vector_dim", [4, 5, 6, 7, 128, 134, 677])
    def test_it_scores_as_the_network_does(self, vector_dim: int, num_layers: int, rng: np.random.Generator) -> None:
        """The rearranged arithmetic gives the network's scores and embeddings to 1e-5."""
        learner = network(vector_dim, num_layers, rng=rng)
        predictor = predictor_of(learner)
        entities, ips = random_pairs(50, rng=rng)
        rows = entity_rows(entities, NUM_ENTITIES)
        expected = learner.score(rows, ips)
        scores = predictor.score(entities, ips)
        assert (scores.dtype.name, scores.shape) == ("float32", (50,))
        assert scores.tolist() == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5 * float(abs(expected).max()))
        vectors = learner.parameters()["entity_weight"].asnumpy()[rows]
        addresses = learner.net.ip_encoder(mx.nd.array(octet_rows(ips), dtype="int32")).asnumpy()
        for found, wanted in (
            (predictor.entity_embeddings(entities), vectors),
            (predictor.ip_embeddings(ips), addresses),
        ):
            assert (found.dtype.name, found.shape) == ("float32", (50, vector_dim))
            assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()

    @pytest.mark.parametrize("num_layers", [0, 1, 3])
    @pytest.mark.parametrize("vector_dim", [4, 5, 128, 677])
    def test_a_single_pair_scores_as_among_others(
        self, vector_dim: int, num_layers: int, rng: np.random.Generator
    ) -> None:
        """A single pair has the same score as in a batch.

        The scores are equal to the bit, or to rounding where BLAS computes layers.
        """
        predictor = predictor_of(network(vector_dim, num_layers, rng=rng))
        entities, ips = random_pairs(40, rng=rng)
        entities[:2], ips[:2] = (0, 2**64 - 1), (0, 2**32 - 1)
        alone = [predictor.score(entities[row : row + 1], ips[row : row + 1]) for row in range(40)]
        tolerance = 0 if num_layers <= 1 else 1e-5
        np.testing.assert_allclose(
            np.concatenate(alone), predictor.score(entities, ips), rtol=tolerance, atol=tolerance
        )
        assert {scores.dtype for scores in alone} == {np.dtype(np.float32)}

    def test_it_is_the_dot_product_of_the_embeddings(self, rng: np.random.Generator) -> None:
        """No bias, no scale; more pairs than are scored at a time change nothing."""
        predictor = predictor_of(network(12, 1, rng=rng))
        entities, ips = random_pairs(5000, rng=rng)
        products = predictor.entity_embeddings(entities).astype(float) * predictor.ip_embeddings(ips)
        assert predictor.score(entities, ips).tolist() == pytest.approx(products.sum(axis=1).tolist(), abs=1e-5)

    def test_nothing_in_nothing_out(self, rng: np.random.Generator) -> None:
        """No pair has no score."""
        entities, ips = random_pairs(0, rng=rng)
        assert predictor_of(network(4, 1, rng=rng)).score(entities, ips).tolist() == []

    def test_scoring_changes_nothing(self, rng: np.random.Generator) -> None:
        """The second answer is the first, to the bit."""
        predictor = predictor_of(network(8, 0, rng=rng))
        entities, ips = random_pairs(100, rng=rng)
        assert predictor.score(entities, ips).tolist() == predictor.score(entities, ips).tolist()

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    def test_scores_that_are_no_numbers(self, rng: np.random.Generator) -> None:
        """Scores that are not numbers are an error about the model."""
        predictor = predictor_of(network(4, 1, rng=rng))
        predictor._params = {**predictor._params, "entity_weight": np.full((NUM_ENTITIES, 4), np.nan, np.float32)}
        with pytest.raises(ClientError) as caught:
            predictor.score(*random_pairs(3, rng=rng))
        assert str(caught.value) == (
            "The model gives scores that are not numbers: it is damaged, or its learning_rate was too high. "
            "Train it again."
        )


class TestEntityKnown:
    """Whether training saw an entity."""

    def test_it_goes_by_the_entity_and_not_by_its_row(self, rng: np.random.Generator) -> None:
        """An unknown entity on the row of a known one is unknown."""
        hashes = hash_entities([f"user_{number}" for number in range(1000)])
        same_row = hashes[entity_rows(hashes, NUM_ENTITIES) == entity_rows(hashes[:1], NUM_ENTITIES)]
        predictor = predictor_of(network(4, 1, rng=rng), known_entities=BloomFilter.of(hashes[:1], NUM_ENTITIES))
        assert len(same_row) > 20
        assert predictor.entity_known(same_row).tolist() == [True] + (len(same_row) - 1) * [False]


class TestLoad:
    """From a model on disk."""

    def test_it_takes_a_path_or_the_text_of_one(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """Both give the scores of the parameters that were saved."""
        learner = network(6, 2, rng=rng)
        save(
            tmp_path,
            params=learner.parameters(),
            symbol=learner.net.symbol(),
            known_entities=BloomFilter(np.zeros(NUM_ENTITIES, dtype=np.uint8)),
            hyperparameters=learner.hyperparameters,
            training={},
        )
        entities, ips = random_pairs(9, rng=rng)
        expected = predictor_of(learner).score(entities, ips).tolist()
        for path in (tmp_path, str(tmp_path)):
            predictor = Predictor.load(path)
            assert predictor.score(entities, ips).tolist() == expected
            assert predictor.hyperparameters == learner.hyperparameters
            assert not predictor.entity_known(entities).any()
