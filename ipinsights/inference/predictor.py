"""Scoring with a trained model: NumPy only, so that nothing waits for the engine to load.

The arithmetic is that of :class:`ipinsights.model.network.IPInsightsNet`, with one rearrangement: the first fully
connected layer sees nothing but octet embeddings, so its products are taken once per octet value (4 x 256 of them)
instead of once per address, and an address costs four additions.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.entity_hash import entity_rows
from ipinsights.errors import AlgorithmError
from ipinsights.model import artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.model.artifact import Artifact

__all__ = ["Predictor", "as_predictor"]

# Pairs scored at a time: their embeddings stay in the processor's cache.
_BATCH = 1024
# Numbers in 64 bytes, a line of the cache.
_GAP = 16


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
            Entity hashes, see :func:`ipinsights.data.entity_hash.hash_entities`, shape (n,).
        ips
            Addresses, shape (n,).

        Returns
        -------
        NDArray[np.float32]
            Shape (n,).

        Raises
        ------
        AlgorithmError
            A score is no number.
        """
        scores = np.empty(len(ips), dtype=np.float32)
        for start in range(0, len(ips), _BATCH):
            part = slice(start, start + _BATCH)
            scores[part] = self._score(entities[part], ips[part])
        if not np.logical_and.reduce(np.isfinite(scores)):
            raise AlgorithmError(
                "The model gives scores that are no numbers: train it anew with a lower learning_rate."
            )
        return scores

    def entity_embeddings(self, entities: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Give the embeddings of hashed entities (n,) as (n, vector_dim); unknown ones have their initial values."""
        return self._params["entity_weight"].take(self._rows(entities), axis=0)

    def ip_embeddings(self, ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Give the embeddings of addresses (n,) as (n, vector_dim)."""
        return self._embed_ips(ips, *self._two_buffers(len(ips)))

    def entity_known(self, entities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell for hashed entities (n,) whether training saw them; of strangers a few seem known, see ``bloom``."""
        return self._known_entities.contain(entities)

    def _score(self, entities: NDArray[np.uint64], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        x, y = self._two_buffers(len(ips))
        embedded_ips = self._embed_ips(ips, x, y)
        embedded_entities = _take_rows(self._params["entity_weight"], self._rows(entities), y)
        scores: NDArray[np.float32] = np.einsum("nd,nd->n", embedded_entities, embedded_ips)
        return scores

    def _rows(self, entities: NDArray[np.uint64]) -> NDArray[np.int32]:
        return entity_rows(entities, self.hyperparameters.num_entity_vectors)

    def _two_buffers(self, num_rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give memory for two times some embeddings, (num_rows, vector_dim) each.

        The two do not begin at the same byte of a page. There a processor takes what it reads of one for what it has
        just written to the other, and waits: adding takes four times as long.
        """
        dim = self.hyperparameters.vector_dim
        size = num_rows * dim
        memory = np.empty(2 * size + _GAP, dtype=np.float32)
        return memory[:size].reshape(-1, dim), memory[size + _GAP :].reshape(-1, dim)

    def _embed_ips(
        self, ips: NDArray[np.uint32], x: NDArray[np.float32], y: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Give the embeddings of addresses (n,), mostly in x; x and y are memory of (n, vector_dim)."""
        octets = ips.astype(">u4").view(np.uint8).reshape(-1, 4).T.astype(np.intp, order="C")
        tables = self._octet_tables
        _take_rows(tables[0], octets[0], x)
        for place in (1, 2, 3):
            x += _take_rows(tables[place], octets[place], y)
        for layer in range(1, self.hyperparameters.num_ip_encoder_layers):
            x = np.maximum(x, 0) @ self._params[f"ip_layer{layer}_weight"].T + self._params[f"ip_layer{layer}_bias"]
        return x

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


def as_predictor(model: Any) -> Predictor:
    """Return the predictor of a model.

    Parameters
    ----------
    model
        A predictor, an estimator with a ``predictor_``, or the path of a model.

    Raises
    ------
    ClientError
        There is no model at the path.
    """
    if isinstance(model, (str, Path)):
        return Predictor.load(model)
    if not hasattr(type(model), "predictor_"):
        return model  # type: ignore[no-any-return]
    return model.predictor_  # type: ignore[no-any-return]


def _take_rows(
    table: NDArray[np.float32], rows: NDArray[np.integer[Any]], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    # Without "clip", which never comes to pass here, take would fill a copy first.
    return table.take(rows, axis=0, out=out, mode="clip")
