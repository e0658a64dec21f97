"""Scoring of the estimator: what a model does without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.frames import read_entities, read_ips, read_rows
from ipinsights.errors import InvalidValueError
from ipinsights.inference.explain import explain
from ipinsights.inference.fitted_model import FittedModel
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.score_arrow import score_arrow
from ipinsights.inference.threshold import Threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from typing_extensions import Self

    from ipinsights.data.frames import Rows
    from ipinsights.inference.explain import Explanation
    from ipinsights.inference.history_explanation import HistoryExplanation

__all__ = ["Detector"]


class Detector(FittedModel):
    """Scoring side of :class:`~ipinsights.IPInsights`, which describes its attributes.

    Examples
    --------
    >>> import pandas as pd
    >>> from ipinsights import IPInsights
    >>> logins = pd.DataFrame({"user": ["alice", "bob"] * 99, "address": ["192.0.2.1", "203.0.113.9"] * 99})
    >>> model = IPInsights(vector_dim=8, learning_rate=0.01, progress=False).fit(logins).calibrate(logins, fpr=0.1)
    >>> odd = pd.DataFrame({"user": ["alice"], "address": ["203.0.113.9"]}, index=["login 7"])
    >>> model.predict(odd)
    login 7   -1
    Name: prediction, dtype: int64
    >>> bool(model.score_samples(odd).iloc[0] < model.offset_)
    True
    >>> bool(model.decision_function(odd).iloc[0] < 0)
    True
    >>> model.entity_known(["alice", "mallory"]).tolist()
    [True, False]
    >>> model.entity_embeddings(["alice", "bob"]).shape, model.ip_embeddings(odd).shape
    ((2, 8), (1, 8))
    >>> model.explain("alice", "203.0.113.9").num_events
    99
    """

    def score_samples(self, X: Any) -> Any:
        """Return the score of each pair. Higher is more normal.

        Parameters
        ----------
        X
            Pairs: a DataFrame, an array of shape (n, 2), a list or a path.

        Returns
        -------
        array or Series
            Dot product of the embeddings of entity and address, or the score by the history, float32, shape (n,).

        Raises
        ------
        InvalidValueError
            X has no such columns, or rows of it are invalid.
        """
        rows = self._read(X)
        return rows.like_source(self.scorer_.score_rows(rows.pairs), "score")

    def score_arrow(self, entities: Any, ips: Any, errors: str = "raise") -> pa.FloatArray:
        """Return the score of each pair of two columns as a column of Arrow.

        Parameters
        ----------
        entities, ips
            Columns of Arrow, Series or arrays, shape (n,).
        errors
            ``raise`` refuses invalid rows. ``null`` scores them as null.

        Raises
        ------
        InvalidValueError
            The columns do not fit together, ``errors`` is unknown, or rows are invalid and are to be refused.
        """
        return score_arrow(self, entities, ips, errors=errors)

    def decision_function(self, X: Any) -> Any:
        """Return the score of each pair less ``offset_``, shape (n,).

        The values are float64. Those of outliers are below 0.
        """
        rows = self._read(X)
        return rows.like_source(self.scorer_.score_rows(rows.pairs).astype(np.float64) - self.offset_, "decision")

    def predict(self, X: Any) -> Any:
        """Return 1 for each normal pair, -1 for each outlier, (n,).

        A pair is normal where :meth:`decision_function` is at least 0, and on networks that :meth:`calibrate` allows.
        The score of an unknown entity means nothing, see :meth:`entity_known`.
        """
        rows = self._read(X)
        is_normal = self.scorer_.score_rows(rows.pairs).astype(np.float64) >= self.offset_
        if self.threshold_ is not None:
            is_normal |= self.threshold_.allows(rows.pairs)
        return rows.like_source(np.where(is_normal, 1, -1), "prediction")

    def entity_known(self, X: Any) -> Any:
        """Return whether training saw the entity of each row, shape (n,).

        About 1 in 400 unknown entities seems known, because the network keeps a filter of entities and no list. The
        scorer ``history`` answers exactly, for the history.

        Parameters
        ----------
        X
            Entities, or pairs as for :meth:`score_samples`.
        """
        scorer = self.scorer_
        entities = read_entities(X, ipv6=scorer.accepts_ipv6)
        return entities.like_source(scorer.entity_known(entities.numbers), "entity_known")

    def entity_embeddings(self, X: Any) -> Any:
        """Return the embeddings of entities, or of those of pairs, (n, vector_dim)."""
        predictor, entities = self.predictor_, read_entities(X, ipv6=self.scorer_.accepts_ipv6)
        return entities.like_source(predictor.entity_embeddings(entities.numbers), "dim")

    def ip_embeddings(self, X: Any) -> Any:
        """Return the embeddings of IPv4 addresses, or of those of pairs, (n, vector_dim)."""
        predictor, ips = self.predictor_, read_ips(X)
        return ips.like_source(predictor.ip_embeddings(ips.numbers), "dim")

    def calibrate(self, X: Any, *, fpr: float = 0.01, allow: Sequence[str] = ()) -> Self:
        """Choose the offset that flags at most a share of normal pairs.

        Parameters
        ----------
        X
            Normal pairs that the model was not trained on, as for :meth:`score_samples`. Those of unknown entities are
            set aside. Data that are part of a history are refused by the scorer ``history``.
        fpr
            False positive rate, in (0, 1).
        allow
            Networks that are never outliers, such as ``10.0.0.0/8``.

        Raises
        ------
        ClientError
            The rate or a network is invalid, there are too few pairs, or they are part of the history.
        """
        self.threshold_ = Threshold.calibrate(self, self._read(X), fpr=fpr, allow=allow)
        self.offset_ = self.threshold_.score
        return self

    def explain(self, entity: str, ip: str, *, train: Any = None) -> Explanation | HistoryExplanation:
        """Explain the score of a pair by the networks in the training data, or in the history.

        Parameters
        ----------
        entity, ip
            The pair.
        train
            Training data of the model. A model that was loaded or unpickled needs them, a fitted one has them. The
            scorer ``history`` needs none.

        Raises
        ------
        InvalidValueError
            The entity or the address is invalid, or ``train`` is missing.
        """
        scorer, train = self.scorer_, self._train if train is None else train
        if train is None and not isinstance(scorer, HistoryScorer):
            raise InvalidValueError("The model was loaded without its training data. Pass them as train.")
        return explain(scorer, train, entity, str(ip), threshold=self.threshold_)

    def _read(self, data: Any) -> Rows:
        # A detector that is not fitted says so, whatever the data are.
        return read_rows(data, ipv6=self.scorer_.accepts_ipv6)
