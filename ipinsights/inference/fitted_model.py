"""A fitted model: its attributes, its files and its pickles."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ipinsights.data.remote import staged
from ipinsights.data.remote_names import is_remote
from ipinsights.inference.loaded_models import aligned, load_referenced
from ipinsights.inference.scorers import make_scorer
from ipinsights.inference.threshold_files import (
    THRESHOLD_FILES,
    ThresholdReference,
    find_threshold,
    replace_thresholds,
)
from ipinsights.model import artifact
from ipinsights.model.history_member import history_options
from ipinsights.model.model_reference import ModelReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.predictor import Predictor
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold
    from ipinsights.model.artifact import Artifact

__all__ = ["FittedModel"]

_SIZES = ("num_entity_vectors", "vector_dim", "mini_batch_size", "epochs")


class FittedModel(BaseEstimator):
    """Attributes of a fitted :class:`~ipinsights.IPInsights`, on disk and in pickles."""

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
        replace_thresholds(directory, self._scorer, self.threshold_)
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
        for name in _SIZES:
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
        threshold = find_threshold(directory, scorer=self._scorer.name)
        if threshold is None:
            return
        if threshold.fits(self._scorer):
            self.threshold_, self.offset_ = threshold, threshold.score
        else:
            path = directory / THRESHOLD_FILES[self._scorer.name]
            warnings.warn(
                f"{path} was made for another model, and is not used. Call calibrate for a new threshold.", stacklevel=3
            )
