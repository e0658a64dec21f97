"""Scoring methods of the estimator: they need a model and no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.frames import read_entities, read_ips, read_rows
from ipinsights.errors import InvalidValueError
from ipinsights.inference.explain import explain
from ipinsights.inference.threshold import Threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from ipinsights.data.frames import Rows
    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.explain import Explanation
    from ipinsights.inference.predictor import Predictor

__all__ = ["Detector"]


class Detector:
    """Scoring side of :class:`~ipinsights.IPInsights`.

    Attributes
    ----------
    offset_
        Score below which a pair is an outlier: 0, or the threshold after :meth:`calibrate`.
    threshold_
        Threshold of :meth:`calibrate`, None before.
    """

    offset_: float
    threshold_: Threshold | None
    _train: Pairs | None

    @property
    def predictor_(self) -> Predictor:
        """Predictor of the fitted model."""
        raise NotImplementedError

    def score_samples(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return the score of each pair. Higher is more normal.

        Parameters
        ----------
        X
            Pairs: a DataFrame, an array of shape (n, 2), a list or a path.

        Returns
        -------
        array or Series
            Dot product of the embeddings of entity and address, float32, shape (n,).

        Raises
        ------
        InvalidValueError
            X has no such columns, or rows of it are invalid.
        """
        rows = self._read(X)
        return rows.like_source(self._score(rows), "score")

    def decision_function(self, X: Any) -> Any:  # noqa: N803
        """Return the score of each pair less ``offset_``, float64, shape (n,). Outliers are below 0."""
        rows = self._read(X)
        return rows.like_source(self._score(rows).astype(np.float64) - self.offset_, "decision")

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return 1 for each normal pair and -1 for each outlier, shape (n,).

        A pair is normal where :meth:`decision_function` is at least 0, and on networks that :meth:`calibrate` allows.
        The score of an unknown entity means nothing, see :meth:`entity_known`.
        """
        rows = self._read(X)
        is_normal = self._score(rows).astype(np.float64) >= self.offset_
        if self.threshold_ is not None:
            is_normal |= self.threshold_.allow.contain(rows.pairs.ips)
        return rows.like_source(np.where(is_normal, 1, -1), "prediction")

    def entity_known(self, X: Any) -> Any:  # noqa: N803
        """Return whether training saw the entity of each row, shape (n,).

        About 1 in 400 unknown entities seems known, because the model keeps a filter of entities and no list.

        Parameters
        ----------
        X
            Entities, or pairs as for :meth:`score_samples`.
        """
        predictor, entities = self.predictor_, read_entities(X)
        return entities.like_source(predictor.entity_known(entities.values), "entity_known")

    def entity_embeddings(self, X: Any) -> Any:  # noqa: N803
        """Return the embeddings of entities, or of those of pairs, float32, shape (n, vector_dim)."""
        predictor, entities = self.predictor_, read_entities(X)
        return entities.like_source(predictor.entity_embeddings(entities.values), "dim")

    def ip_embeddings(self, X: Any) -> Any:  # noqa: N803
        """Return the embeddings of addresses, or of those of pairs, float32, shape (n, vector_dim)."""
        predictor, ips = self.predictor_, read_ips(X)
        return ips.like_source(predictor.ip_embeddings(ips.values), "dim")

    def calibrate(self, X: Any, *, fpr: float = 0.01, allow: Sequence[str] = ()) -> Self:  # noqa: N803
        """Choose the offset that makes at most a share ``fpr`` of normal pairs outliers.

        Parameters
        ----------
        X
            Normal pairs that the model was not trained on, as for :meth:`score_samples`. Those of unknown entities are
            set aside.
        fpr
            False positive rate, in (0, 1).
        allow
            Networks that are never outliers, such as ``10.0.0.0/8``.

        Raises
        ------
        ClientError
            The rate or a network is invalid, or there are too few pairs.
        """
        self.threshold_ = Threshold.calibrate(self, self._read(X), fpr=fpr, allow=allow)
        self.offset_ = self.threshold_.score
        return self

    def explain(self, entity: str, ip: str, *, train: Any = None) -> Explanation:
        """Explain the score of a pair: usual networks of the entity, the nearest of them, and others at the address.

        Parameters
        ----------
        entity, ip
            The pair.
        train
            Training data of the model. A model that was loaded or unpickled needs them, a fitted one has them.

        Raises
        ------
        InvalidValueError
            The address is invalid, or ``train`` is missing.
        """
        predictor, train = self.predictor_, self._train if train is None else train
        if train is None:
            raise InvalidValueError("The model was loaded without its training data. Pass them as train.")
        return explain(predictor, train, str(entity), str(ip), threshold=self.threshold_)

    def _read(self, data: Any) -> Rows:
        # A detector that is not fitted says so, whatever the data are.
        _ = self.predictor_
        return read_rows(data)

    def _score(self, rows: Rows) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self.predictor_.score(rows.pairs.entities, rows.pairs.ips)
