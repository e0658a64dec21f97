"""Scoring, saving and pickling of the estimator: what a model does without training."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ipinsights.data.frames import read_entities, read_ips, read_rows
from ipinsights.data.remote import staged
from ipinsights.data.remote_names import is_remote
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.explain import explain
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.loaded_models import aligned, load_referenced
from ipinsights.inference.score_arrow import score_arrow
from ipinsights.inference.scorers import make_scorer
from ipinsights.inference.threshold import THRESHOLD_FILES, Threshold, ThresholdReference
from ipinsights.model import artifact
from ipinsights.model.history_member import history_options
from ipinsights.model.model_reference import ModelReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Self

    from ipinsights.data.frames import Rows
    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.explain import Explanation
    from ipinsights.inference.history_explanation import HistoryExplanation
    from ipinsights.inference.predictor import Predictor
    from ipinsights.inference.scorers import Scorer
    from ipinsights.model.artifact import Artifact

__all__ = ["SIZES", "Detector"]

SIZES = ("num_entity_vectors", "vector_dim", "mini_batch_size", "epochs")
"""Hyperparameters that can be chosen from the data."""


class Detector(BaseEstimator):
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

    offset_: float
    threshold_: Threshold | None
    _model: Artifact | None
    _scorer: Scorer
    _reference: ModelReference | None
    _train: Pairs | None
    _records: list[Mapping[str, float]]

    @property
    def predictor_(self) -> Predictor:
        """The network of the fitted model."""
        return self.scorer_.predictor

    @property
    def scorer_(self) -> Scorer:
        """Scorer of the fitted model: the network, or the history."""
        check_is_fitted(self)
        return self._scorer

    @property
    def artifact_(self) -> Artifact:
        """The fitted model as it is saved."""
        check_is_fitted(self)
        assert self._model is not None
        return self._model

    @property
    def history_(self) -> pd.DataFrame:
        """Metrics of each epoch."""
        import pandas as pd

        check_is_fitted(self)
        return pd.DataFrame(self._records, columns=["epoch", "accuracy", "cross_entropy", "validation_auc", "seconds"])

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
            The address is invalid, or ``train`` is missing.
        """
        scorer, train = self.scorer_, self._train if train is None else train
        if train is None and not isinstance(scorer, HistoryScorer):
            raise InvalidValueError("The model was loaded without its training data. Pass them as train.")
        return explain(scorer, train, str(entity), str(ip), threshold=self.threshold_)

    @overload
    def save(self, path: Path) -> Path: ...
    @overload
    def save(self, path: str | Path) -> Path | str: ...

    def save(self, path: str | Path) -> Path | str:
        """Write the model and its threshold into a directory or a URL, and return the file.

        The file has the same bytes as that of ``ipinsights train`` with the same settings, data and seed. With
        ``keep_history`` it holds the pairs of the training data, which are personal data.

        Raises
        ------
        ClientError
            The directory cannot be written, or the disk is full.
        """
        model = self.artifact_
        if is_remote(path):
            with staged(path, "output") as local:
                return f"{str(path).rstrip('/')}/{self._save(model, local).name}"
        file = self._save(model, Path(path))
        self._reference = ModelReference.of(file)
        return file

    def _save(self, model: Artifact, directory: Path) -> Path:
        file = artifact.write(directory, model)
        # A threshold of the model that was there before would be refused.
        for name, threshold_file in THRESHOLD_FILES.items():
            if name == self.scorer_.name or not _is_threshold_of(self.scorer_, directory / threshold_file):
                (directory / threshold_file).unlink(missing_ok=True)
        if self.threshold_ is not None:
            self.threshold_.save(directory / THRESHOLD_FILES[self.threshold_.scorer])
        return file

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, with references to the model's files."""
        state = {**super().__getstate__(), "_train": None}
        if not self.__sklearn_is_fitted__():
            return state
        state["_scorer"] = self._scorer.name
        if self._reference is not None and self._reference.is_current():
            state["_model"] = None
            if self.threshold_ is not None:
                file = self._reference.path.parent / THRESHOLD_FILES[self.threshold_.scorer]
                state["threshold_"] = ThresholdReference.of(self.threshold_, file) or self.threshold_
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            if self._model is None:
                assert self._reference is not None
                loaded = load_referenced(self._reference)
                self._model, self._scorer = loaded.model, loaded.scorer(state["_scorer"])
                if isinstance(state["threshold_"], ThresholdReference):
                    self.threshold_ = state["threshold_"].load()
            else:
                self._model = aligned(self._model)
                self._scorer = make_scorer(self._model, state["_scorer"])

    def _read(self, data: Any) -> Rows:
        # A detector that is not fitted says so, whatever the data are.
        return read_rows(data, ipv6=self.scorer_.accepts_ipv6)

    def _adopt(
        self,
        model: Artifact,
        scorer: Scorer,
        *,
        train: Pairs | None = None,
        records: Sequence[Mapping[str, float]] = (),
        reference: ModelReference | None = None,
    ) -> None:
        """Take over a model and score by one of its scorers, as a fit does."""
        hyperparameters = model.hyperparameters
        for name in SIZES:
            setattr(self, f"{name}_", getattr(hyperparameters, name))
        of_history = {f"_{name}": str(value).lower() for name, value in history_options(model.meta).items()}
        self.hyperparameters_ = {**hyperparameters.to_strings(), **of_history}
        self.n_features_in_ = 2
        self.seed_ = model.meta["training"].get("seed", 0)
        self.offset_, self.threshold_ = 0.0, None
        self._model, self._scorer, self._reference = model, scorer, reference
        self._train, self._records = train, list(records)

    def _find_threshold(self, directory: Path) -> None:
        """Use the threshold in a model directory if there is one."""
        path = directory / THRESHOLD_FILES[self._scorer.name]
        if not path.is_file():
            return
        threshold = Threshold.load(path)
        if threshold.fits(self._scorer):
            self.threshold_, self.offset_ = threshold, threshold.score
        else:
            warnings.warn(
                f"{path} was made for another model, and is not used. Call calibrate for a new threshold.", stacklevel=3
            )


def _is_threshold_of(scorer: Scorer, path: Path) -> bool:
    """Return whether a file holds a threshold that was made for the model of a scorer."""
    try:
        return Threshold.load(path).fits(scorer)
    except ClientError:
        return False
