"""Scoring with a trained model: NumPy only, so that nothing waits for the engine to load.

The arithmetic is that of :class:`ipinsights.model.IPInsightsNet`, with one rearrangement: the first fully connected
layer sees nothing but octet embeddings, so its products are taken once per octet value (4 x 256 of them) instead of
once per address, and an address costs four additions.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipinsights import artifact
from ipinsights.data import entity_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.artifact import Artifact

__all__ = ["Predictor"]

# Pairs scored at a time: their embeddings stay in the processor's cache.
_BATCH = 2048


class Predictor:
    """Scorer of (entity, address) pairs. Higher is more normal.

    Parameters
    ----------
    model
        An opened artifact, see :meth:`load`.
    """

    def __init__(self, model: Artifact) -> None:
        self.hyperparameters = model.hyperparameters
        self._params = model.params
        self._known_entities = model.known_entities

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """Open a model directory, a ``model_algo-1`` file or a ``model.tar.gz``.

        Raises
        ------
        ClientError
            There is no model, or it is damaged.
        """
        return cls(artifact.load(Path(path)))

    def score(self, entities: NDArray[np.uint64], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Give the dot product (log odds) of each pair.

        Parameters
        ----------
        entities
            Entity hashes, see :func:`ipinsights.data.hash_entities`, shape (n,).
        ips
            Addresses, shape (n,).

        Returns
        -------
        NDArray[np.float32]
            Shape (n,).
        """
        scores = np.empty(len(ips), dtype=np.float32)
        for start in range(0, len(ips), _BATCH):
            part = slice(start, start + _BATCH)
            embedded = self.entity_embeddings(entities[part]), self.ip_embeddings(ips[part])
            scores[part] = np.einsum("nd,nd->n", *embedded)
        return scores

    def entity_embeddings(self, entities: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Give the embeddings of hashed entities (n,) as (n, vector_dim); unknown ones have their initial values."""
        return self._params["entity_weight"].take(self._rows(entities), axis=0)

    def ip_embeddings(self, ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Give the embeddings of addresses (n,) as (n, vector_dim)."""
        octets = ips.astype(">u4").view(np.uint8).reshape(-1, 4)
        # (n, vector_dim)
        x: NDArray[np.float32] = self._octet_tables[0].take(octets[:, 0], axis=0)
        for place in range(1, 4):
            x += self._octet_tables[place].take(octets[:, place], axis=0)
        for layer in range(1, self.hyperparameters.num_ip_encoder_layers):
            x = np.maximum(x, 0) @ self._params[f"ip_layer{layer}_weight"].T + self._params[f"ip_layer{layer}_bias"]
        return x

    def entity_known(self, entities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for hashed entities (n,) whether training saw them; of strangers a few seem known, see ``bloom``."""
        return self._known_entities.contain(entities)

    def _rows(self, entities: NDArray[np.uint64]) -> NDArray[np.int32]:
        return entity_rows(entities, self.hyperparameters.num_entity_vectors)

    @cached_property
    def _octet_tables(self) -> NDArray[np.float32]:
        """What each octet value adds to the embedding at each place, through the first layer: (4, 256, vector_dim)."""
        dim = self.hyperparameters.vector_dim
        octets = self._params["ip_octet_weight"].reshape(4, 256, -1)
        tables = np.zeros((4, 256, dim), dtype=np.float32)
        begin = 0
        for place in range(4):
            end = begin + dim // 4 + (place < dim % 4)
            tables[place, :, begin:end] = octets[place, :, : end - begin]
            begin = end
        if self.hyperparameters.num_ip_encoder_layers == 0:
            return tables
        tables = np.maximum(tables, 0) @ self._params["ip_layer0_weight"].T
        tables[0] += self._params["ip_layer0_bias"]
        return tables
