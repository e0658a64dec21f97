"""Scoring with a trained model: NumPy only, so that nothing waits for the engine to load.

The arithmetic of the encoder is in :mod:`ipinsights.model.ip_encoder`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.data.entity_hash import entity_rows
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.ip_encoder import AddressEncoder, allocate_pair, take_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact

__all__ = ["Predictor"]

# Pairs scored at a time: their embeddings stay in the processor's cache.
_BATCH = 1024


class Predictor:
    """Scorer of (entity, address) pairs. Higher is more normal."""

    name = "dot_product"  # in options, columns and thresholds
    accepts_ipv6 = False

    def __init__(self, model: Artifact) -> None:
        self.hyperparameters = model.hyperparameters
        self._params = model.params
        self._encoder = AddressEncoder(
            model.params, model.hyperparameters.vector_dim, model.hyperparameters.num_ip_encoder_layers
        )
        self._known_entities = model.known_entities

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Open a model directory, a ``model_algo-1`` file or a ``model.tar.gz``."""
        return cls(artifact.load(Path(path)))

    @property
    def predictor(self) -> Predictor:
        """The network, for what all scorers of a model have from it."""
        return self

    def score_rows(self, rows: Pairs) -> NDArray[np.float32]:
        """Return the score of each row, shape (n,)."""
        return self.score(rows.entities, rows.ips)

    def score(self, entities: NDArray[np.uint64], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the dot product (log odds) of each entity hash and IPv4 address, (n,) each."""
        if len(ips) == 1:
            scores = self._score_one(entities.item(), ips.item())
        else:
            scores = np.empty(len(ips), dtype=np.float32)
            # Made once: to get memory anew for each batch costs page faults where freed memory is not kept.
            x, y = allocate_pair(min(len(ips), _BATCH), self.hyperparameters.vector_dim)
            for start in range(0, len(ips), _BATCH):
                part = slice(start, start + _BATCH)
                size = len(ips[part])
                scores[part] = self._score(entities[part], ips[part], x[:size], y[:size])
        if not np.logical_and.reduce(np.isfinite(scores)):
            raise ClientError(
                "The model gives scores that are not numbers: it is damaged, or its learning_rate was too high. "
                "Train it again."
            )
        return scores

    def entity_embeddings(self, entities: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Return the embeddings of hashed entities (n,), shape (n, vector_dim).

        Unknown entities have their initial embedding.
        """
        return self._params["entity_weight"].take(self._rows(entities), axis=0)

    def ip_embeddings(self, ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the embeddings of addresses (n,) as (n, vector_dim)."""
        pair = allocate_pair(len(ips), self.hyperparameters.vector_dim)
        return self._encoder.embed(self._octet_tables, ips, *pair)

    def entity_known(self, entities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether training saw each of the hashed entities (n,).

        A few unknown entities are reported as known, see ``bloom``.
        """
        return self._known_entities.contain(entities)

    def _score(
        self, entities: NDArray[np.uint64], ips: NDArray[np.uint32], x: NDArray[np.float32], y: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the score of each pair of a batch, (n,)."""
        embedded_ips = self._encoder.embed(self._octet_tables, ips, x, y)
        embedded_entities = take_rows(self._params["entity_weight"], self._rows(entities), y)
        scores: NDArray[np.float32] = np.einsum("nd,nd->n", embedded_entities, embedded_ips)
        return scores

    def _score_one(self, entity: int, ip: int) -> NDArray[np.float32]:
        """Return the score of one pair as an array (1,), in half the time of `_score`."""
        embedded_ip = self._encoder.embed_one(self._octet_tables, ip)
        embedded_entity = self._params["entity_weight"][entity % self.hyperparameters.num_entity_vectors]
        scores: NDArray[np.float32] = np.einsum("nd,nd->n", embedded_entity[np.newaxis], embedded_ip[np.newaxis])
        return scores

    def _rows(self, entities: NDArray[np.uint64]) -> NDArray[np.int32]:
        return entity_rows(entities, self.hyperparameters.num_entity_vectors)

    @cached_property
    def _octet_tables(self) -> NDArray[np.float32]:
        return self._encoder.octet_tables()
